// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {
    ActionConfig,
    IGuardianEvents,
    LiftTerms,
    Outcome,
    TankTerms
} from "../../src/interfaces/IGuardianEvents.sol";
import {IAdapter} from "../../src/interfaces/IAdapter.sol";
import {Alert} from "../../src/libraries/AlertLib.sol";
import {HostileTarget} from "../mocks/HostileTarget.sol";
import {Guarded} from "../support/Guarded.sol";

/// @title Besieged: a guardian whose target does what it likes, and the calls that reach it. For tests.
abstract contract Besieged is Guarded {
    /// @dev What one transaction may cost at most (EIP-7825).
    uint256 internal constant TRANSACTION_GAS = 16_777_216;

    /// @dev What this contract itself spends at most, whatever a target does with its share: verification, three
    ///      questions of 150,000 gas, books and events.
    uint256 internal constant OWN_GAS = 800_000;

    function setUp() public virtual {
        setUpGuardian();
        vm.prank(owner);
        guardian.setLiftTerms(PAUSE, LiftTerms({minHold: 0, graceAction: 0, graceSeconds: 0}));
    }

    function respondCall() internal view returns (bytes memory) {
        Alert memory alert = makeAlert();
        bytes32[] memory leaves_ = leavesOf(PAUSE, "");
        return abi.encodeCall(guardian.respond, (alert, leaves_, 0, PAUSE, "", certifyAlert(alert, leaves_)));
    }

    function clearCall() internal view returns (bytes memory) {
        Alert memory alert = makeClear();
        bytes32[] memory leaves_ = leavesOf(PAUSE, "");
        return abi.encodeCall(guardian.clear, (alert, leaves_, 0, PAUSE, "", certifyAlert(alert, leaves_)));
    }

    function expectNothingHappened() internal view {
        assertEq(untilOf(PAUSE), 0);
        assertFalse(target.isPaused());
    }

    /// @dev The target may have `minGas` and no more, and what it returns is not copied.
    function callBounded(bytes memory data) internal returns (bool ok, bytes memory answer) {
        uint256 before = gasleft();
        (ok, answer) = address(guardian).call{gas: TRANSACTION_GAS}(data);
        assertLt(before - gasleft(), OWN_GAS + guardian.action(PAUSE).minGas);
        assertLt(answer.length, 600);
    }
}

