// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {OutflowLimitAdapter} from "../../src/adapters/OutflowLimitAdapter.sol";
import {Setting} from "../../src/adapters/SettingAdapter.sol";
import {ActionConfig, IGuardianEvents, Outcome} from "../../src/interfaces/IGuardianEvents.sol";
import {Alert} from "../../src/libraries/AlertLib.sol";
import {HostileSetting} from "../mocks/HostileSetting.sol";
import {Guarded} from "../support/Guarded.sol";

/// @notice What a certificate does, and what a second one does not.
contract RespondTest is Guarded {
    function setUp() public {
        setUpGuardian();
    }

    function test_PausesOnQuorum() public {
        Alert memory alert = makeAlert();
        bytes32[] memory leaves_ = leavesOf(PAUSE, "");
        bytes32 digest = digestOf(alert, leaves_);
        bytes memory certificate = certify(digest, list(0, 5));

        vm.expectEmit(address(guardian));
        emit IGuardianEvents.Responded(digest, PAUSE, uint40(vm.getBlockTimestamp()) + DURATION, EPOCH, 500);
        Outcome outcome = guardian.respond(alert, leaves_, 0, PAUSE, "", certificate);

        assertEq(uint8(outcome), uint8(Outcome.Acted));
        assertTrue(target.paused());
        assertEq(stateOf(PAUSE).startedAt, vm.getBlockTimestamp());
        assertEq(untilOf(PAUSE), vm.getBlockTimestamp() + DURATION);
    }

    function test_FindsItsLeafAmongOthers() public {
        Alert memory alert = makeAlert();
        bytes32[] memory leaves_ = new bytes32[](3);
        leaves_[0] = leafOf(10, address(guardian), PAUSE, "");
        leaves_[1] = leafOf(block.chainid, address(guardian), PAUSE, "");
        leaves_[2] = "another";

        guardian.respond(alert, leaves_, 1, PAUSE, "", certifyAlert(alert, leaves_));

        assertTrue(target.paused());
    }

    function test_ParametersReachTheTargetAsTheyWereSigned() public {
        HostileSetting limited = new HostileSetting(100);
        ActionConfig memory config = pauseConfig();
        config.adapter = new OutflowLimitAdapter(
            address(guardian),
            address(limited),
            Setting({
                setCall: abi.encodePacked(HostileSetting.setValue.selector),
                readCall: abi.encodeCall(limited.value, ()),
                readIndex: 0,
                rightProbe: ""
            }),
            1,
            90
        );
        configure("limit", config);
        Alert memory alert = makeAlert();
        bytes memory params = abi.encode(57);
        bytes32[] memory leaves_ = leavesOf("limit", params);

        guardian.respond(alert, leaves_, 0, "limit", params, certifyAlert(alert, leaves_));

        assertEq(limited.value(), 57);
    }

    function test_T36_WhoeverDeliversTheEffectIsTheSame() public {
        Alert memory alert = makeAlert();
        bytes32[] memory leaves_ = leavesOf(PAUSE, "");
        bytes memory certificate = certifyAlert(alert, leaves_);
        uint256 snapshot = vm.snapshotState();
        guardian.respond(alert, leaves_, 0, PAUSE, "", certificate);
        bytes memory own = abi.encode(stateOf(PAUSE));
        vm.revertToStateAndDelete(snapshot);

        vm.prank(makeAddr("front runner"), makeAddr("another origin"));
        guardian.respond(alert, leaves_, 0, PAUSE, "", certificate);

        assertTrue(target.paused());
        assertEq(abi.encode(stateOf(PAUSE)), own);
    }

    function test_SecondDeliveryDoesNothing() public {
        Alert memory alert = makeAlert();
        deliver(alert);
        uint40 until = untilOf(PAUSE);

        // In the same block, a minute later, and with a later alert: none prolongs.
        assertEq(uint8(deliver(alert)), uint8(Outcome.AlreadyActive));
        advance(1 minutes);
        assertEq(uint8(deliver(alert)), uint8(Outcome.AlreadyActive));
        assertEq(uint8(deliver(makeAlert())), uint8(Outcome.AlreadyActive));
        assertEq(untilOf(PAUSE), until);
    }

    function test_RevertIf_ItIsDeliveredInTheSecondInWhichARestrictionEnds() public {
        deliver(makeAlert());
        uint40 until = untilOf(PAUSE);
        vm.warp(until - 1);
        assertEq(uint8(deliver(makeAlert())), uint8(Outcome.AlreadyActive));

        vm.warp(until);
        Alert memory alert = makeAlert();
        bytes32[] memory leaves_ = leavesOf(PAUSE, "");
        bytes memory certificate = certifyAlert(alert, leaves_);
        vm.expectRevert(abi.encodeWithSelector(IGuardianEvents.AlertTooOld.selector, until, until + COOLDOWN));
        guardian.respond(alert, leaves_, 0, PAUSE, "", certificate);
    }

    function test_T15_AnotherCertificateOfTheSameAlertIsNoSecondEffect() public {
        Alert memory alert = makeAlert();
        bytes32[] memory leaves_ = leavesOf(PAUSE, "");
        bytes32 digest = digestOf(alert, leaves_);
        guardian.respond(alert, leaves_, 0, PAUSE, "", certify(digest, list(0, 5)));
        uint40 until = untilOf(PAUSE);
        advance(1 minutes);
        bytes memory other = certify(digest, list(2));

        Outcome outcome = guardian.respond(alert, leaves_, 0, PAUSE, "", other);

        assertEq(uint8(outcome), uint8(Outcome.AlreadyActive));
        assertEq(untilOf(PAUSE), until);
        vm.prank(owner);
        guardian.lift(PAUSE);
        vm.expectRevert(
            abi.encodeWithSelector(
                IGuardianEvents.AlertTooOld.selector, alert.observedAt, vm.getBlockTimestamp() + COOLDOWN
            )
        );
        guardian.respond(alert, leaves_, 0, PAUSE, "", other);
    }

    function test_PauseOfGovernanceStaysGovernances() public {
        target.pause();

        assertEq(uint8(deliver(makeAlert())), uint8(Outcome.AlreadyActive));

        assertEq(untilOf(PAUSE), 0);
        vm.expectRevert(abi.encodeWithSelector(IGuardianEvents.NotActive.selector, PAUSE));
        guardian.expire(PAUSE);
        assertTrue(target.paused());
    }

    function test_SecondDeliveryAfterAdoptionIsNoError() public {
        Alert memory alert = makeAlert();
        deliver(alert);
        vm.prank(owner);
        guardian.adopt(PAUSE);

        assertEq(uint8(deliver(alert)), uint8(Outcome.AlreadyActive));
        assertEq(untilOf(PAUSE), 0);
    }

    function test_NewAlertRenewsWhatRanOutAndWasNotCleared() public {
        deliver(makeAlert());
        uint40 over = untilOf(PAUSE);
        vm.warp(over + COOLDOWN);
        advance(1);

        assertEq(uint8(deliver(makeAlert())), uint8(Outcome.Acted));

        assertEq(untilOf(PAUSE), vm.getBlockTimestamp() + DURATION);
        assertEq(stateOf(PAUSE).lastEndedAt, over);
        assertTrue(target.paused());
    }

    function test_RenewalFindsATargetThatGovernanceOpenedAndRestrictsIt() public {
        deliver(makeAlert());
        vm.warp(untilOf(PAUSE) + COOLDOWN);
        target.unpause();
        advance(1);

        assertEq(uint8(deliver(makeAlert())), uint8(Outcome.Acted));

        assertTrue(target.paused());
    }
}
