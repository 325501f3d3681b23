// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ActionConfig, IGuardianEvents, Level, LiftTerms} from "../../src/interfaces/IGuardianEvents.sol";
import {HostileTarget} from "../mocks/HostileTarget.sol";
import {Guarded} from "../support/Guarded.sol";

/// @notice A staged lift: liquidations stay closed for a while when a pause ends.
contract GraceTest is Guarded {
    bytes32 private constant CALM = keccak256("no liquidations");
    uint24 private constant GRACE = 1 hours;

    HostileTarget private liquidations;

    function setUp() public {
        setUpGuardian();
        liquidations = addAction(CALM, Level.Limit, 3334);
        vm.prank(owner);
        guardian.setLiftTerms(PAUSE, LiftTerms({minHold: 0, graceAction: CALM, graceSeconds: GRACE}));
        deliver(makeAlert());
        advance(1);
    }

    function expectGrace() private view {
        assertFalse(target.paused());
        assertTrue(liquidations.paused());
        assertEq(untilOf(CALM), vm.getBlockTimestamp() + GRACE);
        assertTrue(stateOf(CALM).isGrace);
    }

    function test_GraceFollowsExpiry() public {
        vm.warp(untilOf(PAUSE) + 10 minutes);

        vm.expectEmit(address(guardian));
        emit IGuardianEvents.GraceBegun(
            CALM, PAUSE, uint40(vm.getBlockTimestamp()), uint40(vm.getBlockTimestamp()) + GRACE
        );
        guardian.expire(PAUSE);

        expectGrace();
    }

    function test_GraceFollowsLiftAllClearAndDisconnection() public {
        uint256 snapshot = vm.snapshotState();
        vm.prank(owner);
        guardian.lift(PAUSE);
        expectGrace();

        vm.revertToState(snapshot);
        deliverClear(makeClear(), PAUSE);
        expectGrace();

        vm.revertToState(snapshot);
        vm.prank(owner);
        guardian.disconnect();
        expectGrace();
    }

    /// @dev There is no moment in which neither holds: the target is released after the grace has begun.
    function test_GraceBeginsBeforeTheRelease() public {
        target.setCallBack(address(this), abi.encodeCall(this.requireCalm, ()));

        vm.prank(owner);
        guardian.lift(PAUSE);

        assertTrue(target.callBackOk());
    }

    function requireCalm() external view {
        require(liquidations.paused(), "released before the grace began");
    }

    function test_GraceRunsOutByItself() public {
        vm.prank(owner);
        guardian.lift(PAUSE);
        vm.warp(untilOf(CALM));

        vm.prank(makeAddr("stranger"));
        guardian.expire(CALM);

        assertFalse(liquidations.paused());
        assertEq(untilOf(CALM), 0);
        assertFalse(stateOf(CALM).isGrace);
    }

    function test_OwnerEndsTheGraceAtOnce() public {
        vm.startPrank(owner);
        guardian.lift(PAUSE);
        guardian.lift(CALM);

        assertFalse(liquidations.paused());
    }

    /// @dev Else two actions that name each other would restrict for ever.
    function test_GraceHasNoGrace() public {
        vm.startPrank(owner);
        guardian.setLiftTerms(CALM, LiftTerms({minHold: 0, graceAction: PAUSE, graceSeconds: GRACE}));
        guardian.lift(PAUSE);
        guardian.lift(CALM);

        assertEq(untilOf(PAUSE), 0);
        assertFalse(target.paused());
        assertFalse(liquidations.paused());
    }

    function test_GraceTakesFromItsOwnActionsBudget() public {
        uint256 left = guardian.budgetLeft(CALM);

        vm.prank(owner);
        guardian.lift(PAUSE);

        assertEq(guardian.budgetLeft(CALM), left - GRACE);
    }

    function test_GraceThatIsInForceAlreadyIsLeftAsItIs() public {
        deliver(makeAlert(), CALM);
        uint40 until = untilOf(CALM);

        vm.prank(owner);
        guardian.lift(PAUSE);

        assertFalse(target.paused());
        assertEq(untilOf(CALM), until);
        assertFalse(stateOf(CALM).isGrace);
    }

    function test_GraceBeginsAnewInTheSecondInWhichTheOtherEnds() public {
        deliver(makeAlert(), CALM);
        vm.warp(untilOf(CALM));

        guardian.expire(PAUSE);

        expectGrace();
    }

    function test_GraceThatGovernanceHoldsStaysGovernances() public {
        liquidations.pause();

        vm.prank(owner);
        guardian.lift(PAUSE);

        assertFalse(target.paused());
        assertEq(untilOf(CALM), 0);
        assertTrue(liquidations.paused());
    }

    function test_GraceRenewsWhatRanOutAndWasNotCleared() public {
        vm.prank(owner);
        guardian.lift(PAUSE);
        uint40 over = untilOf(CALM);
        vm.warp(over + 2 hours);
        advance(1);
        deliver(makeAlert());

        vm.prank(owner);
        guardian.lift(PAUSE);

        expectGrace();
        assertEq(stateOf(CALM).lastEndedAt, over);
    }

    function test_ReleaseDoesNotWaitForAGraceThatFails() public {
        liquidations.setMode(HostileTarget.Mode.Reverts);

        vm.expectEmit(true, true, false, false, address(guardian));
        emit IGuardianEvents.GraceFailed(CALM, PAUSE, "");
        vm.prank(owner);
        guardian.lift(PAUSE);

        assertFalse(target.paused());
        assertEq(untilOf(CALM), 0);
        assertEq(guardian.budgetLeft(CALM), BUDGET / 2);
    }

    function test_ReleaseDoesNotWaitForAGraceWithoutBudget() public {
        ActionConfig memory config = guardian.action(CALM);
        config.budget = 2 * DURATION;
        configure(CALM, config);
        deliver(makeAlert(), CALM);
        vm.warp(untilOf(CALM));
        guardian.expire(CALM);
        uint256 availableAt = stateOf(CALM).budgetFullAt + GRACE * 6 - WINDOW;

        vm.expectEmit(address(guardian));
        emit IGuardianEvents.GraceFailed(
            CALM, PAUSE, abi.encodeWithSelector(IGuardianEvents.BudgetSpent.selector, CALM, availableAt)
        );
        guardian.expire(PAUSE);

        assertFalse(target.paused());
        assertFalse(liquidations.paused());
    }

    /// @dev Skipping the grace by sending little gas would let a liquidator strike at once.
    function test_NoGasLimitEndsTheRestrictionWithoutItsGrace() public {
        vm.warp(untilOf(PAUSE));
        bytes memory data = abi.encodeCall(guardian.expire, (PAUSE));
        uint256 refused = 0;
        uint256 done = 0;
        for (uint256 gasLimit = 50_000; gasLimit < 700_000; gasLimit += 1000) {
            uint256 snapshot = vm.snapshotState();
            (bool ok,) = address(guardian).call{gas: gasLimit}(data);
            assertEq(ok, !target.paused(), "ended and released together, or neither");
            assertEq(ok, liquidations.paused(), "released under grace, or not at all");
            if (ok) ++done;
            else ++refused;
            vm.revertToStateAndDelete(snapshot);
        }
        assertGt(refused, 100);
        assertGt(done, 100);
    }

    function test_RevertIf_StrangerBeginsAGrace() public {
        vm.expectRevert(abi.encodeWithSelector(IGuardianEvents.NotSelf.selector, address(this)));
        guardian.beginGrace(PAUSE, CALM, GRACE);
    }

    function test_GraceIsCutToTheActionsOwnLength() public {
        ActionConfig memory config = guardian.action(CALM);
        config.maxDuration = GRACE / 2;
        configure(CALM, config);

        vm.prank(owner);
        guardian.lift(PAUSE);

        assertEq(untilOf(CALM), vm.getBlockTimestamp() + GRACE / 2);
    }

    function test_ReleaseDoesNotWaitForAGraceThatTheOwnerRemoved() public {
        vm.prank(owner);
        guardian.removeAction(CALM);

        vm.expectEmit(address(guardian));
        emit IGuardianEvents.GraceFailed(
            CALM, PAUSE, abi.encodeWithSelector(IGuardianEvents.UnknownAction.selector, CALM)
        );
        vm.prank(owner);
        guardian.lift(PAUSE);

        assertFalse(target.paused());
    }
}
