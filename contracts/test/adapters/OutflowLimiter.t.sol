// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Test} from "forge-std/Test.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {OutflowLimiter} from "../../src/adapters/outflow/OutflowLimiter.sol";
import {Till} from "../mocks/Till.sol";

contract OutflowLimiterTest is Test {
    uint32 private constant WINDOW = 1 hours;
    uint256 private constant LIMIT = 1000;

    address private limiter = makeAddr("limiter");
    Till private till;

    uint256[] private spentAt;
    uint256[] private spentUnits;

    function setUp() public {
        vm.warp(1_800_000_000);
        till = new Till(address(this), WINDOW, LIMIT);
        till.setOutflowLimiter(limiter);
    }

    function brake(uint256 limit) private {
        vm.prank(limiter);
        till.brakeOutflow(limit);
    }

    /// @dev Summed one by one, closed at both ends.
    function leftSince(uint256 from) private view returns (uint256 units) {
        for (uint256 i = 0; i < spentAt.length; i++) {
            if (spentAt[i] >= from) units += spentUnits[i];
        }
    }

    /// @dev One step: wait, maybe move the limit, and try to spend.
    function spendOrNot(uint256 seed) private {
        skip(uint16(seed) % (WINDOW + WINDOW / 4));
        uint256 move = (seed >> 16) % 8;
        if (move == 0) till.setOutflowLimit((seed >> 32) % (2 * LIMIT));
        if (move == 1) brake((seed >> 32) % (till.outflowLimitOfOwner() + 1));
        uint256 units = 1 + (seed >> 64) % (LIMIT + LIMIT / 4);

        uint256 left = till.outflowLeft();
        try till.spend(units) {
            assertLe(units, left);
            spentAt.push(vm.getBlockTimestamp());
            spentUnits.push(units);
            assertLe(leftSince(vm.getBlockTimestamp() - WINDOW), till.outflowLimit(), "more left in a window");
        } catch (bytes memory reason) {
            assertGt(units, left);
            assertEq(reason, abi.encodeWithSelector(OutflowLimiter.OutflowLimitReached.selector, units, left));
        }
    }

    /// @dev The bound that the contract states, for every window that ends with a spend, while limits move.
    function testFuzz_NoWindowLetsMoreThanTheLimitThrough(uint256[24] calldata seeds) public {
        for (uint256 i = 0; i < seeds.length; i++) {
            spendOrNot(seeds[i]);
        }
    }

    /// @dev The other side of the bound: it holds nobody up for longer than it says.
    function testFuzz_AllIsLeftAgainAfterTwoWindows(uint256[8] calldata seeds) public {
        for (uint256 i = 0; i < seeds.length; i++) {
            spendOrNot(seeds[i]);
        }
        skip(2 * WINDOW);

        assertEq(till.outflowLeft(), till.outflowLimit());
        till.spend(till.outflowLimit());
        assertEq(till.outflowLeft(), 0);
    }

    function test_ABurstAcrossTheEdgeOfABucketIsOneBurst() public {
        vm.warp(1_800_000_000 / uint256(WINDOW) * WINDOW + 2 * WINDOW - 1);
        till.spend(LIMIT);
        skip(1);

        vm.expectRevert(abi.encodeWithSelector(OutflowLimiter.OutflowLimitReached.selector, 1, 0));
        till.spend(1);
    }

    function test_WhatLeftCountsToTheEndOfTheNextBucketAndNoLonger() public {
        vm.warp(1_800_000_000 / uint256(WINDOW) * WINDOW);
        till.spend(300);
        skip(WINDOW);
        till.spend(200);
        skip(WINDOW - 1);
        assertEq(till.outflowLeft(), LIMIT - 500);

        skip(1);
        assertEq(till.outflowLeft(), LIMIT - 200);
        skip(WINDOW);
        assertEq(till.outflowLeft(), LIMIT);
    }

    function test_TighterLimitCountsWhatHasLeftAlready() public {
        till.spend(600);
        brake(700);
        assertEq(till.outflowLeft(), 100);
        brake(500);
        assertEq(till.outflowLeft(), 0);

        vm.expectRevert(abi.encodeWithSelector(OutflowLimiter.OutflowLimitReached.selector, 1, 0));
        till.spend(1);
    }

    function testFuzz_RevertIf_LimiterLoosensWhatTheOwnerSet(uint256 limit) public {
        limit = bound(limit, LIMIT + 1, type(uint256).max);

        vm.prank(limiter);
        vm.expectRevert(abi.encodeWithSelector(OutflowLimiter.OutflowLimitTooLoose.selector, limit, LIMIT));
        till.brakeOutflow(limit);
    }

    function testFuzz_RevertIf_AnybodyElseBrakes(address caller) public {
        vm.assume(caller != limiter);

        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(OutflowLimiter.NotOutflowLimiter.selector, caller, limiter));
        till.brakeOutflow(1);
    }

    function test_LimiterTakesItsOwnBrakeBack() public {
        brake(10);
        vm.expectEmit(address(till));
        emit OutflowLimiter.OutflowBraked(LIMIT, LIMIT);
        brake(LIMIT);

        assertEq(till.outflowLimit(), LIMIT);
    }

    function testFuzz_WhatTheOwnerSetsEndsTheBrake(uint128 limit) public {
        brake(10);
        vm.expectEmit(address(till));
        emit OutflowLimiter.OutflowLimitSet(limit);
        till.setOutflowLimit(limit);

        assertEq(till.outflowLimit(), limit);
        assertEq(till.outflowLimitOfOwner(), limit);
    }

    function test_WithoutALimitAnAmountOf128BitsMayLeave() public {
        till.setOutflowLimit(till.UNLIMITED_OUTFLOW());
        till.spend(type(uint128).max - 1);
        till.spend(1);
        assertEq(till.outflowLeft(), 0);
    }

    function test_RevertIf_LimitIsBeyond128BitsOrTheWindowIsZero() public {
        uint256 tooMuch = uint256(type(uint128).max) + 1;
        vm.expectRevert(
            abi.encodeWithSelector(SafeCast.SafeCastOverflowedUintDowncast.selector, 128, tooMuch)
        );
        till.setOutflowLimit(tooMuch);
        vm.expectRevert(OutflowLimiter.OutflowWindowZero.selector);
        new Till(address(this), 0, LIMIT);
    }
}