/// @notice `respond`, with a target that misbehaves when it is told to pause.
contract HostileResponseTest is Besieged {
    function test_T33_RevertIf_TargetReverts() public {
        target.setMode(HostileTarget.Mode.Reverts);

        (bool ok, bytes memory reason) = callBounded(respondCall());

        assertFalse(ok);
        assertEq(bytes4(reason), IGuardianEvents.ActionFailed.selector);
        expectNothingHappened();
    }

    function test_T33_RevertIf_AdapterOrTargetHasNoCode() public {
        bytes memory data = respondCall();
        vm.etch(address(target), "");
        (bool ok, bytes memory reason) = callBounded(data);
        assertFalse(ok);
        assertEq(bytes4(reason), IGuardianEvents.ActionFailed.selector);

        vm.etch(address(adapter), "");
        (ok, reason) = callBounded(data);
        assertFalse(ok);
        assertEq(reason, abi.encodeWithSelector(IGuardianEvents.EffectMissing.selector, PAUSE));
        assertEq(untilOf(PAUSE), 0);
    }

    function test_T33_RevertIf_TargetHasNoEffect() public {
        target.setMode(HostileTarget.Mode.IgnoresPause);

        (bool ok, bytes memory reason) = callBounded(respondCall());

        assertFalse(ok);
        assertEq(reason, abi.encodeWithSelector(IGuardianEvents.EffectMissing.selector, PAUSE));
        expectNothingHappened();
    }

    function test_T33_TargetThatBurnsGasCostsNoMoreThanItsShare() public {
        target.setMode(HostileTarget.Mode.BurnsGas);

        (bool ok,) = callBounded(respondCall());

        assertFalse(ok);
        expectNothingHappened();
    }

    /// @dev Enough for the target to write a megabyte of memory (2.2 million gas), and no more than that.
    function test_T33_WhatTheTargetReturnsIsNotCopied() public {
        ActionConfig memory config = pauseConfig();
        config.minGas = 4_000_000;
        configure(PAUSE, config);
        bytes memory data = respondCall();

        target.setMode(HostileTarget.Mode.RevertsMegabytes);
        uint256 before = gasleft();
        (bool ok, bytes memory reason) = address(guardian).call(data);
        assertFalse(ok);
        assertLt(reason.length, 600);
        assertLt(before - gasleft(), 2_800_000, "one megabyte once, by the target itself");
        expectNothingHappened();

        target.setMode(HostileTarget.Mode.ReturnsMegabytes);
        before = gasleft();
        (ok,) = address(guardian).call(data);
        assertTrue(ok);
        assertLt(before - gasleft(), 2_800_000, "one megabyte once, by the target itself");
        assertTrue(target.paused());
    }

    // ---- a target that lies

    function test_I6_TargetThatClaimsToBePausedChangesNothing() public {
        target.setAnswer(HostileTarget.Answer.Always);

        (bool ok, bytes memory answer) = callBounded(respondCall());

        assertTrue(ok);
        assertEq(abi.decode(answer, (uint8)), uint8(Outcome.AlreadyActive));
        expectNothingHappened();
    }

    function test_RevertIf_TargetDoesNotSayThatItIsPaused() public {
        HostileTarget.Answer[5] memory answers = [
            HostileTarget.Answer.Never,
            HostileTarget.Answer.Reverts,
            HostileTarget.Answer.BurnsGas,
            HostileTarget.Answer.Megabytes,
            HostileTarget.Answer.Garbage
        ];
        bytes memory data = respondCall();
        for (uint256 i = 0; i < answers.length; ++i) {
            target.setAnswer(answers[i]);

            (bool ok, bytes memory reason) = callBounded(data);

            assertFalse(ok);
            assertEq(reason, abi.encodeWithSelector(IGuardianEvents.EffectMissing.selector, PAUSE));
            expectNothingHappened();
        }
    }

    // ---- a target that calls back

    function expectReentryRefused(bytes memory call, bytes memory data) internal {
        target.setCallBack(address(guardian), data);

        (bool ok,) = address(guardian).call{gas: TRANSACTION_GAS}(call);

        assertTrue(ok);
        assertFalse(target.callBackOk());
        assertEq(target.callBackAnswer(), abi.encodePacked(IGuardianEvents.Reentered.selector));
    }

    function test_T33_TargetCannotReenterWhatAnyoneMayCall() public {
        // What it calls back with costs more than the default action grants.
        ActionConfig memory config = pauseConfig();
        config.minGas = 3_000_000;
        configure(PAUSE, config);
        bytes memory call = respondCall();
        bytes[4] memory back = [
            call,
            clearCall(),
            abi.encodeCall(guardian.expire, (PAUSE)),
            abi.encodeCall(guardian.dryRun, (PAUSE, ""))
        ];
        for (uint256 i = 0; i < back.length; ++i) {
            uint256 snapshot = vm.snapshotState();
            expectReentryRefused(call, back[i]);
            vm.revertToStateAndDelete(snapshot);
        }
    }

    function test_T33_TargetThatOwnsTheGuardianCannotReenter() public {
        vm.prank(address(target));
        guardian.requestOwnershipHandover();
        vm.prank(owner);
        guardian.completeOwnershipHandover(address(target));
        bytes memory call = respondCall();
        bytes[7] memory back = [
            abi.encodeCall(guardian.removeAction, (bytes32("another"))),
            abi.encodeCall(
                guardian.setTank, (TankTerms({maxPerResponse: 0, maxPerWindow: 0, window: 0, tipCap: 0}))
            ),
            abi.encodeCall(guardian.lift, (PAUSE)),
            abi.encodeCall(guardian.adopt, (PAUSE)),
            abi.encodeCall(guardian.disconnect, ()),
            abi.encodeCall(guardian.setAction, (PAUSE, pauseConfig())),
            abi.encodeCall(guardian.withdraw, (payable(address(target)), 0))
        ];
        for (uint256 i = 0; i < back.length; ++i) {
            uint256 snapshot = vm.snapshotState();
            expectReentryRefused(call, back[i]);
            assertTrue(target.paused());
            vm.revertToStateAndDelete(snapshot);
        }
    }

    /// @dev The parts that the guardian calls on itself are no door either.
    function test_T33_TargetCannotReachTheInnerCalls() public {
        target.setCallBack(address(guardian), abi.encodeCall(guardian.beginGrace, (PAUSE, PAUSE, uint24(1))));

        (bool ok,) = address(guardian).call(respondCall());

        assertTrue(ok);
        assertEq(
            target.callBackAnswer(), abi.encodeWithSelector(IGuardianEvents.NotSelf.selector, address(target))
        );
    }
}

