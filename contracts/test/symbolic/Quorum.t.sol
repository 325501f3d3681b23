// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Level} from "../../src/interfaces/IGuardian.sol";
import {Ladder} from "../../src/libraries/Ladder.sol";
import {QuorumLib} from "../../src/libraries/QuorumLib.sol";

/// @title QuorumCheck: shares of weight, for every weight of 128 bits and every threshold of 16
/// @notice A panic of any kind fails these checks, so a product that overflows does.
/// @custom:halmos --panic-error-codes *
contract QuorumCheck {
    /// @notice I1: what is above a threshold is more than that share of the total, and is not nobody.
    function check_I1_AboveIsStrictlyMoreThanTheShare(uint128 signed, uint128 total, uint16 thresholdBps)
        external
        pure
    {
        bool isAbove = QuorumLib.isAbove(signed, total, thresholdBps);

        assert(isAbove == (10_000 * uint256(signed) > uint256(total) * thresholdBps));
        assert(!isAbove || signed != 0);
    }

    /// @notice I1: an action whose threshold is at its level's floor takes more than 1/3, 1/2 or 2/3 of the weight.
    function check_I1_AtTheFloorIsMoreThanTheLevelsShare(
        uint8 rung,
        uint128 signed,
        uint128 total,
        uint16 thresholdBps
    ) external pure {
        if (rung > uint8(Level.Pause)) return;
        if (!Ladder.isAtFloor(Level(rung), thresholdBps)) return;
        if (!QuorumLib.isAbove(signed, total, thresholdBps)) return;

        assert(signed != 0);
        if (rung <= uint8(Level.Limit)) assert(3 * uint256(signed) > total);
        if (Level(rung) == Level.Freeze) assert(2 * uint256(signed) > total);
        if (Level(rung) == Level.Pause) assert(3 * uint256(signed) > 2 * uint256(total));
    }

    /// @notice I1: a level's floor in bps is the least threshold that the level may have.
    function check_I1_TheFloorIsTheLeastThreshold(uint8 rung, uint16 thresholdBps) external pure {
        if (rung > uint8(Level.Pause)) return;
        uint16 floorBps = Ladder.floorBps(Level(rung));

        assert(Ladder.isAtFloor(Level(rung), thresholdBps) == (thresholdBps >= floorBps));
        assert(floorBps != 0 && floorBps < 10_000);
    }

    /// @notice I2: two sets of signers, each more than two thirds of a total of 128 bits, share more than a third.
    function check_I2_TwoHandoverQuorumsShareMoreThanAThird(
        uint128 onlyA,
        uint128 both,
        uint128 onlyB,
        uint128 neither
    ) external pure {
        uint256 total = uint256(onlyA) + both + onlyB + neither;
        if (total > type(uint128).max) return;
        if (!QuorumLib.isAboveTwoThirds(uint256(onlyA) + both, total)) return;
        if (!QuorumLib.isAboveTwoThirds(uint256(onlyB) + both, total)) return;

        assert(3 * uint256(both) > total);
    }

    /// @notice I2: the same of two pauses, with any thresholds that a pause may have.
    function check_I2_TwoPauseQuorumsShareMoreThanAThird(
        uint128 onlyA,
        uint128 both,
        uint128 onlyB,
        uint128 neither,
        uint16 thresholdA,
        uint16 thresholdB
    ) external pure {
        uint256 total = uint256(onlyA) + both + onlyB + neither;
        if (total > type(uint128).max) return;
        if (!Ladder.isAtFloor(Level.Pause, thresholdA) || !Ladder.isAtFloor(Level.Pause, thresholdB)) return;
        if (!QuorumLib.isAbove(uint256(onlyA) + both, total, thresholdA)) return;
        if (!QuorumLib.isAbove(uint256(onlyB) + both, total, thresholdB)) return;

        assert(3 * uint256(both) > total);
    }
}
