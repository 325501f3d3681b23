// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {CertificateLib} from "../../src/libraries/CertificateLib.sol";
import {OperatorSetChain} from "../../src/verifier/OperatorSetChain.sol";
import {ActionConfig, Guardian, Level, Outcome} from "../../src/guardian/Guardian.sol";
import {GuardianFactory} from "../../src/guardian/GuardianFactory.sol";
import {IAdapter} from "../../src/interfaces/IAdapter.sol";
import {PausableAdapter} from "../../src/adapters/PausableAdapter.sol";
import {Alert, AlertLib} from "../../src/libraries/AlertLib.sol";
import {AnchorLib} from "../../src/libraries/AnchorLib.sol";
import {QuorumVerifier} from "../../src/verifier/QuorumVerifier.sol";
import {Ownable} from "solady/auth/Ownable.sol";
import {HostileTarget} from "../mocks/HostileTarget.sol";
import {Guarded} from "../support/Guarded.sol";

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
        emit Guardian.Responded(
            digest, PAUSE, 3, uint64(vm.getBlockTimestamp()) + DURATION, 500, 700, EPOCH, slotOf(alert)
        );
        Outcome outcome = guardian.respond(alert, leaves_, 0, PAUSE, "", certificate);

        assertEq(uint8(outcome), uint8(Outcome.Acted));
        assertTrue(target.paused());
        assertEq(untilOf(PAUSE), vm.getBlockTimestamp() + DURATION);
    }

    function slotOf(Alert memory alert) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256(
                    "TocsinSlot(bytes32 policyHash,bytes32 ruleId,uint256 sourceChainId,uint256 anchorNumber,bytes32 anchorHash,bytes32 subject)"
                ),
                alert.policyHash,
                alert.ruleId,
                alert.sourceChainId,
                alert.anchorNumber,
                alert.anchorHash,
                alert.subject
            )
        );
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

    function test_AnyoneMayDeliver() public {
        vm.prank(makeAddr("stranger"));
        deliver(makeAlert());

        assertTrue(target.paused());
    }

    function test_SecondDeliveryDoesNothing() public {
        Alert memory alert = makeAlert();
        deliver(alert);
        uint64 until = untilOf(PAUSE);
        advance(1 minutes);

        assertEq(uint8(deliver(alert)), uint8(Outcome.AlreadyActive));
        // Another certificate of the same alert, and a later alert: neither prolongs.
        assertEq(uint8(deliver(makeAlert())), uint8(Outcome.AlreadyActive));
        assertEq(untilOf(PAUSE), until);
    }

    function test_PauseOfGovernanceStaysGovernances() public {
        target.pause();

        assertEq(uint8(deliver(makeAlert())), uint8(Outcome.AlreadyActive));
        assertEq(untilOf(PAUSE), 0);
        vm.expectRevert(abi.encodeWithSelector(Guardian.NotActive.selector, PAUSE));
        guardian.expire(PAUSE);
        assertTrue(target.paused());
    }

    // ---- each field of the alert

    function expectRefused(Alert memory altered, bytes memory certificate, bytes memory reason) internal {
        vm.expectRevert(reason);
        guardian.respond(altered, leavesOf(PAUSE, ""), 0, PAUSE, "", certificate);
        assertFalse(target.paused());
        assertEq(untilOf(PAUSE), 0);
    }

    function test_RevertIf_AnyFieldOfTheAlertIsAltered() public {
        Alert memory signed = makeAlert();
        bytes memory certificate = certifyAlert(signed, leavesOf(PAUSE, ""));
        bytes memory invalid = abi.encodePacked(CertificateLib.SignatureInvalid.selector);
        bytes32 x = keccak256("x");
        Alert memory a;

        a = copy(signed);
        a.epoch += 1;
        expectRefused(
            a, certificate, abi.encodeWithSelector(OperatorSetChain.EpochMismatch.selector, EPOCH, EPOCH + 1)
        );
        a = copy(signed);
        a.headerHash = x;
        expectRefused(
            a, certificate, abi.encodeWithSelector(OperatorSetChain.HeaderMismatch.selector, headerHash, x)
        );
        a = copy(signed);
        a.policyHash = x;
        expectRefused(a, certificate, abi.encodeWithSelector(Guardian.PolicyNotApproved.selector, x, POLICY));
        vm.prank(owner);
        guardian.setPolicy(x);
        expectRefused(a, certificate, invalid);
        vm.prank(owner);
        guardian.setPolicy(POLICY);
        a = copy(signed);
        a.ruleId = x;
        expectRefused(a, certificate, invalid);
        a = copy(signed);
        a.sourceChainId = 10;
        expectRefused(a, certificate, invalid);
        a = copy(signed);
        a.anchorNumber -= 1;
        expectRefused(
            a,
            certificate,
            abi.encodeWithSelector(Guardian.AnchorUnknownBlock.selector, a.anchorNumber, a.anchorHash)
        );
        a = copy(signed);
        a.anchorHash = x;
        expectRefused(
            a, certificate, abi.encodeWithSelector(Guardian.AnchorUnknownBlock.selector, a.anchorNumber, x)
        );
        a = copy(signed);
        a.subject = x;
        expectRefused(a, certificate, invalid);
        a = copy(signed);
        a.verdict = AlertLib.VERDICT_CLEAR;
        expectRefused(a, certificate, abi.encodeWithSelector(Guardian.VerdictNotThreat.selector, 2));
        a = copy(signed);
        a.observedAt -= 1;
        expectRefused(a, certificate, invalid);
        a = copy(signed);
        a.expiresAt += 1;
        expectRefused(a, certificate, invalid);
        a = copy(signed);
        a.evidenceHash = x;
        expectRefused(a, certificate, invalid);
        a = copy(signed);
        a.causeDigest = x;
        expectRefused(a, certificate, abi.encodeWithSelector(Guardian.CauseInvalid.selector, x, 0));
        a.causeDepth = 1;
        vm.prank(owner);
        guardian.setMaxCauseDepth(1);
        expectRefused(a, certificate, invalid);
    }

    function copy(Alert memory alert) internal pure returns (Alert memory) {
        return abi.decode(abi.encode(alert), (Alert));
    }

    function test_RevertIf_AnotherLeafIsAdded() public {
        Alert memory alert = makeAlert();
        bytes memory certificate = certifyAlert(alert, leavesOf(PAUSE, ""));
        bytes32[] memory two = new bytes32[](2);
        two[0] = leavesOf(PAUSE, "")[0];

        vm.expectRevert(CertificateLib.SignatureInvalid.selector);
        guardian.respond(alert, two, 0, PAUSE, "", certificate);
    }

    // ---- whose action

    function expectLeafRefused(bytes32 leaf) internal {
        Alert memory alert = makeAlert();
        bytes32[] memory leaves_ = new bytes32[](1);
        leaves_[0] = leaf;
        bytes memory certificate = certifyAlert(alert, leaves_);

        vm.expectRevert(abi.encodeWithSelector(Guardian.LeafMismatch.selector, leaf, leavesOf(PAUSE, "")[0]));
        guardian.respond(alert, leaves_, 0, PAUSE, "", certificate);
    }

    function test_RevertIf_LeafIsForAnotherChain() public {
        expectLeafRefused(leafOf(block.chainid + 1, address(guardian), PAUSE, ""));
    }

    function test_RevertIf_LeafIsForAnotherGuardian() public {
        expectLeafRefused(leafOf(block.chainid, address(newGuardian("other")), PAUSE, ""));
    }

    function test_RevertIf_LeafIsForAnotherAction() public {
        expectLeafRefused(leafOf(block.chainid, address(guardian), keccak256("freeze"), ""));
    }

    function test_RevertIf_LeafHasOtherParameters() public {
        expectLeafRefused(leafOf(block.chainid, address(guardian), PAUSE, hex"01"));
    }

    function test_RevertIf_ChainWasForked() public {
        Alert memory alert = makeAlert();
        bytes32[] memory leaves_ = leavesOf(PAUSE, "");
        bytes memory certificate = certifyAlert(alert, leaves_);
        vm.chainId(99);

        vm.expectRevert(
            abi.encodeWithSelector(
                Guardian.LeafMismatch.selector, leaves_[0], leafOf(99, address(guardian), PAUSE, "")
            )
        );
        guardian.respond(alert, leaves_, 0, PAUSE, "", certificate);
    }

    function test_RevertIf_NetworkIsAnother() public {
        Alert memory alert = makeAlert();
        bytes32[] memory leaves_ = leavesOf(PAUSE, "");
        bytes memory certificate = certifyAlert(alert, leaves_);
        QuorumVerifier foreign = new QuorumVerifier("another network", header, successionTerms());
        Guardian foreignGuardian = new Guardian(foreign);
        vm.etch(address(guardian), address(foreignGuardian).code);

        vm.expectRevert(CertificateLib.SignatureInvalid.selector);
        guardian.respond(alert, leaves_, 0, PAUSE, "", certificate);
    }

    function test_RevertIf_ActionIsUnknown() public {
        Alert memory alert = makeAlert();
        bytes32 freeze = keccak256("freeze");
        bytes32[] memory leaves_ = leavesOf(freeze, "");
        bytes memory certificate = certifyAlert(alert, leaves_);

        vm.expectRevert(abi.encodeWithSelector(Guardian.UnknownAction.selector, freeze));
        guardian.respond(alert, leaves_, 0, freeze, "", certificate);
    }

    function test_RevertIf_LeafIndexIsOutOfRange() public {
        Alert memory alert = makeAlert();
        bytes32[] memory leaves_ = leavesOf(PAUSE, "");
        bytes memory certificate = certifyAlert(alert, leaves_);

        vm.expectRevert(abi.encodeWithSelector(Guardian.LeafIndexOutOfRange.selector, 1, 1));
        guardian.respond(alert, leaves_, 1, PAUSE, "", certificate);
        vm.expectRevert(abi.encodeWithSelector(Guardian.LeafIndexOutOfRange.selector, 0, 0));
        guardian.respond(alert, new bytes32[](0), 0, PAUSE, "", certificate);
    }

    function test_RevertIf_TooManyLeaves() public {
        Alert memory alert = makeAlert();
        bytes32[] memory leaves_ = new bytes32[](17);
        leaves_[0] = leavesOf(PAUSE, "")[0];
        bytes memory certificate = certifyAlert(alert, leaves_);

        vm.expectRevert(abi.encodeWithSelector(Guardian.LeafCountInvalid.selector, 17, 16));
        guardian.respond(alert, leaves_, 0, PAUSE, "", certificate);
    }

    function test_RevertIf_ParametersAreGivenToAFixedAction() public {
        Alert memory alert = makeAlert();
        bytes32[] memory leaves_ = leavesOf(PAUSE, hex"01");
        bytes memory certificate = certifyAlert(alert, leaves_);

        vm.expectRevert(
            abi.encodeWithSelector(
                Guardian.ActionFailed.selector,
                PAUSE,
                abi.encodeWithSelector(IAdapter.ParametersNotTaken.selector, 1)
            )
        );
        guardian.respond(alert, leaves_, 0, PAUSE, hex"01", certificate);
    }

    // ---- weight

    function test_RevertIf_TooLittleStake() public {
        Alert memory alert = makeAlert();
        bytes32[] memory leaves_ = leavesOf(PAUSE, "");
        bytes memory certificate = certify(digestOf(alert, leaves_), list(0, 1, 2));

        vm.expectRevert(abi.encodeWithSelector(QuorumVerifier.QuorumNotReached.selector, 400, 700, 6667));
        guardian.respond(alert, leaves_, 0, PAUSE, "", certificate);
    }

    function test_ThresholdIsTheActionsOwn() public {
        ActionConfig memory config = pauseConfig();
        config.level = Level.Limit;
        config.thresholdBps = 3334;
        vm.prank(owner);
        guardian.setAction(PAUSE, config);
        advance(1);
        Alert memory alert = makeAlert();
        bytes32[] memory leaves_ = leavesOf(PAUSE, "");

        guardian.respond(
            alert, leaves_, 0, PAUSE, "", certifyPresent(digestOf(alert, leaves_), list(1, 2, 3))
        );

        assertTrue(target.paused());
    }

    // ---- time

    function test_RevertIf_Expired() public {
        Alert memory alert = makeAlert();
        bytes32[] memory leaves_ = leavesOf(PAUSE, "");
        bytes memory certificate = certifyAlert(alert, leaves_);

        vm.warp(alert.expiresAt + 1);
        vm.expectRevert(
            abi.encodeWithSelector(Guardian.AlertExpired.selector, alert.expiresAt, vm.getBlockTimestamp())
        );
        guardian.respond(alert, leaves_, 0, PAUSE, "", certificate);
        vm.warp(alert.expiresAt);
        guardian.respond(alert, leaves_, 0, PAUSE, "", certificate);
    }

    function expectWindowRefused(uint64 observedAt, uint64 expiresAt, bytes memory reason) internal {
        Alert memory alert = makeAlert();
        (alert.observedAt, alert.expiresAt) = (observedAt, expiresAt);
        expectRefused(alert, certifyAlert(alert, leavesOf(PAUSE, "")), reason);
    }

    function test_RevertIf_ObservedInTheFuture() public {
        uint64 later = uint64(vm.getBlockTimestamp()) + 1;

        expectWindowRefused(
            later,
            later + 60,
            abi.encodeWithSelector(Guardian.AlertFromFuture.selector, later, vm.getBlockTimestamp())
        );
    }

    function test_RevertIf_WindowIsTooLong() public {
        uint64 at = uint64(vm.getBlockTimestamp());

        expectWindowRefused(
            at,
            at + 86_401,
            abi.encodeWithSelector(Guardian.AlertWindowInvalid.selector, at, at + 86_401, 86_400)
        );
    }

    function test_RevertIf_WindowIsEmpty() public {
        uint64 at = uint64(vm.getBlockTimestamp());

        expectWindowRefused(
            at, at, abi.encodeWithSelector(Guardian.AlertWindowInvalid.selector, at, at, 86_400)
        );
    }

    function test_RevertIf_ObservedBeforeTheActionWasSet() public {
        uint64 setAt = uint64(vm.getBlockTimestamp());
        vm.prank(owner);
        guardian.setAction(PAUSE, pauseConfig());
        advance(1);

        expectWindowRefused(
            setAt, setAt + 60, abi.encodeWithSelector(Guardian.AlertTooOld.selector, setAt, setAt)
        );
    }

    // ---- replay

    function test_RevertIf_ReplayedAfterLift() public {
        Alert memory alert = makeAlert();
        deliver(alert);
        vm.prank(owner);
        guardian.lift(PAUSE);
        uint256 observedAfter = vm.getBlockTimestamp() + COOLDOWN;

        expectRefused(
            alert,
            certifyAlert(alert, leavesOf(PAUSE, "")),
            abi.encodeWithSelector(Guardian.AlertTooOld.selector, alert.observedAt, observedAfter)
        );
    }

    function test_RevertIf_ReplayedAfterExpiry() public {
        ActionConfig memory config = pauseConfig();
        (config.maxDuration, config.cooldown) = (5 minutes, 0);
        vm.prank(owner);
        guardian.setAction(PAUSE, config);
        advance(1);
        Alert memory alert = makeAlert();
        deliver(alert);
        uint64 until = untilOf(PAUSE);
        vm.warp(until);
        bytes memory certificate = certifyAlert(alert, leavesOf(PAUSE, ""));
        bytes memory reason = abi.encodeWithSelector(Guardian.AlertTooOld.selector, alert.observedAt, until);

        // Before anybody cleared it, and after.
        vm.expectRevert(reason);
        guardian.respond(alert, leavesOf(PAUSE, ""), 0, PAUSE, "", certificate);
        guardian.expire(PAUSE);
        expectRefused(alert, certificate, reason);
    }

    function test_RevertIf_ObservedWithinTheCooldown() public {
        deliver(makeAlert());
        vm.warp(untilOf(PAUSE));
        guardian.expire(PAUSE);
        uint256 end = vm.getBlockTimestamp();
        advance(COOLDOWN);
        Alert memory alert = makeAlert();

        expectRefused(
            alert,
            certifyAlert(alert, leavesOf(PAUSE, "")),
            abi.encodeWithSelector(Guardian.AlertTooOld.selector, alert.observedAt, end + COOLDOWN)
        );
        advance(1);
        deliver(makeAlert());
        assertTrue(target.paused());
    }

    function test_NewAlertRenewsWhatRanOutAndWasNotCleared() public {
        deliver(makeAlert());
        vm.warp(untilOf(PAUSE) + COOLDOWN);
        advance(1);

        assertEq(uint8(deliver(makeAlert())), uint8(Outcome.Acted));
        assertEq(untilOf(PAUSE), vm.getBlockTimestamp() + DURATION);
        assertTrue(target.paused());
    }

    // ---- anchor

    function test_RevertIf_AnchorIsNotPast() public {
        Alert memory alert = makeAlert();
        alert.anchorNumber = vm.getBlockNumber();

        expectRefused(
            alert,
            certifyAlert(alert, leavesOf(PAUSE, "")),
            abi.encodeWithSelector(Guardian.AnchorNotPast.selector, vm.getBlockNumber(), vm.getBlockNumber())
        );
    }

    function test_RevertIf_AnchorHashIsWrongWithinTheHistoryContract() public {
        Alert memory alert = makeAlert();
        vm.roll(vm.getBlockNumber() + 5000);
        vm.mockCall(AnchorLib.HISTORY, abi.encode(alert.anchorNumber), abi.encode(keccak256("real")));

        expectRefused(
            alert,
            certifyAlert(alert, leavesOf(PAUSE, "")),
            abi.encodeWithSelector(Guardian.AnchorUnknownBlock.selector, alert.anchorNumber, alert.anchorHash)
        );
        vm.mockCall(AnchorLib.HISTORY, abi.encode(alert.anchorNumber), abi.encode(alert.anchorHash));
        deliver(alert);
        assertTrue(target.paused());
    }

    function test_AnchorOutOfRangeIsLeftToTheQuorum() public {
        Alert memory alert = makeAlert();
        vm.roll(vm.getBlockNumber() + 10_000);

        deliver(alert);

        assertTrue(target.paused());
    }

    function test_AnchorOfAnotherChainIsNotCheckedHere() public {
        Alert memory alert = makeAlert();
        (alert.sourceChainId, alert.anchorNumber) = (10, vm.getBlockNumber() + 1_000_000);

        deliver(alert);

        assertTrue(target.paused());
    }

    // ---- cause

    function test_RevertIf_CauseIsTooDeep() public {
        Alert memory alert = makeAlert();
        (alert.causeDigest, alert.causeDepth) = ("cause", 2);
        vm.prank(owner);
        guardian.setMaxCauseDepth(1);

        expectRefused(
            alert,
            certifyAlert(alert, leavesOf(PAUSE, "")),
            abi.encodeWithSelector(Guardian.CauseTooDeep.selector, 2, 1)
        );
        vm.prank(owner);
        guardian.setMaxCauseDepth(2);
        deliver(alert);
        assertTrue(target.paused());
    }

    function test_RevertIf_PolicyIsUnset() public {
        vm.prank(owner);
        guardian.setPolicy(bytes32(0));
        Alert memory alert = makeAlert();
        alert.policyHash = bytes32(0);

        expectRefused(
            alert,
            certifyAlert(alert, leavesOf(PAUSE, "")),
            abi.encodeWithSelector(Guardian.PolicyNotApproved.selector, bytes32(0), bytes32(0))
        );
    }
}

