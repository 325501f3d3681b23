// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ActionConfig, IGuardianEvents, Level, Outcome} from "../../src/interfaces/IGuardianEvents.sol";
import {IAdapter} from "../../src/interfaces/IAdapter.sol";
import {Alert} from "../../src/libraries/AlertLib.sol";
import {QuorumVerifier} from "../../src/verifier/QuorumVerifier.sol";
import {Guarded} from "../support/Guarded.sol";

/// @notice The lowest rung: an action that only speaks.
contract AlertLevelTest is Guarded {
    bytes32 private constant TELL = keccak256("tell");
    uint24 private constant QUIET = 5 minutes;

    function setUp() public {
        setUpGuardian();
        configure(TELL, tellConfig());
    }

    function tellConfig() private pure returns (ActionConfig memory config) {
        (config.level, config.thresholdBps, config.cooldown) = (Level.Alert, 3334, QUIET);
    }

    function test_TellsAndTouchesNothing() public {
        Alert memory alert = makeAlert();
        bytes32[] memory leaves_ = leavesOf(TELL, "");
        bytes32 digest = digestOf(alert, leaves_);

        vm.expectEmit(address(guardian));
        emit IGuardianEvents.Alerted(digest, TELL, uint40(alert.observedAt) + QUIET, EPOCH, 300);
        Outcome outcome = guardian.respond(alert, leaves_, 0, TELL, "", certifyPresent(digest, list(1, 3, 5)));

        assertEq(uint8(outcome), uint8(Outcome.Acted));
        assertEq(untilOf(TELL), 0);
        assertFalse(target.paused());
    }

    function test_SecondDeliveryIsSilentAndNoError() public {
        Alert memory alert = makeAlert();
        deliver(alert, TELL);
        vm.recordLogs();

        assertEq(uint8(deliver(alert, TELL)), uint8(Outcome.AlreadyActive));
        advance(QUIET - 1);
        assertEq(uint8(deliver(makeAlert(), TELL)), uint8(Outcome.AlreadyActive));
        assertEq(vm.getRecordedLogs().length, 0);
    }

    function test_SpeaksAgainAfterItsCooldown() public {
        deliver(makeAlert(), TELL);
        advance(QUIET);
        assertEq(uint8(deliver(makeAlert(), TELL)), uint8(Outcome.AlreadyActive));

        advance(1);
        assertEq(uint8(deliver(makeAlert(), TELL)), uint8(Outcome.Acted));
    }

    function test_I4_WithoutACooldownTheSameAlertIsToldOnceAllTheSame() public {
        ActionConfig memory config = tellConfig();
        config.cooldown = 0;
        configure(TELL, config);
        Alert memory alert = makeAlert();
        deliver(alert, TELL);

        assertEq(uint8(deliver(alert, TELL)), uint8(Outcome.AlreadyActive));
    }

    function test_RevertIf_LessThanItsShareSigned() public {
        Alert memory alert = makeAlert();
        bytes32[] memory leaves_ = leavesOf(TELL, "");
        bytes memory two = certifyPresent(digestOf(alert, leaves_), list(1, 3));

        vm.expectRevert(abi.encodeWithSelector(QuorumVerifier.QuorumNotReached.selector, 200, 700, 3334));
        guardian.respond(alert, leaves_, 0, TELL, "", two);
    }

    /// @dev Who may be dishonest by the model, a third, cannot even make it speak.
    function test_I1_RevertIf_TheOwnerAsksForAThirdOrLess() public {
        ActionConfig memory config = tellConfig();
        config.thresholdBps = 3333;

        vm.prank(owner);
        vm.expectRevert(abi.encodeWithSelector(IGuardianEvents.ThresholdBelowFloor.selector, 0, 3333, 3334));
        guardian.setAction(TELL, config);
    }

    function test_NothingToExpireOrLift() public {
        deliver(makeAlert(), TELL);

        vm.expectRevert(abi.encodeWithSelector(IGuardianEvents.NotActive.selector, TELL));
        guardian.expire(TELL);
        vm.prank(owner);
        vm.expectRevert(abi.encodeWithSelector(IGuardianEvents.NotActive.selector, TELL));
        guardian.lift(TELL);
        assertEq(uint8(deliverClear(makeClear(), TELL)), uint8(Outcome.NotActive));
    }

    function test_RevertIf_ItIsGivenMeansToAct() public {
        for (uint256 field = 0; field < 5; ++field) {
            ActionConfig memory config = tellConfig();
            if (field == 0) config.adapter = IAdapter(address(adapter));
            if (field == 1) config.minGas = 1;
            if (field == 2) config.maxDuration = 1;
            if (field == 3) config.budget = 1;
            if (field == 4) config.window = 1;

            vm.prank(owner);
            vm.expectRevert(IGuardianEvents.AlertActsNot.selector);
            guardian.setAction(TELL, config);
        }
    }
}
