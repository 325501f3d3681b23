// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {IAdapter} from "../interfaces/IAdapter.sol";
import {TargetAdapter} from "./TargetAdapter.sol";

/// @notice A pause that ends by itself, as Lido's `PausableUntil` contracts offer it.
interface IPausableFor {
    function pauseFor(uint256 durationSeconds) external;
    function resume() external;
    function isPaused() external view returns (bool);
}

/// @title PauseForAdapter: pauses a target with `pauseFor(uint256)` for a duration fixed beforehand
/// @notice The pause ends by itself, whatever becomes of the guardian. The right to pause is PAUSE_ROLE or an
///         AccessManager role for `pauseFor`. `resume` is called where RESUME_ROLE or the manager grants it; where
///         it does not, the pause runs out or the owner lifts it. Once the duration is over, a pause that the target
///         still reports is not ours, and is left alone.
///
///         Storage. slot 0 `_pausedUntil` (8 bytes).
contract PauseForAdapter is TargetAdapter {
    /// @notice Longest pause that can be fixed, seconds.
    uint32 public constant MAX_PAUSE = 30 days;

    bytes32 private constant PAUSE_ROLE = keccak256("PAUSE_ROLE");
    bytes32 private constant RESUME_ROLE = keccak256("RESUME_ROLE");

    /// @notice Length of a pause, seconds.
    uint32 public immutable pauseSeconds;

    uint64 private _pausedUntil;

    /// @notice The pause must last, and not longer than `max` seconds.
    error PauseInvalid(uint32 given, uint32 max);

    constructor(address guardian_, address target_, uint32 pauseSeconds_) TargetAdapter(guardian_, target_) {
        if (pauseSeconds_ == 0 || pauseSeconds_ > MAX_PAUSE) revert PauseInvalid(pauseSeconds_, MAX_PAUSE);
        pauseSeconds = pauseSeconds_;
    }

    /// @inheritdoc IAdapter
    /// @dev For the guardian alone. `params` must be empty.
    function engage(bytes calldata params) external onlyGuardian {
        _refuseParameters(params);
        _pausedUntil = uint64(block.timestamp) + pauseSeconds;
        _callTarget(abi.encodeCall(IPausableFor.pauseFor, (pauseSeconds)));
    }

    /// @inheritdoc IAdapter
    /// @dev For the guardian alone.
    function release() external onlyGuardian returns (bool released) {
        if (block.timestamp >= _pausedUntil || !_mayResume()) return false;
        _callTarget(abi.encodeCall(IPausableFor.resume, ()));
        return true;
    }

    /// @inheritdoc IAdapter
    function engaged() external view returns (bool) {
        return _requireFlag(IPausableFor.isPaused.selector);
    }

    /// @inheritdoc IAdapter
    function ready() external view returns (bool ok, bytes32 reason) {
        (ok,) = _readFlag(abi.encodeCall(IPausableFor.isPaused, ()));
        if (!ok) return (false, "PAUSED_NOT_READABLE");
        if (_holds(PAUSE_ROLE, IPausableFor.pauseFor.selector)) return (true, bytes32(0));
        return (false, "NO_RIGHT_TO_PAUSE");
    }

    function _mayResume() private view returns (bool) {
        return _holds(RESUME_ROLE, IPausableFor.resume.selector);
    }

    function _holds(bytes32 role, bytes4 selector) private view returns (bool) {
        return _grants(abi.encodePacked(IAccessControl.hasRole.selector, role)) || _managerAllows(selector);
    }
}
