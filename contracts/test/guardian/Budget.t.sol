// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ActionConfig, IGuardianEvents, Level, Outcome} from "../../src/interfaces/IGuardianEvents.sol";
import {Alert} from "../../src/libraries/AlertLib.sol";
import {Refusing} from "./Refusal.t.sol";

/// @notice The time that one action may be restricted for: 16 hours in any day, 4 at a time, 8 in a row.
contract BudgetTest is Refusing {
    uint256 private start;

    function setUp() public {
        setUpGuardian();
        start = vm.getBlockTimestamp();
    }

    /// @dev A restriction of full length, ended and cooled down.
    function useUpOnce(bytes32 actionId) private {
        deliver(makeAlert(), actionId);
        vm.warp(untilOf(actionId));
        guardian.expire(actionId);
        advance(COOLDOWN + 1);
    }

    function test_WholeBucketIsHalfTheBudget() public view {
        assertEq(guardian.budgetLeft(PAUSE), BUDGET / 2);
    }

    function test_RevertIf_TheBudgetIsSpent() public {
        // Two thirds of the time may be restricted, so each restriction of 4 h costs 12 h of refilling.
        ActionConfig memory config = pauseConfig();
        config.budget = 8 hours;
        configure(PAUSE, config);
        uint256 first = vm.getBlockTimestamp();
        useUpOnce(PAUSE);

        // The bucket held one restriction; it is full again a day after the first began.
        Alert memory alert = makeAlert();
        expectSignedRefused(
            alert, abi.encodeWithSelector(IGuardianEvents.BudgetSpent.selector, PAUSE, first + WINDOW)
        );
        vm.warp(first + WINDOW);
        advance(0);
        assertEq(uint8(deliver(makeAlert())), uint8(Outcome.Acted));
    }

    function test_UnusedTimeGoesBack() public {
        uint256 before = guardian.budgetLeft(PAUSE);
        deliver(makeAlert());
        assertEq(guardian.budgetLeft(PAUSE), before - DURATION);

        advance(1 hours);
        vm.prank(owner);
        guardian.lift(PAUSE);

        // One hour used; in it, a third of an hour flowed in (16 hours a day by half).
        assertEq(guardian.budgetLeft(PAUSE), before - 1 hours + 20 minutes);
    }

    function test_AdoptedTimeIsNotTheNetworks() public {
        uint256 before = guardian.budgetLeft(PAUSE);
        deliver(makeAlert());

        vm.prank(owner);
        guardian.adopt(PAUSE);

        assertEq(guardian.budgetLeft(PAUSE), before);
    }

    /// @dev Who can limit cannot take the time that a pause needs.
    function test_OneActionsBudgetIsNotAnothers() public {
        bytes32 limit = keccak256("limit");
        addAction(limit, Level.Limit, 3334);

        useUpOnce(limit);

        assertLt(guardian.budgetLeft(limit), BUDGET / 2);
        assertEq(guardian.budgetLeft(PAUSE), BUDGET / 2);
    }

    function test_LateExpiryDoesNotCostMoreBudget() public {
        deliver(makeAlert());
        uint40 fullAt = stateOf(PAUSE).budgetFullAt;
        vm.warp(untilOf(PAUSE) + 3 hours);

        guardian.expire(PAUSE);

        assertEq(stateOf(PAUSE).budgetFullAt, fullAt);
    }

    function test_ShorterWindowForgivesNoMoreThanAnEmptyBucket() public {
        ActionConfig memory config = pauseConfig();
        (config.maxDuration, config.budget, config.window) = (30 days, 60 days, 180 days);
        configure(PAUSE, config);
        deliver(makeAlert());
        vm.warp(untilOf(PAUSE));
        guardian.expire(PAUSE);

        vm.prank(owner);
        guardian.setAction(PAUSE, pauseConfig());

        assertEq(stateOf(PAUSE).budgetFullAt, vm.getBlockTimestamp() + WINDOW);
        assertEq(guardian.budgetLeft(PAUSE), 0);
    }

    function test_BudgetOfAnUnknownOrRemovedActionIsNone() public {
        assertEq(guardian.budgetLeft("unknown"), 0);

        vm.prank(owner);
        guardian.removeAction(PAUSE);
        assertEq(guardian.budgetLeft(PAUSE), 0);
    }
}
