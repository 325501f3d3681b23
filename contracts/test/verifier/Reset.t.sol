// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {CertificateLib} from "../../src/libraries/CertificateLib.sol";
import {OperatorSetChain, SuccessionTerms} from "../../src/verifier/OperatorSetChain.sol";
import {QuorumVerifier} from "../../src/verifier/QuorumVerifier.sol";
import {Succession} from "../support/Succession.sol";

/// @notice What the owner of a chain that has lost its thread can do, and what it cannot.
contract ResetTest is Succession {
    uint64 private constant DELAY = 3 days;

    OperatorSet private second;
    OperatorSet private later;
    uint64 private readyAt;

    /// @dev At the second set, with the first in its grace.
    function setUp() public {
        setUpSuccession();
        second = successorOf(first);
        handOver(first, second);
        later = makeSet(
            EPOCH + 9,
            9_000,
            six(),
            uint64(vm.getBlockTimestamp()),
            keccak256("a header that this chain missed")
        );
        readyAt = uint64(vm.getBlockTimestamp()) + DELAY;
    }

    function start(OperatorSet memory set) private {
        vm.prank(VERIFIER_OWNER);
        verifier.startReset(set.header);
    }

    function expectStartRefused(bytes memory reason, bytes memory set) private {
        vm.prank(VERIFIER_OWNER);
        vm.expectRevert(reason);
        verifier.startReset(set);
    }

    function act(OperatorSet memory set) external view {
        requireActs(set);
    }

    function expectSilent(OperatorSet memory set) private {
        vm.expectRevert(
            abi.encodeWithSelector(
                OperatorSetChain.SetNotInstalled.selector, epochOf(set), keccak256(set.header)
            )
        );
        this.act(set);
    }

    // ---- the way of a reset

    function test_NamedSetActsAfterTheDelay() public {
        start(later);
        vm.warp(readyAt);
        vm.prank(makeAddr("anyone"));
        vm.expectEmit();
        emit OperatorSetChain.SetInstalled(EPOCH + 9, keccak256(later.header), "");
        verifier.finishReset();

        requireActs(later);
        (uint32 epoch, uint64 validUntil) = verifier.currentSet();
        assertEq(epoch, EPOCH + 9);
        assertEq(validUntil, START + INTERVAL + LIFETIME);
        assertEq(verifier.setHashes(EPOCH + 9), keccak256(later.header));
        assertEq(verifier.graceUntil(), 0);
        (uint32 pending,,) = verifier.pendingReset();
        assertEq(pending, 0);
    }

    function test_SetsBeforeAResetNeverActAgain() public {
        start(later);
        vm.warp(readyAt);
        verifier.finishReset();

        assertEq(verifier.setHashes(EPOCH + 8), bytes32(0));
        expectSilent(second);
        expectSilent(first);
    }

    function test_SuccessionGoesOnFromTheNamedSet() public {
        start(later);
        vm.warp(readyAt);
        verifier.finishReset();

        assertFalse(handOver(first, second), "what is past stays a no-op");
        assertTrue(handOver(later, successorOf(later)));
    }

    function test_StartTellsWhatIsComing() public {
        vm.expectEmit();
        emit OperatorSetChain.ResetStarted(EPOCH + 9, keccak256(later.header), later.header, readyAt);
        start(later);

        (uint32 epoch, bytes32 setHash, uint64 ready) = verifier.pendingReset();
        assertEq(epoch, EPOCH + 9);
        assertEq(setHash, keccak256(later.header));
        assertEq(ready, readyAt);
    }

    // ---- silence

    function test_NobodyActsFromItsStartToItsEnd() public {
        start(later);

        expectSilent(second);
        expectSilent(first);
        expectSilent(later);
        (uint32 epoch, uint64 validUntil) = verifier.currentSet();
        assertEq(epoch, EPOCH + 1);
        assertEq(validUntil, 0);
        assertEq(verifier.setHashes(EPOCH), bytes32(0));
        assertEq(verifier.setHashes(EPOCH + 1), bytes32(0));
        vm.warp(readyAt);
        expectSilent(second);
        expectSilent(later);
    }

    function test_RevertIf_HandoverComesDuringAReset() public {
        OperatorSet memory third = successorOf(second);
        vm.warp(START + 2 * INTERVAL);
        start(later);
        (bytes memory outgoing, bytes memory incoming) = handoverOf(second, third);

        vm.expectRevert(
            abi.encodeWithSelector(
                OperatorSetChain.ResetPending.selector, uint64(vm.getBlockTimestamp()) + DELAY
            )
        );
        verifier.handover(outgoing, incoming);
    }

    function test_HandoversThatWereThereStayNoOpsDuringAReset() public {
        start(later);

        assertFalse(handOver(first, second));
        OperatorSet memory twin =
            makeSet(EPOCH + 1, 8_000, six(), uint64(START) + INTERVAL, keccak256(first.header));
        (bytes memory outgoing, bytes memory incoming) = handoverOf(first, twin);
        vm.expectRevert(
            abi.encodeWithSelector(
                OperatorSetChain.HandoverConflict.selector,
                EPOCH + 1,
                keccak256(twin.header),
                keccak256(second.header)
            )
        );
        verifier.handover(outgoing, incoming);
    }

    // ---- taken back

    function test_CancelBringsTheSetBack() public {
        start(later);
        vm.expectEmit();
        emit OperatorSetChain.ResetCancelled(EPOCH + 9, keccak256(later.header));
        vm.prank(VERIFIER_OWNER);
        verifier.cancelReset();

        requireActs(second);
        expectSilent(first);
        (, uint64 validUntil) = verifier.currentSet();
        assertEq(validUntil, START + INTERVAL + LIFETIME);
        vm.warp(readyAt);
        vm.expectRevert(OperatorSetChain.NoReset.selector);
        verifier.finishReset();
    }

    function test_CancelAfterASecondStartBringsTheSetBack() public {
        start(later);
        start(later);
        vm.prank(VERIFIER_OWNER);
        verifier.cancelReset();

        requireActs(second);
    }

    /// @dev With the set gone silent in between, the one that would sign it out is still the one that was held.
    function test_SuccessionGoesOnAfterACancelledReset() public {
        start(later);
        vm.prank(VERIFIER_OWNER);
        verifier.cancelReset();
        vm.warp(START + 2 * INTERVAL);

        assertTrue(handOver(second, successorOf(second)));
    }

    // ---- refused

    function test_RevertIf_FinishedBeforeItsTime() public {
        start(later);
        vm.warp(readyAt - 1);

        vm.expectRevert(abi.encodeWithSelector(OperatorSetChain.ResetPending.selector, readyAt));
        verifier.finishReset();
    }

    function test_StartingAnewDoesNotShortenTheDelay() public {
        start(later);
        vm.warp(readyAt - 1);
        start(later);

        vm.warp(readyAt);
        vm.expectRevert(abi.encodeWithSelector(OperatorSetChain.ResetPending.selector, readyAt - 1 + DELAY));
        verifier.finishReset();
        vm.warp(readyAt - 1 + DELAY);
        verifier.finishReset();
    }

    /// @dev The delay is that of the set which takes effect, not of the one named first.
    function test_ExchangingTheSetDoesNotShortenTheDelay() public {
        OperatorSet memory other =
            makeSet(EPOCH + 3, 7_000, six(), uint64(vm.getBlockTimestamp()), keccak256("missed, too"));
        start(later);
        vm.warp(readyAt - 1);
        start(other);

        vm.warp(readyAt);
        vm.expectRevert(abi.encodeWithSelector(OperatorSetChain.ResetPending.selector, readyAt - 1 + DELAY));
        verifier.finishReset();
    }

    function test_RevertIf_NamedSetIsNotOfALaterEpoch() public {
        for (uint32 epoch = EPOCH - 1; epoch <= EPOCH + 1; ++epoch) {
            OperatorSet memory old = makeSet(epoch, 9_000, six(), uint64(vm.getBlockTimestamp()), "");

            expectStartRefused(
                abi.encodeWithSelector(OperatorSetChain.EpochNotLater.selector, epoch, EPOCH + 1), old.header
            );
        }
    }

    function test_RevertIf_NamedSetEndsBeforeTheResetDoes() public {
        bytes memory short = replace(later.header, 38, abi.encodePacked(readyAt - 1));

        expectStartRefused(
            abi.encodeWithSelector(OperatorSetChain.HeaderExpired.selector, readyAt - 1, readyAt), short
        );
        vm.prank(VERIFIER_OWNER);
        verifier.startReset(replace(later.header, 38, abi.encodePacked(readyAt)));
        vm.warp(readyAt);
        verifier.finishReset();
    }

    function test_RevertIf_FinishedAfterTheNamedSetHasEnded() public {
        uint64 validUntil = uint64(START) + INTERVAL + LIFETIME;
        start(later);

        vm.warp(validUntil + 1);
        vm.expectRevert(
            abi.encodeWithSelector(OperatorSetChain.HeaderExpired.selector, validUntil, validUntil + 1)
        );
        verifier.finishReset();
        vm.warp(validUntil);
        verifier.finishReset();
    }

    function test_RevertIf_NamedSetIsNoHeader() public {
        // Far too short: nothing of it may be read.
        expectStartRefused(
            abi.encodeWithSelector(OperatorSetChain.SetLength.selector, 10, 302), new bytes(10)
        );
        expectStartRefused(
            abi.encodeWithSelector(OperatorSetChain.SetLength.selector, 301, 302), slice(later.header, 0, 301)
        );
        expectStartRefused(
            abi.encodeWithSelector(OperatorSetChain.SetLength.selector, 303, 302),
            bytes.concat(later.header, hex"00")
        );
        expectStartRefused(
            abi.encodePacked(CertificateLib.KeyIsInfinity.selector),
            replace(later.header, 110, new bytes(192))
        );
        expectStartRefused(
            abi.encodeWithSelector(OperatorSetChain.HeaderInvalid.selector, 0, 256, 600),
            replace(later.header, 4, hex"0000")
        );
    }

    function test_RevertIf_NamedSetIsCapturedInTheFuture() public {
        uint64 time = uint64(vm.getBlockTimestamp());

        expectStartRefused(
            abi.encodeWithSelector(
                OperatorSetChain.HeaderOutOfTime.selector, time + 1, time + LIFETIME, time
            ),
            replace(later.header, 30, abi.encodePacked(time + 1))
        );
    }

    function testFuzz_RevertIf_CallerIsNotTheOwner(address caller) public {
        vm.assume(caller != VERIFIER_OWNER);
        bytes memory notOwner =
            abi.encodeWithSelector(OperatorSetChain.NotOwner.selector, caller, VERIFIER_OWNER);

        vm.prank(caller);
        vm.expectRevert(notOwner);
        verifier.startReset(later.header);
        start(later);
        vm.prank(caller);
        vm.expectRevert(notOwner);
        verifier.cancelReset();
    }

    function test_RevertIf_NobodyIsTheOwner() public {
        SuccessionTerms memory terms = successionTerms();
        terms.owner = address(0);
        terms.resetDelay = 0;
        verifier = new QuorumVerifier(NETWORK_ID, first.header, terms);

        vm.expectRevert(abi.encodeWithSelector(OperatorSetChain.NotOwner.selector, address(this), address(0)));
        verifier.startReset(later.header);
    }

    function test_RevertIf_NoResetIsUnderWay() public {
        vm.expectRevert(OperatorSetChain.NoReset.selector);
        verifier.finishReset();
        vm.prank(VERIFIER_OWNER);
        vm.expectRevert(OperatorSetChain.NoReset.selector);
        verifier.cancelReset();
    }

    // ---- terms

    function expectTermsRefused(bytes memory reason, SuccessionTerms memory terms) private {
        vm.expectRevert(reason);
        this.deployWith(terms);
    }

    /// @dev As a call, so that a test goes on after a refusal however forge links the contract.
    function deployWith(SuccessionTerms memory terms) external {
        new QuorumVerifier(NETWORK_ID, first.header, terms);
    }

    function test_RevertIf_TermsAreOutOfBounds() public {
        SuccessionTerms memory terms = successionTerms();
        terms.minEpochInterval = 0;
        expectTermsRefused(abi.encodePacked(OperatorSetChain.IntervalZero.selector), terms);

        terms = successionTerms();
        terms.grace = 1 days + 1;
        expectTermsRefused(
            abi.encodeWithSelector(OperatorSetChain.GraceTooLong.selector, 1 days + 1, 1 days), terms
        );

        terms = successionTerms();
        terms.resetDelay = 2 days - 1;
        expectTermsRefused(
            abi.encodeWithSelector(OperatorSetChain.ResetDelayTooShort.selector, 2 days - 1, 2 days), terms
        );
    }

    function test_TermsStandAsGiven() public {
        SuccessionTerms memory terms =
            SuccessionTerms({owner: VERIFIER_OWNER, minEpochInterval: 1, grace: 1 days, resetDelay: 2 days});
        verifier = new QuorumVerifier(NETWORK_ID, first.header, terms);

        assertEq(verifier.networkId(), NETWORK_ID);
        assertEq(verifier.owner(), VERIFIER_OWNER);
        assertEq(verifier.minEpochInterval(), 1);
        assertEq(verifier.grace(), 1 days);
        assertEq(verifier.resetDelay(), 2 days);
    }
}
