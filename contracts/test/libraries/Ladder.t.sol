// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {Level} from "../../src/interfaces/IGuardian.sol";
import {Ladder} from "../../src/libraries/Ladder.sol";
import {QuorumLib} from "../../src/libraries/QuorumLib.sol";

contract LadderTest is Test {
    /// @dev Held against the words of the design, in thousandths of a percent so that a third is no fraction.
    function test_FloorsAreAThirdAHalfAndTwoThirds() public pure {
        for (uint256 bps = 0; bps <= 10_000; ++bps) {
            assertEq(Ladder.isAtFloor(Level.Alert, bps), bps >= 3334, "alert: above 33.33 %");
            assertEq(Ladder.isAtFloor(Level.Limit, bps), bps >= 3334, "limit: above 33.33 %");
            assertEq(Ladder.isAtFloor(Level.Freeze, bps), bps >= 5000, "freeze: half");
            assertEq(Ladder.isAtFloor(Level.Pause, bps), bps >= 6667, "pause: above 66.66 %");
        }
    }

    function test_FloorInBpsIsTheLeastThatIsAtTheFloor() public pure {
        for (uint8 level = 0; level < 4; ++level) {
            uint16 floor = Ladder.floorBps(Level(level));
            assertTrue(Ladder.isAtFloor(Level(level), floor));
            assertFalse(Ladder.isAtFloor(Level(level), floor - 1));
        }
    }

    /// @dev No level acts on nobody's word, whatever the owner wrote.
    /// forge-config: default.fuzz.runs = 10000
    function testFuzz_I1_WeightAboveAThresholdAtTheFloorIsAboveTheFloor(
        uint8 levelDrawn,
        uint16 bps,
        uint128 total,
        uint128 signed
    ) public pure {
        Level level = Level(bound(levelDrawn, 0, 3));
        bps = uint16(bound(bps, Ladder.floorBps(level), 9999));
        total = uint128(bound(total, 1, type(uint128).max));
        signed = uint128(bound(signed, 0, total));
        vm.assume(QuorumLib.isAbove(signed, total, bps));

        assertGt(signed, 0);
        if (level <= Level.Limit) assertGt(uint256(signed) * 3, total);
        if (level == Level.Freeze) assertGt(uint256(signed) * 2, total);
        if (level == Level.Pause) assertGt(uint256(signed) * 3, uint256(total) * 2);
    }
}
