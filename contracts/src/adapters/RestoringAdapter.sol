// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {TargetAdapter} from "./TargetAdapter.sol";

/// @title RestoringAdapter: changes one word of the target, and gives it back unless governance has moved it
/// @notice The word is what a fixed view of the target answers (the probe). A change remembers the word before and
///         the word that it left behind. While the target still answers with the latter, the change is ours: a second
///         one on top of it keeps the word before the first, and it can be taken back. When the target answers with
///         anything else, governance has moved it since, and what governance set stays. Governance that sets the very
///         word that stands cannot be told from one that leaves it: it adopts in the guardian to keep it.
///
///         Storage. slot 0 `_probeCall` (bytes, fixed in the constructor), slot 1 `_previous`, slot 2 `_after`. The
///         two words differ while a change of ours is not taken back, and only then.
abstract contract RestoringAdapter is TargetAdapter {
    /// @notice Place of the word in the probe's answer: 0 for the first.
    uint8 public immutable probeIndex;

    bytes internal _probeCall;

    bytes32 private _previous;
    bytes32 private _after;

    /// @notice The target did not answer the probe with a word.
    error ProbeFailed(address target);
    /// @notice A call has at least the four bytes of its selector.
    error CallTooShort(uint256 length);

    constructor(bytes memory probeCall_, uint8 probeIndex_) {
        _requireSelector(probeCall_);
        _probeCall = probeCall_;
        probeIndex = probeIndex_;
    }

    function _requireSelector(bytes memory data) internal pure {
        if (data.length < 4) revert CallTooShort(data.length);
    }

    /// @dev Makes the call; returns the word that it left behind.
    function _change(bytes memory data) internal returns (bytes32 word) {
        bytes32 before = _probe();
        if (!_isOurs(before)) _previous = before;
        _callTarget(data);
        word = _probe();
        _after = word;
    }

    /// @dev Closes the change; the caller makes the call that gives `previous` back. False where it is not ours.
    function _takeBack() internal returns (bool ours, bytes32 previous) {
        if (!_isOurs(_probe())) return (false, bytes32(0));
        previous = _previous;
        _after = previous;
        return (true, previous);
    }

    function _isOurs(bytes32 word) internal view returns (bool) {
        return _stands() && word == _after;
    }

    /// @dev Whether a change of ours stands, or something tighter that governance has put in its place.
    function _isOursOrLess(bytes32 word) internal view returns (bool) {
        return _stands() && word <= _after;
    }

    function _stands() private view returns (bool) {
        return _previous != _after;
    }

    function _tryProbe() internal view returns (bool ok, bytes32 word) {
        return _readWordAt(target, _probeCall, probeIndex);
    }

    function _probe() internal view returns (bytes32) {
        (bool ok, bytes32 word) = _tryProbe();
        if (!ok) revert ProbeFailed(target);
        return word;
    }
}
