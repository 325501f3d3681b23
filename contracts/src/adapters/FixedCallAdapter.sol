// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IAdapter} from "../interfaces/IAdapter.sol";
import {RestoringAdapter} from "./RestoringAdapter.sol";
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
///         Storage. slots 0-2 of RestoringAdapter; slot 3 `_engageCall`, slot 4 `_releaseCall` (bytes, fixed in the
///         constructor).
abstract contract FixedCallAdapter is RestoringAdapter {
    /// @notice When a probed word means "restricted".
    enum Compare {
        Equal,
        AtMost,
        AtLeast
    }

    /// @notice The word that the probe is compared with.
    bytes32 public immutable expected;

    /// @notice How it is compared, as an unsigned number.
    Compare public immutable compare;

    bytes private _engageCall;
    bytes private _releaseCall;

    constructor(
        address guardian_,
        address target_,
        bytes memory engageCall_,
        bytes memory releaseCall_,
        bytes memory probeCall_,
        Compare compare_,
        bytes32 expected_
    ) TargetAdapter(guardian_, target_) RestoringAdapter(probeCall_, 0) {
        _requireSelector(engageCall_);
        if (releaseCall_.length != 0) _requireSelector(releaseCall_);
        _engageCall = engageCall_;
        _releaseCall = releaseCall_;
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
    /// @dev For the guardian alone. `params` must be empty.
    function engage(bytes calldata params) external onlyGuardian {
        _refuseParameters(params);
        _change(_engageCall);
    }

    /// @inheritdoc IAdapter
    /// @dev For the guardian alone.
    function release() external onlyGuardian returns (bool released) {
        bytes memory data = _releaseCall;
        if (data.length == 0) return false;
        (bool ours, bytes32 previous) = _takeBack();
        if (!ours) return false;
        _callTarget(data.length == 4 ? abi.encodePacked(data, previous) : data);
        return true;
    }

    /// @inheritdoc IAdapter
    function engaged() public view returns (bool) {
        (bool ok, bytes32 word) = _tryProbe();
        if (!ok) return false;
        if (compare == Compare.AtMost) return word <= expected;
        if (compare == Compare.AtLeast) return word >= expected;
        return word == expected;
    }

    /// @inheritdoc IAdapter
    function ready() external view returns (bool ok, bytes32 reason) {
        (ok,) = _tryProbe();
        if (!ok) return (false, "PROBE_FAILED");
        return _holdsRight(bytes4(_engageCall), bytes4(_releaseCall));
    }

    /// @dev Whether the target lets this adapter make the two calls; `releaseSelector` is zero without one.
    function _holdsRight(bytes4 engageSelector, bytes4 releaseSelector)
        internal
        view
        virtual
        returns (bool ok, bytes32 reason);

    /// @dev As `_mayCall`, for both calls.
    function _mayCallBoth(bytes4 engageSelector, bytes4 releaseSelector, bytes memory rightProbe)
        internal
        view
        returns (bool ok, bytes32 reason)
    {
        if (!_mayCall(engageSelector, rightProbe)) return (false, "NO_RIGHT_TO_ENGAGE");
        if (releaseSelector != bytes4(0) && !_mayCall(releaseSelector, rightProbe)) {
            return (false, "NO_RIGHT_TO_RELEASE");
        }
        return (true, bytes32(0));
    }
}
