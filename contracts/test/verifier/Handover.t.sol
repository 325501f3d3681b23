// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {AlertLib} from "../../src/libraries/AlertLib.sol";
import {Bls12381, G1Point, G2Point} from "../../src/libraries/Bls12381.sol";
import {CertificateLib} from "../../src/libraries/CertificateLib.sol";
import {HandoverLib} from "../../src/libraries/HandoverLib.sol";
import {HeaderLib} from "../../src/libraries/HeaderLib.sol";
import {OperatorSetChain} from "../../src/verifier/OperatorSetChain.sol";
import {QuorumVerifier} from "../../src/verifier/QuorumVerifier.sol";
import {Signer} from "../support/Signer.sol";
import {Succession} from "../support/Succession.sol";

abstract contract HandoverTest is Succession {
    OperatorSet internal second;

    function setUp() public virtual {
        setUpSuccession();
        second = successorOf(first);
    }

    function expectRefused(bytes memory reason, bytes memory outgoing, bytes memory incoming) internal {
        vm.expectRevert(reason);
        verifier.handover(outgoing, incoming);
    }

    /// @dev Signed by all of both, and still refused.
    function expectRefused(bytes memory reason, OperatorSet memory last, OperatorSet memory next) internal {
        (bytes memory outgoing, bytes memory incoming) = handoverOf(last, next);
        expectRefused(reason, outgoing, incoming);
    }

    function shortOfQuorum(uint32 epoch, uint256 signed) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(QuorumVerifier.HandoverQuorumNotReached.selector, epoch, signed, 600);
    }

    function badSignature() internal pure returns (bytes memory) {
        return abi.encodePacked(CertificateLib.SignatureInvalid.selector);
    }
}

contract HandoverAcceptedTest is HandoverTest {
    function test_NextSetTakesOver() public {
        (bytes memory outgoing, bytes memory incoming) = handoverOf(first, second);

        vm.expectEmit();
        emit OperatorSetChain.SetInstalled(EPOCH + 1, keccak256(second.header), second.header);
        bool installed = verifier.handover(outgoing, incoming);

        assertTrue(installed);
        (uint32 epoch, uint64 validUntil) = verifier.currentSet();
        assertEq(epoch, EPOCH + 1);
        assertEq(validUntil, START + INTERVAL + LIFETIME);
        assertEq(verifier.setHashes(EPOCH), keccak256(first.header));
        assertEq(verifier.setHashes(EPOCH + 1), keccak256(second.header));
        assertEq(verifier.setHashes(EPOCH + 2), bytes32(0));
        assertEq(verifier.graceUntil(), vm.getBlockTimestamp() + 30 minutes);
        requireActs(second);
    }

    /// forge-config: default.fuzz.runs = 16
    /// forge-config: prove.fuzz.runs = 1000
    function testFuzz_AnybodyMaySubmit(address sender) public {
        (bytes memory outgoing, bytes memory incoming) = handoverOf(first, second);

        vm.prank(sender);
        assertTrue(verifier.handover(outgoing, incoming));
    }

    function test_FiveOfSixOnEitherSideAreEnough() public {
        (bytes memory outgoing, bytes memory incoming) = handoverOf(first, list(5), second, list(0));

        assertTrue(verifier.handover(outgoing, incoming));
    }

    /// @dev Mode 1: with most of the weight in few hands the list of signers is the shorter one.
    function test_SignersMayBeListedInPlaceOfTheAbsent() public {
        uint96[] memory uneven = six();
        uneven[3] = 10_000;
        OperatorSet memory next =
            makeSet(EPOCH + 1, 9_000, uneven, uint64(START) + INTERVAL, keccak256(first.header));
        bytes32 digest = handoverDigest(first, next);
        bytes memory outgoing = certifyBy(first, digest, HANDOVER_TAG, none());
        bytes memory incoming = abi.encodePacked(
            next.header,
            Signer.sign(Signer.key(9_003), digest, HANDOVER_TAG),
            HeaderLib.MODE_PRESENT,
            uint16(1),
            leavesOfSet(next),
            entryOf(next, 3)
        );

        assertTrue(verifier.handover(outgoing, incoming));
    }

    function test_T36_SubmissionInFrontOfAnotherIsANoOp() public {
        (bytes memory outgoing, bytes memory incoming) = handoverOf(first, second);
        vm.prank(makeAddr("faster"));
        verifier.handover(outgoing, incoming);
        uint64 graceUntil = verifier.graceUntil();

        vm.warp(vm.getBlockTimestamp() + 10 minutes);
        vm.recordLogs();
        bool installed = verifier.handover(outgoing, incoming);

        assertFalse(installed);
        assertEq(vm.getRecordedLogs().length, 0);
        assertEq(verifier.graceUntil(), graceUntil, "a repetition must not prolong the grace");
        assertEq(verifier.setHashes(EPOCH + 1), keccak256(second.header));
    }

    function test_EarlierHandoversAreNoOps() public {
        OperatorSet memory third = successorOf(second);
        vm.warp(START + 2 * INTERVAL);
        handOver(first, second);
        handOver(second, third);

        assertFalse(handOver(first, second), "the previous set");
        assertFalse(handOver(second, third), "the current set");
        assertEq(verifier.setHashes(EPOCH + 2), keccak256(third.header));
    }
}

