// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Ownable} from "solady/auth/Ownable.sol";
import {GuardianOffice} from "../../src/guardian/GuardianOffice.sol";
import {ActionConfig, IGuardianEvents, Level, LiftTerms} from "../../src/interfaces/IGuardianEvents.sol";
import {Alert} from "../../src/libraries/AlertLib.sol";
import {HostileTarget} from "../mocks/HostileTarget.sol";
import {Guarded} from "../support/Guarded.sol";

/// @notice The owner cuts the guardian off in one transaction.
contract DisconnectTest is Guarded {
    bytes32 private constant SECOND = keccak256("second");
    bytes32 private constant THIRD = keccak256("third");

    HostileTarget private second;
    HostileTarget private third;

    function setUp() public {
        setUpGuardian();
        second = addAction(SECOND, Level.Limit, 3334);
        third = addAction(THIRD, Level.Freeze, 5000);
        deliver(makeAlert());
        deliver(makeAlert(), SECOND);
        deliver(makeAlert(), THIRD);
        advance(1);
    }

    function disconnect() private {
        vm.prank(owner);
        guardian.disconnect();
    }

    function test_ReleasesEverythingAndLetsNothingAct() public {
        vm.expectEmit(address(guardian));
        emit IGuardianEvents.PolicySet(bytes32(0));
        vm.expectEmit(address(guardian));
        emit IGuardianEvents.Disconnected();
        vm.expectEmit(address(guardian));
        emit IGuardianEvents.Lifted(PAUSE, uint40(vm.getBlockTimestamp()), true);
        disconnect();

        assertFalse(target.paused() || second.paused() || third.paused());
        assertEq(untilOf(PAUSE) + untilOf(SECOND) + untilOf(THIRD), 0);
        assertEq(guardian.policyHash(), bytes32(0));
        advance(COOLDOWN + 1);
        Alert memory alert = makeAlert();
        bytes memory certificate = certifyAlert(alert, leavesOf(PAUSE, ""));
        vm.expectRevert(
            abi.encodeWithSelector(IGuardianEvents.PolicyNotApproved.selector, POLICY, bytes32(0))
        );
        guardian.respond(alert, leavesOf(PAUSE, ""), 0, PAUSE, "", certificate);
    }

    function test_OneThatDoesNotLetGoKeepsNoOther() public {
        for (uint8 mode = 1; mode <= uint8(HostileTarget.Mode.IgnoresPause); ++mode) {
            uint256 snapshot = vm.snapshotState();
            second.setMode(HostileTarget.Mode(mode));
            vm.prank(owner);

            guardian.disconnect{gas: 16_000_000}();

            assertFalse(target.paused(), "the one before it is free");
            assertFalse(third.paused(), "the one after it is free");
            vm.revertToStateAndDelete(snapshot);
        }
    }

    /// @dev What failed is not forgotten: it can be tried again when the target has come to its senses.
    function test_WhatFailedKeepsItsStateAndCanBeTriedAgain() public {
        uint40 until = untilOf(SECOND);
        second.setMode(HostileTarget.Mode.Reverts);
        vm.expectEmit(true, false, false, false, address(guardian));
        emit IGuardianEvents.ReleaseFailed(SECOND, "");
        disconnect();
        assertEq(untilOf(SECOND), until);

        second.setMode(HostileTarget.Mode.Honest);
        disconnect();

        assertFalse(second.paused());
        assertEq(untilOf(SECOND), 0);
    }

    /// @dev Each has a share of the gas: three million for four shares.
    function test_ATargetThatBurnsGasLeavesTheOthersTheirs() public {
        target.setMode(HostileTarget.Mode.BurnsGas);
        second.setMode(HostileTarget.Mode.BurnsGas);
        vm.prank(owner);

        guardian.disconnect{gas: 3_000_000}();

        assertTrue(target.paused() && second.paused());
        assertFalse(third.paused());
        assertEq(guardian.policyHash(), bytes32(0));
    }

    function test_EachReleaseHasTheSameShareOfTheGasAndOneIsKeptBack() public {
        HostileTarget[3] memory burning = [target, second, third];
        for (uint256 i = 0; i < 3; ++i) {
            burning[i].setMode(HostileTarget.Mode.BurnsGas);
        }
        uint256 before = gasleft();
        vm.prank(owner);

        guardian.disconnect{gas: 4_000_000}();

        assertApproxEqRel(before - gasleft(), 3_000_000, 0.1e18);
    }

    function test_ManyActionsFitIntoOneTransaction() public {
        for (uint256 i = 3; i < 32; ++i) {
            bytes32 actionId = keccak256(abi.encode("action", i));
            addAction(actionId, Level.Limit, 3334);
            deliver(makeAlert(), actionId);
        }
        vm.prank(owner);

        guardian.disconnect{gas: 8_000_000}();

        bytes32[] memory ids = guardian.actionIds();
        assertEq(ids.length, 32);
        for (uint256 i = 0; i < ids.length; ++i) {
            assertEq(untilOf(ids[i]), 0);
        }
    }

    /// @dev A grace is the owner's own wish, also here; and it wins at once against that too.
    function test_GracesOfWhatEndsRemainAndNothingElse() public {
        vm.prank(owner);
        guardian.setLiftTerms(PAUSE, LiftTerms({minHold: 0, graceAction: THIRD, graceSeconds: 1 hours}));

        disconnect();

        assertFalse(target.paused() || second.paused());
        assertTrue(third.paused());
        assertTrue(stateOf(THIRD).isGrace);
        assertEq(untilOf(THIRD), vm.getBlockTimestamp() + 1 hours);
        disconnect();
        assertFalse(third.paused());
    }

    function test_OwnerReconnectsByApprovingAPolicy() public {
        disconnect();
        vm.prank(owner);
        guardian.setPolicy(POLICY);
        advance(COOLDOWN + 1);

        deliver(makeAlert());

        assertTrue(target.paused());
    }

    function test_NothingActiveIsNoError() public {
        disconnect();
        vm.recordLogs();

        disconnect();

        assertEq(vm.getRecordedLogs().length, 2);
    }

    function test_RevertIf_StrangerDisconnects() public {
        vm.expectRevert(Ownable.Unauthorized.selector);
        guardian.disconnect();
        vm.expectRevert(abi.encodeWithSelector(IGuardianEvents.NotSelf.selector, address(this)));
        GuardianOffice(address(guardian)).liftOne(PAUSE);
    }
}