contract HostileTargetTest is Guarded {
    function setUp() public {
        setUpGuardian();
    }

    function respondCall() internal view returns (bytes memory) {
        Alert memory alert = makeAlert();
        bytes32[] memory leaves_ = leavesOf(PAUSE, "");
        return abi.encodeCall(Guardian.respond, (alert, leaves_, 0, PAUSE, "", certifyAlert(alert, leaves_)));
    }

    function expectNothingHappened() internal view {
        assertEq(untilOf(PAUSE), 0);
        assertFalse(target.paused());
    }

    /// @dev T-32: with a naive call every limit in a band would consume the certificate without pausing.
    function test_NoGasLimitConsumesTheAlertWithoutEffect() public {
        bytes memory data = respondCall();
        uint256 refused = 0;
        uint256 done = 0;
        for (uint256 gasLimit = 150_000; gasLimit < 520_000; gasLimit += 1000) {
            uint256 snapshot = vm.snapshotState();
            (bool ok,) = address(guardian).call{gas: gasLimit}(data);
            assertEq(ok, target.paused(), "acted and paused together, or neither");
            assertEq(ok, untilOf(PAUSE) != 0, "state follows the effect");
            if (ok) ++done;
            else ++refused;
            vm.revertToStateAndDelete(snapshot);
        }
        assertGt(refused, 100);
        assertGt(done, 50);
    }

    function test_RevertIf_GasIsBelowTheActionsNeed() public {
        ActionConfig memory config = pauseConfig();
        config.minGas = 2_000_000;
        vm.prank(owner);
        guardian.setAction(PAUSE, config);
        advance(1);

        (bool ok, bytes memory reason) = address(guardian).call{gas: 2_000_000}(respondCall());

        assertFalse(ok);
        assertEq(bytes4(reason), Guardian.GasTooLow.selector);
        expectNothingHappened();
    }

    function test_RevertIf_TargetReverts() public {
        target.setMode(HostileTarget.Mode.Reverts);

        (bool ok, bytes memory reason) = address(guardian).call(respondCall());

        assertFalse(ok);
        assertEq(bytes4(reason), Guardian.ActionFailed.selector);
        expectNothingHappened();
    }

    function test_RevertIf_AdapterOrTargetHasNoCode() public {
        bytes memory data = respondCall();
        vm.etch(address(target), "");
        vm.expectRevert(
            abi.encodeWithSelector(
                Guardian.ActionFailed.selector,
                PAUSE,
                abi.encodeWithSelector(IAdapter.TargetFailed.selector, address(target), "")
            )
        );
        (bool matched,) = address(guardian).call(data);
        assertTrue(matched, "the revert is the expected one");
        vm.etch(address(adapter), "");
        vm.expectRevert(abi.encodeWithSelector(Guardian.ActionFailed.selector, PAUSE, ""));
        (matched,) = address(guardian).call(data);
        assertTrue(matched, "the revert is the expected one");

        (bool ready, bytes32 reason) = guardian.readiness(PAUSE);
        assertFalse(ready);
        assertEq(reason, bytes32("ADAPTER_FAILED"));
    }

    function test_RevertIf_TargetHasNoEffect() public {
        target.setMode(HostileTarget.Mode.IgnoresPause);

        (bool ok, bytes memory reason) = address(guardian).call(respondCall());

        assertFalse(ok);
        assertEq(reason, abi.encodeWithSelector(Guardian.EffectMissing.selector, PAUSE));
        expectNothingHappened();
    }

    function test_TargetThatBurnsGasCostsNoMoreThanItsShare() public {
        target.setMode(HostileTarget.Mode.BurnsGas);
        bytes memory data = respondCall();

        uint256 before = gasleft();
        (bool ok,) = address(guardian).call(data);

        assertFalse(ok);
        assertLt(before - gasleft(), 250_000 + pauseConfig().minGas);
        expectNothingHappened();
    }

    function test_WhatTheTargetReturnsIsNotCopied() public {
        ActionConfig memory config = pauseConfig();
        // Enough for the target to write a megabyte of memory (2.2 million gas), and no more than that.
        config.minGas = 4_000_000;
        vm.prank(owner);
        guardian.setAction(PAUSE, config);
        advance(1);
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

    function expectReentryRefused(bytes memory data) internal {
        target.setCallBack(address(guardian), data);

        (bool ok,) = address(guardian).call(respondCall());

        assertTrue(ok);
        assertFalse(target.callBackOk());
        assertEq(target.callBackAnswer(), abi.encodePacked(Guardian.Reentered.selector));
        assertTrue(target.paused());
    }

    function test_TargetCannotReenterRespond() public {
        // The call that it makes back costs more than the default action grants.
        ActionConfig memory config = pauseConfig();
        config.minGas = 3_000_000;
        vm.prank(owner);
        guardian.setAction(PAUSE, config);
        advance(1);
        expectReentryRefused(respondCall());
    }

    function test_TargetCannotReenterExpire() public {
        expectReentryRefused(abi.encodeCall(Guardian.expire, (PAUSE)));
    }

    function test_TargetThatOwnsTheGuardianCannotReenterLift() public {
        vm.prank(address(target));
        guardian.requestOwnershipHandover();
        vm.prank(owner);
        guardian.completeOwnershipHandover(address(target));
        expectReentryRefused(abi.encodeCall(Guardian.lift, (PAUSE)));
    }

    function test_TargetThatClaimsToBePausedChangesNothing() public {
        target.pause();
        target.setMode(HostileTarget.Mode.IgnoresPause);

        (bool ok, bytes memory answer) = address(guardian).call(respondCall());

        assertTrue(ok);
        assertEq(abi.decode(answer, (uint8)), uint8(Outcome.AlreadyActive));
        assertEq(untilOf(PAUSE), 0);
    }

    function test_TargetThatRefusesReleaseIsLeftToTheOwner() public {
        deliver(makeAlert());
        vm.warp(untilOf(PAUSE));
        target.setMode(HostileTarget.Mode.IgnoresPause);

        vm.expectEmit(address(guardian));
        emit Guardian.Expired(PAUSE, uint64(vm.getBlockTimestamp()), false);
        guardian.expire(PAUSE);

        (bool ready, bytes32 reason) = guardian.readiness(PAUSE);
        assertFalse(ready);
        assertEq(reason, bytes32("LEFT_TO_OWNER"));
    }

    function test_RevertIf_ReleaseReverts() public {
        deliver(makeAlert());
        uint64 until = untilOf(PAUSE);
        vm.warp(until);
        target.setMode(HostileTarget.Mode.Reverts);

        vm.expectPartialRevert(Guardian.ActionFailed.selector);
        guardian.expire(PAUSE);
        // It can be tried again, and the owner can take it over.
        assertEq(untilOf(PAUSE), until);
        target.setMode(HostileTarget.Mode.Honest);
        guardian.expire(PAUSE);
        assertFalse(target.paused());
    }
}

contract LiftTest is Guarded {
    function setUp() public {
        setUpGuardian();
        deliver(makeAlert());
    }

    function test_AnyoneExpires() public {
        uint64 until = untilOf(PAUSE);
        vm.warp(until + 1 hours);

        vm.expectEmit(address(guardian));
        emit Guardian.Expired(PAUSE, until, true);
        vm.prank(makeAddr("stranger"));
        guardian.expire(PAUSE);

        assertFalse(target.paused());
        (uint64 now_, uint64 lastEndedAt, uint64 observedAfter,) = guardian.state(PAUSE);
        assertEq(now_, 0);
        assertEq(lastEndedAt, until);
        assertEq(observedAfter, until + COOLDOWN);
    }

    function test_RevertIf_ExpiredTooEarly() public {
        uint64 until = untilOf(PAUSE);
        vm.warp(until - 1);

        vm.expectRevert(abi.encodeWithSelector(Guardian.NotYetExpired.selector, until, until - 1));
        guardian.expire(PAUSE);
    }

    function test_RevertIf_ExpiredTwice() public {
        vm.warp(untilOf(PAUSE));
        guardian.expire(PAUSE);

        vm.expectRevert(abi.encodeWithSelector(Guardian.NotActive.selector, PAUSE));
        guardian.expire(PAUSE);
    }

    function test_ExpiryLeavesALaterPauseOfGovernanceAloneWhenOursWasLiftedThere() public {
        target.unpause();
        vm.warp(untilOf(PAUSE));

        guardian.expire(PAUSE);

        assertEq(untilOf(PAUSE), 0);
        assertFalse(target.paused());
    }

    function test_OwnerLifts() public {
        vm.prank(owner);
        vm.expectEmit(address(guardian));
        emit Guardian.Lifted(PAUSE, uint64(vm.getBlockTimestamp()), true);
        guardian.lift(PAUSE);

        assertFalse(target.paused());
        assertEq(untilOf(PAUSE), 0);
    }

    function test_RevertIf_StrangerLiftsOrAdopts() public {
        vm.expectRevert(Ownable.Unauthorized.selector);
        guardian.lift(PAUSE);
        vm.expectRevert(Ownable.Unauthorized.selector);
        guardian.adopt(PAUSE);
    }

    function test_AdoptedRestrictionStays() public {
        uint64 until = untilOf(PAUSE);
        vm.prank(owner);
        vm.expectEmit(address(guardian));
        emit Guardian.Adopted(PAUSE, uint64(vm.getBlockTimestamp()));
        guardian.adopt(PAUSE);
        vm.warp(until + 1);

        vm.expectRevert(abi.encodeWithSelector(Guardian.NotActive.selector, PAUSE));
        guardian.expire(PAUSE);
        assertTrue(target.paused());
    }

    function test_RevertIf_NothingToLiftOrAdopt() public {
        vm.startPrank(owner);
        guardian.lift(PAUSE);

        vm.expectRevert(abi.encodeWithSelector(Guardian.NotActive.selector, PAUSE));
        guardian.lift(PAUSE);
        vm.expectRevert(abi.encodeWithSelector(Guardian.NotActive.selector, PAUSE));
        guardian.adopt(PAUSE);
    }

    function test_RevertIf_ActiveActionIsChangedOrRemoved() public {
        bytes memory reason = abi.encodeWithSelector(Guardian.ActionActive.selector, PAUSE, untilOf(PAUSE));
        vm.startPrank(owner);

        vm.expectRevert(reason);
        guardian.setAction(PAUSE, pauseConfig());
        vm.expectRevert(reason);
        guardian.removeAction(PAUSE);
    }
}

contract ConfigureTest is Guarded {
    function setUp() public {
        setUpGuardian();
    }

    function test_ActionReadsBackAsSet() public view {
        assertEq(abi.encode(guardian.action(PAUSE)), abi.encode(pauseConfig()));
    }

    function testFuzz_ThresholdIsHeldAgainstTheLevelsFloor(uint8 level, uint16 bps) public {
        level = uint8(bound(level, 1, 3));
        bps = uint16(bound(bps, 0, 11_000));
        ActionConfig memory config = pauseConfig();
        (config.level, config.thresholdBps) = (Level(level), bps);
        uint16 floor = level == 1 ? 3334 : level == 2 ? 5000 : 6667;

        if (bps < floor) {
            vm.expectRevert(abi.encodeWithSelector(Guardian.ThresholdBelowFloor.selector, level, bps, floor));
        } else if (bps >= 10_000) {
            vm.expectRevert(abi.encodeWithSelector(Guardian.ThresholdUnreachable.selector, bps, 9999));
        }
        vm.prank(owner);
        guardian.setAction(PAUSE, config);
    }

    /// @dev limit > 1/3, freeze > 1/2, pause > 2/3: one hundredth of a percent below is refused.
    function test_RevertIf_ThresholdIsBelowTheFloor() public {
        uint16[3] memory floors = [uint16(3334), 5000, 6667];
        for (uint8 level = 1; level <= 3; ++level) {
            ActionConfig memory config = pauseConfig();
            config.level = Level(level);
            config.thresholdBps = floors[level - 1] - 1;
            expectConfigRefused(
                config,
                abi.encodeWithSelector(
                    Guardian.ThresholdBelowFloor.selector, level, config.thresholdBps, floors[level - 1]
                )
            );
            config.thresholdBps = floors[level - 1];
            vm.prank(owner);
            guardian.setAction(PAUSE, config);
        }
    }

    function expectConfigRefused(ActionConfig memory config, bytes memory reason) internal {
        vm.prank(owner);
        vm.expectRevert(reason);
        guardian.setAction(PAUSE, config);
    }

    function test_RevertIf_LevelIsAlertOnly() public {
        ActionConfig memory config = pauseConfig();
        config.level = Level.Alert;
        expectConfigRefused(config, abi.encodeWithSelector(Guardian.LevelInvalid.selector, 0));
    }

    function test_RevertIf_DurationIsZeroOrTooLong() public {
        ActionConfig memory config = pauseConfig();
        config.maxDuration = 0;
        expectConfigRefused(config, abi.encodeWithSelector(Guardian.DurationInvalid.selector, 0, 30 days));
        config.maxDuration = 30 days + 1;
        expectConfigRefused(
            config, abi.encodeWithSelector(Guardian.DurationInvalid.selector, 30 days + 1, 30 days)
        );
    }

    function test_RevertIf_MinGasIsTooLow() public {
        ActionConfig memory config = pauseConfig();
        config.minGas = 49_999;
        expectConfigRefused(config, abi.encodeWithSelector(Guardian.MinGasTooLow.selector, 49_999, 50_000));
    }

    function test_RevertIf_AdapterObeysAnotherGuardian() public {
        ActionConfig memory config = pauseConfig();
        config.adapter = IAdapter(address(new PausableAdapter(address(this), address(target))));
        expectConfigRefused(
            config, abi.encodeWithSelector(Guardian.AdapterNotOurs.selector, address(config.adapter))
        );
    }

    function test_RevertIf_StrangerConfigures() public {
        vm.expectRevert(Ownable.Unauthorized.selector);
        guardian.setPolicy("x");
        vm.expectRevert(Ownable.Unauthorized.selector);
        guardian.setMaxCauseDepth(1);
        vm.expectRevert(Ownable.Unauthorized.selector);
        guardian.removeAction(PAUSE);
        ActionConfig memory config = pauseConfig();
        vm.expectRevert(Ownable.Unauthorized.selector);
        guardian.setAction(PAUSE, config);
    }

    function test_RemovedActionRefusesAndOldAlertsStayDeadWhenItReturns() public {
        Alert memory alert = makeAlert();
        bytes32[] memory leaves_ = leavesOf(PAUSE, "");
        bytes memory certificate = certifyAlert(alert, leaves_);
        vm.startPrank(owner);
        guardian.removeAction(PAUSE);

        vm.expectRevert(abi.encodeWithSelector(Guardian.UnknownAction.selector, PAUSE));
        guardian.respond(alert, leaves_, 0, PAUSE, "", certificate);
        vm.expectRevert(abi.encodeWithSelector(Guardian.UnknownAction.selector, PAUSE));
        guardian.removeAction(PAUSE);
        guardian.setAction(PAUSE, pauseConfig());
        vm.expectRevert(
            abi.encodeWithSelector(Guardian.AlertTooOld.selector, alert.observedAt, vm.getBlockTimestamp())
        );
        guardian.respond(alert, leaves_, 0, PAUSE, "", certificate);
    }

    function test_RemovalDoesNotShortenTheCooldown() public {
        deliver(makeAlert());
        vm.startPrank(owner);
        guardian.lift(PAUSE);
        (,, uint64 observedAfter,) = guardian.state(PAUSE);
        guardian.removeAction(PAUSE);
        guardian.setAction(PAUSE, pauseConfig());

        (,, uint64 after_,) = guardian.state(PAUSE);
        assertEq(after_, observedAfter);
    }

    function test_ReadinessNamesWhatIsMissing() public {
        (bool ok, bytes32 reason) = guardian.readiness(PAUSE);
        assertTrue(ok);
        (ok, reason) = guardian.readiness("unknown");
        assertEq(reason, bytes32("UNKNOWN_ACTION"));
        target.setPauser(address(0));
        (ok, reason) = guardian.readiness(PAUSE);
        assertEq(reason, bytes32("NO_RIGHT_TO_PAUSE"));
        vm.prank(owner);
        guardian.setPolicy(bytes32(0));
        (ok, reason) = guardian.readiness(PAUSE);
        assertEq(reason, bytes32("POLICY_UNSET"));
        assertFalse(ok);
    }
}

contract OwnershipTest is Guarded {
    function setUp() public {
        setUpGuardian();
    }

    function test_OwnershipMovesInTwoSteps() public {
        address next = makeAddr("next");
        vm.prank(next);
        guardian.requestOwnershipHandover();
        vm.prank(owner);
        guardian.completeOwnershipHandover(next);

        assertEq(guardian.owner(), next);
    }

    function test_RevertIf_OwnershipIsGivenInOneStep() public {
        vm.startPrank(owner);
        vm.expectRevert(Guardian.UseOwnershipHandover.selector);
        guardian.transferOwnership(makeAddr("next"));
        vm.expectRevert(Guardian.UseOwnershipHandover.selector);
        guardian.renounceOwnership();
    }

    function test_RevertIf_InitialisedTwice() public {
        vm.expectRevert(Ownable.AlreadyInitialized.selector);
        guardian.initialize(address(this), POLICY);
        Guardian implementation = new Guardian(verifier);
        vm.expectRevert(Ownable.AlreadyInitialized.selector);
        implementation.initialize(address(this), POLICY);
    }

    function test_CreationIsOpenAndTheAddressBelongsToTheOwner() public {
        GuardianFactory factory = new GuardianFactory(address(new Guardian(verifier)));
        address predicted = factory.predict(owner, POLICY, "salt");
        vm.prank(makeAddr("stranger"));
        address created = factory.create(owner, POLICY, "salt");

        assertEq(created, predicted);
        assertEq(Guardian(created).owner(), owner);
        assertEq(Guardian(created).policyHash(), POLICY);
        // A second call, as after a front-run, finds the same guardian.
        assertEq(factory.create(owner, POLICY, "salt"), created);
        assertTrue(factory.predict(address(this), POLICY, "salt") != created);
        assertTrue(factory.predict(owner, "other", "salt") != created);
    }

    function test_RevertIf_OwnerIsZero() public {
        GuardianFactory factory = new GuardianFactory(address(new Guardian(verifier)));
        vm.expectRevert(Ownable.NewOwnerIsZeroAddress.selector);
        factory.create(address(0), POLICY, "salt");
    }

    function test_RevertIf_ImplementationHasNoCode() public {
        vm.expectRevert(abi.encodeWithSelector(GuardianFactory.ImplementationHasNoCode.selector, owner));
        new GuardianFactory(owner);
    }
}