contract HandoverRefusedTest is HandoverTest {
    function test_T27_RevertIf_OldSetSignsAlone() public {
        bytes32 digest = handoverDigest(first, second);
        bytes memory outgoing = certifyBy(first, digest, HANDOVER_TAG, none());
        bytes memory oldSignature = Signer.sign(secretOf(first, none()), digest, HANDOVER_TAG);

        expectRefused(badSignature(), outgoing, certificateOf(second, oldSignature, none()));
        // Acceptance left out: nobody of the new set has signed.
        uint256[] memory everybody = new uint256[](6);
        for (uint256 i = 0; i < 6; ++i) {
            everybody[i] = i;
        }
        expectRefused(shortOfQuorum(EPOCH + 1, 0), outgoing, certificateOf(second, oldSignature, everybody));
        // The old set's certificate in the place of the new one's: an epoch that is there already.
        assertFalse(verifier.handover(outgoing, outgoing));
        assertEq(verifier.setHashes(EPOCH + 1), bytes32(0));
    }

    function test_T27_RevertIf_NewSetSignsAlone() public {
        bytes32 digest = handoverDigest(first, second);
        bytes memory incoming = certifyBy(second, digest, HANDOVER_TAG, none());
        bytes memory newSignature = Signer.sign(secretOf(second, none()), digest, HANDOVER_TAG);

        expectRefused(badSignature(), certificateOf(first, newSignature, none()), incoming);
        expectRefused(
            abi.encodeWithSelector(
                OperatorSetChain.SetNotInstalled.selector, EPOCH + 1, keccak256(second.header)
            ),
            incoming,
            incoming
        );
    }

    function test_T09_RevertIf_KeyOfTheNewSetCancelsThatOfTheOld() public {
        // The attacker knows x alone, and names X - apk_old as the sum of the new set's keys.
        uint256 x = Signer.key(77);
        uint256 rogue = addmod(x, Signer.ORDER - secretOf(first, none()), Signer.ORDER);
        OperatorSet memory forged = second;
        forged.header = replace(second.header, 110, Signer.publicKey(rogue));
        bytes32 digest = handoverDigest(first, forged);
        bytes memory signature = Signer.sign(x, digest, HANDOVER_TAG);

        assertTrue(
            this.isSignedBySum(first.header, forged.header, digest, signature), "a plain sum believes it"
        );
        expectRefused(
            badSignature(), certificateOf(first, signature, none()), certificateOf(forged, signature, none())
        );
    }

    /// @dev What a verifier would do that adds both keys and pairs once.
    function isSignedBySum(bytes calldata last, bytes calldata next, bytes32 digest, bytes calldata signature)
        external
        view
        returns (bool)
    {
        G2Point memory sum = Bls12381.readG2(last, 110);
        Bls12381.addG2(sum, Bls12381.readG2(next, 110), 100_000);
        G1Point memory hash = Bls12381.hashToG1(abi.encodePacked(digest), HANDOVER_TAG, 100_000);
        return Bls12381.isSignatureBy(Bls12381.readG1(signature, 0), hash, sum, 1_000_000);
    }

    function test_RevertIf_OldSetHasExactlyTwoThirds() public {
        (bytes memory outgoing, bytes memory incoming) = handoverOf(first, list(2, 4), second, none());

        expectRefused(shortOfQuorum(EPOCH, 400), outgoing, incoming);
    }

    function test_RevertIf_NewSetHasExactlyTwoThirds() public {
        (bytes memory outgoing, bytes memory incoming) = handoverOf(first, none(), second, list(2, 4));

        expectRefused(shortOfQuorum(EPOCH + 1, 400), outgoing, incoming);
    }

    function test_T27_RevertIf_EpochJumps() public {
        for (uint32 jump = 2; jump < 5; ++jump) {
            OperatorSet memory later =
                makeSet(EPOCH + jump, 9_000, six(), uint64(START) + INTERVAL, keccak256(first.header));

            expectRefused(
                abi.encodeWithSelector(OperatorSetChain.EpochNotNext.selector, EPOCH + jump, EPOCH + 1),
                first,
                later
            );
        }
    }

    function test_T27_RevertIf_PreviousHeaderIsAnother() public {
        bytes32 other = keccak256("another header");
        OperatorSet memory stray = makeSet(EPOCH + 1, 9_000, six(), uint64(START) + INTERVAL, other);

        expectRefused(
            abi.encodeWithSelector(
                OperatorSetChain.PreviousMismatch.selector, other, keccak256(first.header)
            ),
            first,
            stray
        );
    }

    /// @dev A registry's block that was reorganised away: the set captured in it has no successors here.
    function test_T26_RevertIf_SetFollowsAnOrphanedCapture() public {
        OperatorSet memory orphaned = makeSet(EPOCH, 4_000, six(), uint64(START), keccak256("orphaned"));
        OperatorSet memory child = successorOf(orphaned);

        expectRefused(
            abi.encodeWithSelector(
                OperatorSetChain.PreviousMismatch.selector,
                keccak256(orphaned.header),
                keccak256(first.header)
            ),
            first,
            child
        );
        expectRefused(
            abi.encodeWithSelector(
                OperatorSetChain.SetNotInstalled.selector, EPOCH, keccak256(orphaned.header)
            ),
            orphaned,
            child
        );
    }

    function test_T27_RevertIf_EpochHasAnotherHeaderAlready() public {
        OperatorSet memory twin =
            makeSet(EPOCH + 1, 9_000, six(), uint64(START) + INTERVAL, keccak256(first.header));
        bytes32 installed = keccak256(second.header);
        handOver(first, second);

        bytes memory conflict = abi.encodeWithSelector(
            OperatorSetChain.HandoverConflict.selector, EPOCH + 1, keccak256(twin.header), installed
        );
        expectRefused(conflict, first, twin);
        // The same when it is the previous set by now.
        OperatorSet memory third = successorOf(second);
        vm.warp(START + 2 * INTERVAL);
        handOver(second, third);
        expectRefused(conflict, first, twin);
    }

    function test_T27_RevertIf_OldSetHasExpired() public {
        uint64 validUntil = uint64(START) + LIFETIME;
        OperatorSet memory late =
            makeSet(EPOCH + 1, 9_000, six(), uint64(START) + INTERVAL, keccak256(first.header));
        (bytes memory outgoing, bytes memory incoming) = handoverOf(first, late);

        vm.warp(validUntil + 1);
        expectRefused(
            abi.encodeWithSelector(OperatorSetChain.HeaderExpired.selector, validUntil, validUntil + 1),
            outgoing,
            incoming
        );
        vm.warp(validUntil);
        assertTrue(verifier.handover(outgoing, incoming));
    }

    function test_T27_RevertIf_SetInItsGraceSigns() public {
        handOver(first, second);
        OperatorSet memory rival =
            makeSet(EPOCH + 2, 9_000, six(), uint64(START) + INTERVAL, keccak256(first.header));

        requireActs(first);
        expectRefused(
            abi.encodeWithSelector(OperatorSetChain.SetNotInstalled.selector, EPOCH, keccak256(first.header)),
            first,
            rival
        );
    }

    function test_RevertIf_NextSetIsCapturedTooEarly() public {
        uint64 notBefore = uint64(START) + INTERVAL;
        OperatorSet memory early = makeSet(EPOCH + 1, 9_000, six(), notBefore - 1, keccak256(first.header));

        expectRefused(
            abi.encodeWithSelector(OperatorSetChain.CapturedTooEarly.selector, notBefore - 1, notBefore),
            first,
            early
        );
    }

    function test_RevertIf_NextSetIsCapturedInTheFuture() public {
        uint64 time = uint64(vm.getBlockTimestamp());
        OperatorSet memory future = makeSet(EPOCH + 1, 9_000, six(), time + 1, keccak256(first.header));

        expectRefused(
            abi.encodeWithSelector(
                OperatorSetChain.HeaderOutOfTime.selector, time + 1, time + 1 + LIFETIME, time
            ),
            first,
            future
        );
    }

    function test_RevertIf_NextSetHasEnded() public {
        uint64 captureTime = uint64(START) + INTERVAL;
        OperatorSet memory ended = second;
        ended.header = replace(second.header, 38, abi.encodePacked(captureTime));

        expectRefused(
            abi.encodeWithSelector(
                OperatorSetChain.HeaderOutOfTime.selector, captureTime, captureTime, captureTime
            ),
            first,
            ended
        );
    }

    function test_RevertIf_NextSetHasNoOperatorsTooManyOrNoWeight() public {
        OperatorSet memory none_ = second;
        none_.header = replace(second.header, 4, hex"0000");
        OperatorSet memory many = second;
        many.header = replace(second.header, 4, abi.encodePacked(uint16(257)));
        OperatorSet memory weightless = second;
        weightless.header = replace(second.header, 6, new bytes(16));

        expectRefused(
            abi.encodeWithSelector(OperatorSetChain.HeaderInvalid.selector, 0, 256, 600), first, none_
        );
        expectRefused(
            abi.encodeWithSelector(OperatorSetChain.HeaderInvalid.selector, 257, 256, 600), first, many
        );
        expectRefused(
            abi.encodeWithSelector(OperatorSetChain.HeaderInvalid.selector, 6, 256, 0), first, weightless
        );
    }

    function test_T04_RevertIf_SumOfTheNewSetsKeysIsInfinity() public {
        // One sixth of the weight: listed as absent, it would sign for the other five by its negative key.
        OperatorSet memory empty = second;
        empty.header = replace(second.header, 110, new bytes(192));
        bytes32 digest = handoverDigest(first, empty);
        uint256 negative = Signer.ORDER - Signer.key(second.firstKey);
        bytes memory signature = Signer.sign(negative, digest, HANDOVER_TAG);

        expectRefused(
            abi.encodePacked(CertificateLib.KeyIsInfinity.selector),
            certifyBy(first, digest, HANDOVER_TAG, none()),
            certificateOf(empty, signature, list(0))
        );
    }

    function test_T03_RevertIf_SignaturesAreThoseOfAnAlert() public {
        bytes32 digest = handoverDigest(first, second);
        bytes memory outgoing = certifyBy(first, digest, HANDOVER_TAG, none());
        bytes memory incoming = certifyBy(second, digest, HANDOVER_TAG, none());

        expectRefused(badSignature(), certifyBy(first, digest, ALERT_TAG, none()), incoming);
        expectRefused(badSignature(), outgoing, certifyBy(second, digest, ALERT_TAG, none()));
    }

    function test_T03_RevertIf_HandoverIsUsedAsAnAlert() public {
        bytes32 digest = handoverDigest(first, second);
        bytes memory outgoing = certifyBy(first, digest, HANDOVER_TAG, none());

        vm.expectRevert(badSignature());
        verifier.verify(digest, EPOCH, keccak256(first.header), 6667, outgoing);
    }

    function test_T24_NoMessageOfOneKindHasThePreimageOfAnother() public view {
        // The fields of an action, chosen so that only the type hash differs from a handover's preimage.
        bytes32 setHash = keccak256(first.header);
        bytes32 nextSetHash = keccak256(second.header);
        bytes32 leaf = AlertLib.actionLeaf(uint256(NETWORK_ID), address(uint160(EPOCH)), setHash, nextSetHash);
        bytes memory fields = abi.encode(NETWORK_ID, EPOCH, setHash, nextSetHash);

        assertEq(leaf, keccak256(bytes.concat(AlertLib.ACTION_TYPEHASH, fields)));
        assertEq(
            handoverDigest(first, second), keccak256(bytes.concat(HandoverLib.HANDOVER_TYPEHASH, fields))
        );
        assertNotEq(leaf, handoverDigest(first, second));
        assertNotEq(HandoverLib.HANDOVER_TYPEHASH, AlertLib.ALERT_TYPEHASH);
        assertNotEq(HandoverLib.HANDOVER_TYPEHASH, AlertLib.POSSESSION_TYPEHASH);
        assertNotEq(HandoverLib.HANDOVER_TYPEHASH, AlertLib.SLOT_TYPEHASH);
    }

    function test_T22_RevertIf_HandoverIsForAnotherNetwork() public {
        bytes32 digest = handoverDigest(keccak256("another network"), first, second);
        bytes memory outgoing = certifyBy(first, digest, HANDOVER_TAG, none());
        bytes memory incoming = certifyBy(second, digest, HANDOVER_TAG, none());

        expectRefused(badSignature(), outgoing, incoming);
    }

    /// forge-config: default.fuzz.runs = 32
    /// forge-config: prove.fuzz.runs = 1000
    function testFuzz_RevertIf_DigestNamesAnotherSuccessor(bytes32 other) public {
        vm.assume(other != keccak256(second.header));
        bytes32 digest = HandoverLib.digest(NETWORK_ID, EPOCH, keccak256(first.header), other);
        bytes memory outgoing = certifyBy(first, digest, HANDOVER_TAG, none());
        bytes memory incoming = certifyBy(second, digest, HANDOVER_TAG, none());

        expectRefused(badSignature(), outgoing, incoming);
    }

    function test_RevertIf_CertificateIsTooShortForAHeader() public {
        (bytes memory outgoing, bytes memory incoming) = handoverOf(first, second);
        bytes memory reason = abi.encodeWithSelector(CertificateLib.CertificateLength.selector, 400, 401);

        expectRefused(reason, outgoing, slice(incoming, 0, 400));
        expectRefused(reason, slice(outgoing, 0, 400), incoming);
    }
}