/// @notice `expire`, `lift` and `clear`, with a target that does not want to be opened.
contract HostileReleaseTest is Besieged {
    function setUp() public override {
        super.setUp();
        deliver(makeAlert());
    }

    /// @dev Each way to end it, at a time at which that way is open.
    function ends() private returns (bytes[3] memory) {
        advance(1);
        return [abi.encodeCall(guardian.expire, (PAUSE)), abi.encodeCall(guardian.lift, (PAUSE)), clearCall()];
    }

    function end(uint256 way, bytes memory data) private returns (bool ok, bytes memory answer) {
        if (way == 0) vm.warp(untilOf(PAUSE));
        if (way == 1) vm.prank(owner);
        return address(guardian).call{gas: TRANSACTION_GAS}(data);
    }

    function test_RevertIf_ReleaseRevertsAndItCanBeTriedAgain() public {
        bytes[3] memory data = ends();
        for (uint256 way = 0; way < 3; ++way) {
            uint256 snapshot = vm.snapshotState();
            uint40 until = untilOf(PAUSE);
            target.setMode(HostileTarget.Mode.Reverts);

            (bool ok, bytes memory reason) = end(way, data[way]);

            assertFalse(ok);
            assertEq(bytes4(reason), IGuardianEvents.ActionFailed.selector);
            assertLt(reason.length, 600);
            assertEq(untilOf(PAUSE), until);
            target.setMode(HostileTarget.Mode.Honest);
            (ok,) = end(way, data[way]);
            assertTrue(ok);
            assertFalse(target.paused());
            vm.revertToStateAndDelete(snapshot);
        }
    }

    function test_ATargetThatIgnoresTheReleaseIsLeftToTheOwner() public {
        bytes[3] memory data = ends();
        for (uint256 way = 0; way < 3; ++way) {
            uint256 snapshot = vm.snapshotState();
            target.setMode(HostileTarget.Mode.IgnoresPause);

            (bool ok,) = end(way, data[way]);

            assertTrue(ok);
            assertEq(untilOf(PAUSE), 0);
            assertTrue(stateOf(PAUSE).ownerLifted);
            (bool ready, bytes32 reason) = guardian.readiness(PAUSE);
            assertFalse(ready);
            assertEq(reason, bytes32("LEFT_TO_OWNER"));
            vm.revertToStateAndDelete(snapshot);
        }
    }

    /// @dev Unknown is not "open": it is told to open, and is not believed to be.
    function test_AnAdapterThatDoesNotAnswerIsToldAndLeftToTheOwner() public {
        bytes[3] memory data = ends();
        for (uint256 way = 0; way < 3; ++way) {
            uint256 snapshot = vm.snapshotState();
            vm.mockCallRevert(address(adapter), abi.encodeCall(IAdapter.engaged, ()), "no");

            (bool ok,) = end(way, data[way]);

            assertTrue(ok);
            assertFalse(target.isPaused(), "it was told");
            assertEq(untilOf(PAUSE), 0);
            assertTrue(stateOf(PAUSE).ownerLifted);
            vm.clearMockedCalls();
            vm.revertToStateAndDelete(snapshot);
        }
    }

    function test_NoAnswerOfATargetStopsItsRelease() public {
        bytes[3] memory data = ends();
        for (uint256 i = 0; i < 18; ++i) {
            uint256 snapshot = vm.snapshotState();
            target.setAnswer(HostileTarget.Answer(1 + i / 3));

            (bool ok,) = end(i % 3, data[i % 3]);

            assertTrue(ok);
            assertEq(untilOf(PAUSE), 0);
            vm.revertToStateAndDelete(snapshot);
        }
    }

    function test_ATargetThatClaimsToBeOpenIsBelieved() public {
        target.setAnswer(HostileTarget.Answer.Never);
        vm.warp(untilOf(PAUSE));

        guardian.expire(PAUSE);

        assertEq(untilOf(PAUSE), 0);
        assertFalse(stateOf(PAUSE).ownerLifted);
    }

    function test_ATargetThatClaimsToBePausedIsLeftToTheOwner() public {
        target.setAnswer(HostileTarget.Answer.Always);
        vm.warp(untilOf(PAUSE));

        guardian.expire(PAUSE);

        assertEq(untilOf(PAUSE), 0);
        assertTrue(stateOf(PAUSE).ownerLifted);
    }

    function test_RevertIf_ReleaseBurnsAllTheGas() public {
        bytes[3] memory data = ends();
        for (uint256 way = 0; way < 3; ++way) {
            uint256 snapshot = vm.snapshotState();
            uint40 until = untilOf(PAUSE);
            target.setMode(HostileTarget.Mode.BurnsGas);

            (bool ok,) = end(way, data[way]);

            assertFalse(ok);
            assertEq(untilOf(PAUSE), until);
            vm.revertToStateAndDelete(snapshot);
        }
        // The owner is not at its mercy: it takes the restriction over, and the book is closed.
        vm.prank(owner);
        guardian.adopt(PAUSE);
        assertEq(untilOf(PAUSE), 0);
    }

    function test_WhatTheTargetReturnsIsNotCopied() public {
        bytes[3] memory data = ends();
        for (uint256 way = 0; way < 3; ++way) {
            uint256 snapshot = vm.snapshotState();
            target.setMode(HostileTarget.Mode.ReturnsMegabytes);
            uint256 before = gasleft();

            (bool ok,) = end(way, data[way]);

            assertTrue(ok);
            assertLt(before - gasleft(), 2_800_000, "one megabyte once, by the target itself");
            vm.revertToStateAndDelete(snapshot);
        }
    }

    function test_T33_TargetCannotReenterOnItsRelease() public {
        bytes[3] memory data = ends();
        bytes[3] memory back = [abi.encodeCall(guardian.expire, (PAUSE)), respondCall(), clearCall()];
        for (uint256 i = 0; i < 9; ++i) {
            uint256 snapshot = vm.snapshotState();
            target.setCallBack(address(guardian), back[i / 3]);

            (bool ok,) = end(i % 3, data[i % 3]);

            assertTrue(ok);
            assertEq(target.callBackAnswer(), abi.encodePacked(IGuardianEvents.Reentered.selector));
            vm.revertToStateAndDelete(snapshot);
        }
    }
}

/// @notice `dryRun`, with a target that misbehaves in every way.
contract HostileDryRunTest is Besieged {
    function test_AlwaysRevertsAndNothingStays() public {
        for (uint256 i = 0; i < 14; ++i) {
            uint256 snapshot = vm.snapshotState();
            if (i < 7) target.setMode(HostileTarget.Mode(i));
            else target.setAnswer(HostileTarget.Answer(i - 7));
            if (i == uint256(HostileTarget.Mode.CallsBack)) {
                target.setCallBack(address(guardian), abi.encodeCall(guardian.dryRun, (PAUSE, "")));
            }

            (bool ok, bytes memory reason) = callBounded(abi.encodeCall(guardian.dryRun, (PAUSE, "")));

            assertFalse(ok);
            assertEq(bytes4(reason), IGuardianEvents.DryRun.selector);
            bool works = abi.decode(slice(reason, 4, reason.length), (bool));
            bool expected = i == uint256(HostileTarget.Mode.Honest) || i == 7
                || i == uint256(HostileTarget.Mode.CallsBack);
            assertEq(works, expected, "what works says so, and nothing else");
            expectNothingHappened();
            vm.revertToStateAndDelete(snapshot);
        }
    }
}
