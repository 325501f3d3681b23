// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IAdapter} from "../interfaces/IAdapter.sol";
import {TargetAdapter} from "./TargetAdapter.sol";

/// @title FixedCallAdapter: one fixed call that restricts, one that lifts, one read that tells
/// @notice The probe is a view of the target that returns one word; compared with `expected` it says whether
///         the target is restricted. With `AtMost` a tighter value set by governance counts as restricted too,
///         so the guardian never loosens what governance has set.
///
///         The release call has three forms: empty (the owner lifts), a bare selector of four bytes (restores
///         the word that the probe gave before engaging), or a full call. It is made only while the probe gives
///         what engaging left behind: when governance has moved the value since, it is left alone.
///
///         Storage. slot 0 `_engageCall`, 1 `_releaseCall`, 2 `_probeCall` (bytes, fixed in the constructor);
///         slot 3 `_previous` (word before engaging), slot 4 `_after` (word after engaging).
abstract contract FixedCallAdapter is TargetAdapter {
    /// @notice When a probed word means "restricted".
    enum Compare {
        Equal,
        AtMost,
        AtLeast
    }

    bytes32 public immutable expected;
    Compare public immutable compare;

    bytes private _engageCall;
    bytes private _releaseCall;
    bytes private _probeCall;
    bytes32 private _previous;
    bytes32 private _after;

    error CallTooShort(uint256 length);
    error ProbeFailed(address target);

    constructor(
        address guardian_,
        address target_,
        bytes memory engageCall_,
        bytes memory releaseCall_,
        bytes memory probeCall_,
        Compare compare_,
        bytes32 expected_
    ) TargetAdapter(guardian_, target_) {
        if (engageCall_.length < 4) revert CallTooShort(engageCall_.length);
        if (releaseCall_.length != 0 && releaseCall_.length < 4) revert CallTooShort(releaseCall_.length);
        if (probeCall_.length < 4) revert CallTooShort(probeCall_.length);
        _engageCall = engageCall_;
        _releaseCall = releaseCall_;
        _probeCall = probeCall_;
        compare = compare_;
        expected = expected_;
        _probe();
    }

    /// @notice The three calls, as fixed.
    function calls()
        external
        view
        returns (bytes memory engageCall, bytes memory releaseCall, bytes memory probeCall)
    {
        return (_engageCall, _releaseCall, _probeCall);
    }

    /// @inheritdoc IAdapter
    function engage(bytes calldata params) external onlyGuardian {
        _refuseParameters(params);
        _previous = _probe();
        _callTarget(_engageCall);
        _after = _probe();
    }

    /// @inheritdoc IAdapter
    function release() external onlyGuardian returns (bool released) {
        bytes memory data = _releaseCall;
        if (data.length == 0 || _probe() != _after) return false;
        _callTarget(data.length == 4 ? abi.encodePacked(data, _previous) : data);
        return true;
    }

    /// @inheritdoc IAdapter
    function engaged() public view returns (bool) {
        (bool ok, bytes32 word) = _readTarget(_probeCall);
        if (!ok) return false;
        if (compare == Compare.AtMost) return word <= expected;
        if (compare == Compare.AtLeast) return word >= expected;
        return word == expected;
    }

    /// @inheritdoc IAdapter
    function ready() external view returns (bool ok, bytes32 reason) {
        (ok,) = _readTarget(_probeCall);
        if (!ok) return (false, "PROBE_FAILED");
        return _holdsRight(bytes4(_engageCall), bytes4(_releaseCall));
    }

    /// @dev Whether the target lets this adapter make the two calls; `releaseSelector` is zero without one.
    function _holdsRight(bytes4 engageSelector, bytes4 releaseSelector)
        internal
        view
        virtual
        returns (bool ok, bytes32 reason);

    function _probe() private view returns (bytes32) {
        (bool ok, bytes32 word) = _readTarget(_probeCall);
        if (!ok) revert ProbeFailed(target);
        return word;
    }
}