/// @notice Chains that were away.
contract CatchUpTest is HandoverTest {
    uint256 private constant MISSED = 5;

    bytes[] private outgoing;
    bytes[] private incoming;
    OperatorSet private last;

    function setUp() public override {
        super.setUp();
        vm.warp(START + MISSED * INTERVAL);
        last = first;
        for (uint256 i = 0; i < MISSED; ++i) {
            OperatorSet memory next = successorOf(last);
            (bytes memory one, bytes memory other) = handoverOf(last, next);
            outgoing.push(one);
            incoming.push(other);
            last = next;
        }
    }

    function test_T29_FiveMissedEpochsAreCaughtUpInOneTransaction() public {
        bytes memory call = abi.encodeCall(verifier.handovers, (outgoing, incoming));

        uint256 gas = gasleft();
        (bool ok, bytes memory answer) = address(verifier).call(call);
        gas -= gasleft();

        assertTrue(ok);
        assertEq(abi.decode(answer, (uint256)), MISSED);
        assertEq(verifier.setHashes(EPOCH + 5), keccak256(last.header));
        requireActs(last);
        // Each costs less than one alone: base and cold slots are paid once.
        assertLt(wholeTransaction(call, gas), MISSED * 280_000);
    }

    function test_T29_HandoversThatAreThereAlreadyDoNotStallTheRest() public {
        verifier.handover(outgoing[0], incoming[0]);
        verifier.handover(outgoing[1], incoming[1]);

        assertEq(verifier.handovers(outgoing, incoming), 3);
        assertEq(verifier.handovers(outgoing, incoming), 0);
        assertEq(verifier.setHashes(EPOCH + 5), keccak256(last.header));
    }

    /// @dev Their headers have ended by now; the one after them has not.
    function test_T29_KnownSetsThatHaveEndedDoNotStallTheRest() public {
        for (uint256 i = 0; i < 4; ++i) {
            verifier.handover(outgoing[i], incoming[i]);
        }
        vm.warp(START + 4 * INTERVAL + LIFETIME);

        assertEq(verifier.handovers(outgoing, incoming), 1);
    }

    function test_T29_RevertIf_OneOfThemIsMissing() public {
        outgoing[2] = outgoing[3];
        incoming[2] = incoming[3];

        vm.expectRevert(abi.encodeWithSelector(OperatorSetChain.EpochNotNext.selector, EPOCH + 4, EPOCH + 3));
        verifier.handovers(outgoing, incoming);
        assertEq(verifier.setHashes(EPOCH), keccak256(first.header), "all or nothing");
    }

    function test_RevertIf_PairsDoNotMatch() public {
        outgoing.pop();

        vm.expectRevert(abi.encodeWithSelector(OperatorSetChain.PairsMismatch.selector, 4, 5));
        verifier.handovers(outgoing, incoming);
    }

    /// @dev A chain that joins later: what came before its own genesis is nothing to it.
    function test_T22_NewDeploymentRefusesOlderSets() public {
        OperatorSet memory third = successorOf(second);
        verifier = new QuorumVerifier(NETWORK_ID, third.header, successionTerms());

        assertFalse(verifier.handover(outgoing[0], incoming[0]));
        assertFalse(verifier.handover(outgoing[1], incoming[1]));
        assertEq(verifier.setHashes(EPOCH + 1), bytes32(0));
        vm.expectRevert(
            abi.encodeWithSelector(
                OperatorSetChain.SetNotInstalled.selector, EPOCH + 1, keccak256(second.header)
            )
        );
        this.act(second);
        assertTrue(verifier.handover(outgoing[2], incoming[2]));
    }

    function act(OperatorSet memory set) external view {
        requireActs(set);
    }
}

