// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Ownable} from "solady/auth/Ownable.sol";
import {IGuardianEvents, LiftTerms, Outcome} from "../../src/interfaces/IGuardianEvents.sol";
import {Alert, AlertLib} from "../../src/libraries/AlertLib.sol";
import {QuorumVerifier} from "../../src/verifier/QuorumVerifier.sol";
import {Guarded} from "../support/Guarded.sol";

/// @notice A quorum's all-clear.
contract ClearTest is Guarded {
    uint32 private constant MIN_HOLD = 30 minutes;

    function setUp() public {
        setUpGuardian();
        allowClear(MIN_HOLD);
        deliver(makeAlert());
    }

    function allowClear(uint32 minHold) private {
        vm.prank(owner);
        guardian.setLiftTerms(PAUSE, LiftTerms({minHold: minHold, graceAction: 0, graceSeconds: 0}));
    }

    function expectRefused(Alert memory alert, bytes memory reason) private {
        bytes32[] memory leaves_ = leavesOf(PAUSE, "");
        bytes memory certificate = certifyAlert(alert, leaves_);
        vm.expectRevert(reason);
        guardian.clear(alert, leaves_, 0, PAUSE, "", certificate);
        assertTrue(target.paused());
        assertGt(untilOf(PAUSE), 0);
    }

    function test_EndsTheRestriction() public {
        advance(MIN_HOLD);
        Alert memory alert = makeClear();

        vm.expectEmit(address(guardian));
        emit IGuardianEvents.Cleared(
            digestOf(alert, leavesOf(PAUSE, "")), PAUSE, uint40(vm.getBlockTimestamp()), true
        );
        Outcome outcome = deliverClear(alert, PAUSE);

        assertEq(uint8(outcome), uint8(Outcome.Acted));
        assertFalse(target.paused());
        assertEq(untilOf(PAUSE), 0);
        assertEq(stateOf(PAUSE).observedAfter, vm.getBlockTimestamp() + COOLDOWN);
    }

    /// @dev Else one all-clear would end whatever else is restricted.
    function test_T22_RevertIf_TheAllClearIsForAnotherAction() public {
        advance(MIN_HOLD);
        Alert memory alert = makeClear();
        bytes32[] memory leaves_ = leavesOf("another", "");
        bytes memory certificate = certifyAlert(alert, leaves_);

        vm.expectRevert(
            abi.encodeWithSelector(IGuardianEvents.LeafMismatch.selector, leaves_[0], leavesOf(PAUSE, "")[0])
        );
        guardian.clear(alert, leaves_, 0, PAUSE, "", certificate);
        assertTrue(target.paused());
    }

    function test_RevertIf_MinimumHoldIsNotOver() public {
        uint256 heldUntil = vm.getBlockTimestamp() + MIN_HOLD;
        advance(MIN_HOLD - 1);

        expectRefused(
            makeClear(),
            abi.encodeWithSelector(IGuardianEvents.HeldUntil.selector, heldUntil, vm.getBlockTimestamp())
        );
        advance(1);
        deliverClear(makeClear(), PAUSE);
        assertFalse(target.paused());
    }

    function test_RevertIf_OwnerAllowsNoAllClear() public {
        allowClear(type(uint32).max);
        advance(1 hours);

        expectRefused(makeClear(), abi.encodeWithSelector(IGuardianEvents.AllClearNotAllowed.selector, PAUSE));
    }

    function test_RevertIf_OwnerNeverSaidThatAnAllClearMay() public {
        bytes32 other = keccak256("other");
        vm.prank(owner);
        guardian.setAction(other, pauseConfig());

        assertEq(guardian.liftTerms(other).minHold, type(uint32).max);
    }

    /// @dev Also one seen in the block in which it began knows nothing of it.
    function test_RevertIf_ObservedBeforeTheRestrictionBegan() public {
        Alert memory alert = makeClear();
        advance(MIN_HOLD);

        expectRefused(
            alert,
            abi.encodeWithSelector(
                IGuardianEvents.AlertTooOld.selector, alert.observedAt, stateOf(PAUSE).startedAt
            )
        );
    }

    function test_RevertIf_TheAllClearIsOfAnEarlierRestriction() public {
        advance(MIN_HOLD);
        Alert memory alert = makeClear();
        alert.expiresAt = alert.observedAt + 1 days;
        deliverClear(alert, PAUSE);
        advance(COOLDOWN + 1);
        deliver(makeAlert());
        advance(MIN_HOLD);

        expectRefused(
            alert,
            abi.encodeWithSelector(
                IGuardianEvents.AlertTooOld.selector, alert.observedAt, stateOf(PAUSE).startedAt
            )
        );
    }

    function test_RevertIf_VerdictIsThreat() public {
        advance(MIN_HOLD);

        expectRefused(makeAlert(), abi.encodeWithSelector(IGuardianEvents.VerdictMismatch.selector, 1, 2));
    }

    function test_RevertIf_LessStakeThanTheActionNeeds() public {
        advance(MIN_HOLD);
        Alert memory alert = makeClear();
        bytes32[] memory leaves_ = leavesOf(PAUSE, "");
        bytes memory four = certify(digestOf(alert, leaves_), list(0, 1, 2));

        vm.expectRevert(abi.encodeWithSelector(QuorumVerifier.QuorumNotReached.selector, 400, 700, 6667));
        guardian.clear(alert, leaves_, 0, PAUSE, "", four);
        assertTrue(target.paused());
    }

    function test_RevertIf_TheOwnerDisapprovesThePolicy() public {
        advance(MIN_HOLD);
        vm.prank(owner);
        guardian.setPolicy("another");

        expectRefused(
            makeClear(),
            abi.encodeWithSelector(IGuardianEvents.PolicyNotApproved.selector, POLICY, bytes32("another"))
        );
    }

    function test_SecondDeliveryDoesNothing() public {
        advance(MIN_HOLD);
        Alert memory alert = makeClear();
        deliverClear(alert, PAUSE);

        assertEq(uint8(deliverClear(alert, PAUSE)), uint8(Outcome.NotActive));
    }

    function test_NothingToEndIsNoError() public {
        vm.prank(owner);
        guardian.lift(PAUSE);
        assertEq(uint8(deliverClear(makeClear(), PAUSE)), uint8(Outcome.NotActive));

        // What ran out is for `expire`.
        advance(COOLDOWN + 1);
        deliver(makeAlert());
        vm.warp(untilOf(PAUSE));
        assertEq(uint8(deliverClear(makeClear(), PAUSE)), uint8(Outcome.NotActive));
        assertTrue(target.paused());
    }

    /// @dev I6: what governance paused itself, and what it adopted, no quorum opens.
    function test_PauseOfGovernanceIsNotTheNetworksToLift() public {
        vm.prank(owner);
        guardian.adopt(PAUSE);
        advance(MIN_HOLD);

        assertEq(uint8(deliverClear(makeClear(), PAUSE)), uint8(Outcome.NotActive));
        assertTrue(target.paused());
    }

    function test_UnusedTimeGoesBackIntoTheBudget() public {
        uint256 left = guardian.budgetLeft(PAUSE);
        advance(MIN_HOLD);

        deliverClear(makeClear(), PAUSE);

        assertGt(guardian.budgetLeft(PAUSE), left + DURATION - MIN_HOLD);
    }
}
