// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {IAdapter} from "../interfaces/IAdapter.sol";
import {Setting, SettingAdapter} from "./SettingAdapter.sol";

/// @title StepAdapter: lowers a cap or a collateral factor by a bounded step
/// @notice `engage` takes the step in bps of the present value, as one word. A step is at most `maxStepBps`, comes at
///         least `minIntervalSeconds` after the one before, and ends at `floor` at the lowest. The floor is never
///         zero: in many protocols a cap of zero means none, and a collateral factor of zero makes every loan liquid
///         at once.
///
///         Restricted means: at or below the floor, or not above what our last step left behind. So a value that
///         governance has made tighter still is left alone. A step that governance adopts stands until governance sets
///         the value anew; until then readiness says STEP_STANDS, because the guardian adds nothing to what is
///         governance's.
///
///         Storage. slots 0-4 of SettingAdapter; slot 5 `lastStepAt` (8 bytes).
contract StepAdapter is SettingAdapter {
    uint256 private constant BPS = 10_000;

    /// @notice Largest step, bps of the present value.
    uint16 public immutable maxStepBps;

    /// @notice Seconds between two steps.
    uint32 public immutable minIntervalSeconds;

    /// @notice Lowest value that a step may reach, in the target's own unit.
    uint256 public immutable floor;

    /// @notice Unix seconds of the last step; zero before the first.
    uint64 public lastStepAt;

    /// @notice The value was lowered by one step.
    event Stepped(uint256 previous, uint256 value);

    /// @notice The floor may not be zero.
    error FloorZero();
    /// @notice A step is from 1 to `max` bps.
    error StepInvalid(uint256 givenBps, uint256 max);
    /// @notice The next step is possible from `nextStepAt` on.
    error StepTooSoon(uint256 nextStepAt, uint256 time);
    /// @notice The value is at or below the floor, or too small for a step of this size to change it.
    error NothingToLower(uint256 value, uint256 floor);

    constructor(
        address guardian_,
        address target_,
        Setting memory setting_,
        uint16 maxStepBps_,
        uint32 minIntervalSeconds_,
        uint256 floor_
    ) SettingAdapter(guardian_, target_, setting_) {
        if (maxStepBps_ == 0 || maxStepBps_ >= BPS) revert StepInvalid(maxStepBps_, BPS - 1);
        if (floor_ == 0) revert FloorZero();
        maxStepBps = maxStepBps_;
        minIntervalSeconds = minIntervalSeconds_;
        floor = floor_;
    }

    /// @inheritdoc IAdapter
    /// @dev For the guardian alone. `params` is one word: the step in bps.
    function engage(bytes calldata params) external onlyGuardian {
        uint256 stepBps = _requireWord(params);
        if (stepBps == 0 || stepBps > maxStepBps) revert StepInvalid(stepBps, maxStepBps);
        uint256 nextStepAt = uint256(lastStepAt) + minIntervalSeconds;
        if (block.timestamp < nextStepAt) revert StepTooSoon(nextStepAt, block.timestamp);

        uint256 previous = uint256(_probe());
        // The part taken away is rounded down: never more than the step.
        uint256 value = Math.max(previous - Math.mulDiv(previous, stepBps, BPS), floor);
        if (value >= previous) revert NothingToLower(previous, floor);
        lastStepAt = uint64(block.timestamp);
        emit Stepped(previous, value);
        _set(bytes32(value));
    }

    function _isRestricted(bytes32 word) internal view override returns (bool) {
        return uint256(word) <= floor || _isOursOrLess(word);
    }

    function _obstacle(bytes32 word) internal view override returns (bytes32 reason) {
        if (uint256(word) <= floor) return "AT_FLOOR";
        if (_isOursOrLess(word)) return "STEP_STANDS";
    }
}