/// @notice Which sets may act, and until when.
contract ActingSetsTest is HandoverTest {
    function act(OperatorSet memory set) external view {
        requireActs(set);
    }

    function expectSilent(bytes memory reason, OperatorSet memory set) private {
        vm.expectRevert(reason);
        this.act(set);
    }

    function test_PreviousSetActsUntilTheEndOfItsGrace() public {
        handOver(first, second);
        uint64 until = uint64(vm.getBlockTimestamp()) + 30 minutes;

        requireActs(first);
        vm.warp(until);
        requireActs(first);
        vm.warp(until + 1);
        expectSilent(
            abi.encodeWithSelector(OperatorSetChain.GraceOver.selector, EPOCH, until, until + 1), first
        );
        requireActs(second);
    }

    function test_RetiredSetsNeverAct() public {
        OperatorSet memory third = successorOf(second);
        vm.warp(START + 2 * INTERVAL);
        handOver(first, second);
        handOver(second, third);

        requireActs(second);
        requireActs(third);
        expectSilent(
            abi.encodeWithSelector(OperatorSetChain.SetNotInstalled.selector, EPOCH, keccak256(first.header)),
            first
        );
    }

    function test_SetDoesNotActBeforeItsHandover() public {
        expectSilent(
            abi.encodeWithSelector(
                OperatorSetChain.SetNotInstalled.selector, EPOCH + 1, keccak256(second.header)
            ),
            second
        );
    }

    /// @dev They have left and taken their stake with them; nothing holds their keys back any more.
    function test_T28_KeysOfLeaversProveNothingAfterValidUntil() public {
        uint64 validUntil = uint64(START) + LIFETIME;
        OperatorSet memory next = makeSet(EPOCH + 1, 9_000, six(), validUntil - 1, keccak256(first.header));

        vm.warp(validUntil + 1);
        bytes memory expired =
            abi.encodeWithSelector(OperatorSetChain.HeaderExpired.selector, validUntil, validUntil + 1);
        expectSilent(expired, first);
        expectRefused(expired, first, next);
    }

    /// @dev The grace is cut where the header ends before it.
    function test_T28_GraceDoesNotOutlastTheHeader() public {
        uint64 validUntil = uint64(START) + LIFETIME;
        OperatorSet memory next = makeSet(EPOCH + 1, 9_000, six(), validUntil - 1, keccak256(first.header));
        vm.warp(validUntil);
        handOver(first, next);

        requireActs(first);
        vm.warp(validUntil + 1);
        assertGt(verifier.graceUntil(), vm.getBlockTimestamp());
        expectSilent(
            abi.encodeWithSelector(OperatorSetChain.HeaderExpired.selector, validUntil, validUntil + 1), first
        );
    }

    function test_T23_RevertIf_CertificateOfOneEpochIsCheckedAsAnothers() public {
        handOver(first, second);
        bytes32 digest = keccak256("an alert");
        bytes memory byFirst = certifyBy(first, digest, ALERT_TAG, none());
        bytes memory bySecond = certifyBy(second, digest, ALERT_TAG, none());
        bytes32 firstHash = keccak256(first.header);
        bytes32 secondHash = keccak256(second.header);

        // The digest names one header, the certificate carries the other.
        vm.expectRevert(
            abi.encodeWithSelector(OperatorSetChain.HeaderMismatch.selector, secondHash, firstHash)
        );
        verifier.verify(digest, EPOCH, firstHash, 6667, bySecond);
        vm.expectRevert(
            abi.encodeWithSelector(OperatorSetChain.HeaderMismatch.selector, firstHash, secondHash)
        );
        verifier.verify(digest, EPOCH + 1, secondHash, 6667, byFirst);
        // The header of one with the other's epoch.
        vm.expectRevert(abi.encodeWithSelector(OperatorSetChain.EpochMismatch.selector, EPOCH, EPOCH + 1));
        verifier.verify(digest, EPOCH + 1, firstHash, 6667, byFirst);
        // The signature of one under the header of the other.
        bytes memory swapped = certificateOf(second, slice(byFirst, 302, 398), none());
        vm.expectRevert(badSignature());
        verifier.verify(digest, EPOCH + 1, secondHash, 6667, swapped);
    }

    function test_SetHashesKnowsNoEpochBeyondTheLast() public view {
        assertEq(verifier.setHashes(type(uint32).max), bytes32(0));
        assertEq(verifier.setHashes(EPOCH - 1), bytes32(0), "the epoch before the genesis");
        assertEq(verifier.setHashes(0), bytes32(0));
    }
}
