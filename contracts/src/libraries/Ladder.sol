// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Level} from "../interfaces/IGuardian.sol";

/// @title Ladder: the share of weight that each level needs
/// @notice Alert: any at all; limit: more than 1/3; freeze: more than 1/2; pause: more than 2/3. Shares are
///         compared by cross-multiplication: a share that is rounded down could reach zero.
library Ladder {
    uint256 internal constant BPS = 10_000;

    /// @notice The floor of a level as a fraction.
    function floorOf(Level level) internal pure returns (uint256 numerator, uint256 denominator) {
        if (level == Level.Pause) return (2, 3);
        if (level == Level.Freeze) return (1, 2);
        if (level == Level.Limit) return (1, 3);
        return (1, BPS);
    }

    /// @notice Whether an action of that level may have that threshold.
    function isAtFloor(Level level, uint256 thresholdBps) internal pure returns (bool) {
        (uint256 numerator, uint256 denominator) = floorOf(level);
        return thresholdBps * denominator >= numerator * BPS;
    }

    /// @notice The least threshold at or above the floor, in bps.
    function floorBps(Level level) internal pure returns (uint16) {
        (uint256 numerator, uint256 denominator) = floorOf(level);
        return uint16((numerator * BPS + denominator - 1) / denominator);
    }

    /// @notice Whether the signed weight is strictly more than the threshold's share of the total.
    function isExceeded(uint256 signedWeight, uint256 totalWeight, uint256 thresholdBps)
        internal
        pure
        returns (bool)
    {
        return signedWeight * BPS > totalWeight * thresholdBps;
    }
}
