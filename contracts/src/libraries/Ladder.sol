// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Level} from "../interfaces/IGuardian.sol";
import {QuorumLib} from "./QuorumLib.sol";

/// @title Ladder: the share of weight that each level needs
/// @notice Alert and limit: more than 1/3; freeze: more than 1/2; pause: more than 2/3. Twin of `FLOORS` in
///         `consensus/alert.py`. Below a third stands what the model allows to be dishonest: not even an event comes of it.
library Ladder {
    uint256 private constant BPS = QuorumLib.BPS;

    /// @notice The floor of a level as a fraction.
    function floorOf(Level level) internal pure returns (uint256 numerator, uint256 denominator) {
        if (level == Level.Pause) return (2, 3);
        if (level == Level.Freeze) return (1, 2);
        return (1, 3);
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
}
