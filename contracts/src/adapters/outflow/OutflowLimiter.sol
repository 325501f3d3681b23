// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

/// @title OutflowLimiter: bounds what leaves a contract in any window of time
/// @notice For new code: inherit it, call `_spendOutflow(units)` wherever something leaves, and offer
///         `_setOutflowLimit` and `_setOutflowLimiter` to governance.
///
///         The bound is strict. When units leave at time t, all that left from t - window to t, this included, is at
///         most the limit in force at t. Time is cut into buckets of one window, and the present bucket and the one
///         before it count in full: they cover every span of one window that ends now. The price is that what left
///         counts for up to two windows. (OpenZeppelin's RateLimiter offers a bucket that refills, which lets
///         twice the limit through in one window, and an exact window whose storage grows with every call.)
///
///         Two hands are on the limit. Governance sets it. The limiter, an adapter of the guardian, can tighten it
///         and take that back, never beyond what governance set. Whatever governance sets takes effect at once and
///         ends what the limiter did.
///
///         Storage. three slots: `_limitOfOwner` 16 | `_limit` 16; `_previous` 16 | `_current` 16;
///         `_bucket` 8 | `outflowLimiter` 20. Units are bounded by 2^128 - 1, which means no limit.
abstract contract OutflowLimiter {
    /// @notice No limit.
    uint256 public constant UNLIMITED_OUTFLOW = type(uint128).max;

    /// @notice Length of the window, seconds.
    uint32 public immutable outflowWindow;

    uint128 private _limitOfOwner;
    uint128 private _limit;

    uint128 private _previous;
    uint128 private _current;

    uint64 private _bucket;

    /// @notice May tighten the limit; zero: nobody.
    address public outflowLimiter;

    /// @notice The owner set the limit.
    event OutflowLimitSet(uint256 limit);
    /// @notice The limiter tightened the limit.
    event OutflowBraked(uint256 limit, uint256 limitOfOwner);
    /// @notice The owner named who may tighten the limit.
    event OutflowLimiterSet(address limiter);

    /// @notice A window lasts at least a second.
    error OutflowWindowZero();
    /// @notice The caller may not tighten the limit.
    error NotOutflowLimiter(address caller, address limiter);
    /// @notice The limiter cannot set a limit above the owner's.
    error OutflowLimitTooLoose(uint256 given, uint256 limitOfOwner);
    /// @notice More would leave than is left of the limit.
    error OutflowLimitReached(uint256 requested, uint256 left);

    constructor(uint32 window, uint256 limit) {
        if (window == 0) revert OutflowWindowZero();
        outflowWindow = window;
        _setOutflowLimit(limit);
    }

    /// @notice Tightens the limit, or takes that back: any number of units up to governance's limit. For the limiter
    ///         alone.
    /// @param limit units of the asset in any window
    function brakeOutflow(uint256 limit) external {
        if (msg.sender != outflowLimiter) revert NotOutflowLimiter(msg.sender, outflowLimiter);
        if (limit > _limitOfOwner) revert OutflowLimitTooLoose(limit, _limitOfOwner);
        _limit = uint128(limit);
        emit OutflowBraked(limit, _limitOfOwner);
    }

    /// @notice Most units that may leave in one window, as it stands now.
    function outflowLimit() public view returns (uint256) {
        return _limit;
    }

    /// @notice The limit that governance set.
    function outflowLimitOfOwner() public view returns (uint256) {
        return _limitOfOwner;
    }

    /// @notice Units that may leave now.
    function outflowLeft() public view returns (uint256) {
        (uint256 previous, uint256 current) = _spent();
        return Math.saturatingSub(_limit, previous + current);
    }

    /// @dev Counts `units` that leave now; reverts when they are more than is left.
    function _spendOutflow(uint256 units) internal {
        (uint256 previous, uint256 current) = _spent();
        uint256 left = Math.saturatingSub(_limit, previous + current);
        if (units > left) revert OutflowLimitReached(units, left);
        _previous = uint128(previous);
        // previous + current + units <= limit < 2^128
        _current = uint128(current + units);
        _bucket = _bucketNow();
    }

    /// @dev For governance: sets the limit and ends what the limiter did.
    function _setOutflowLimit(uint256 limit) internal {
        _limitOfOwner = SafeCast.toUint128(limit);
        _limit = uint128(limit);
        emit OutflowLimitSet(limit);
    }

    /// @dev For governance: names who may tighten the limit.
    function _setOutflowLimiter(address limiter) internal {
        outflowLimiter = limiter;
        emit OutflowLimiterSet(limiter);
    }

    /// @dev Units that left in the bucket before the present one, and in the present one.
    function _spent() private view returns (uint256 previous, uint256 current) {
        uint64 age = _bucketNow() - _bucket;
        if (age > 1) return (0, 0);
        return age > 0 ? (_current, 0) : (_previous, _current);
    }

    function _bucketNow() private view returns (uint64) {
        return uint64(block.timestamp / outflowWindow);
    }
}
