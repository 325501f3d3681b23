// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {EcdsaCertificateLib} from "../../src/libraries/EcdsaCertificateLib.sol";
import {OperatorSetChain} from "../../src/verifier/OperatorSetChain.sol";
import {WeightedEcdsaVerifier} from "../../src/verifier/WeightedEcdsaVerifier.sol";
import {EcdsaNetwork} from "../support/EcdsaNetwork.sol";

/// @notice Sets of ECDSA keys that follow one another. What OperatorSetChain does for every verifier has tests of
///         its own; here stands what depends on whose signatures count, and on what.
contract EcdsaSuccessionTest is EcdsaNetwork {
    bytes32 internal constant DIGEST = keccak256("an alert");

    bytes internal next;

    function setUp() public {
        setUpEcdsa();
        vm.warp(START + 2 hours);
        // Five go on, two come anew: places and keys differ from those of the first set.
        next = makeSetOf(laterSigners(), laterWeights(), EPOCH + 1, headerHash);
    }

    /// @dev Operator i of the later set signs with `ecdsaKey(i + 2)`.
    function laterSigners() internal pure returns (address[] memory signers) {
        signers = new address[](7);
        for (uint256 i = 0; i < 7; ++i) {
            signers[i] = vm.addr(ecdsaKey(i + 2));
        }
    }

    function laterWeights() internal pure returns (uint96[] memory weights_) {
        weights_ = equalWeights(7);
        weights_[6] = 300;
    }

    /// @dev Written out here, not taken from HandoverLib.
    function handoverDigest(bytes memory from, bytes memory to) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256(
                    "TocsinHandover(bytes32 networkId,uint32 epoch,bytes32 setHash,bytes32 nextSetHash)"
                ),
                NETWORK_ID,
                EPOCH,
                keccak256(from),
                keccak256(to)
            )
        );
    }

    function outgoing(uint256 signers, bytes32 kind, bytes32 digest) internal view returns (bytes memory) {
        return envelope(set, votes(first(signers), kind, digest));
    }

    /// @dev Signed by the operators `from` to 6 of the later set; the last one alone has a third.
    function incoming(uint256 from, bytes32 kind, bytes32 digest) internal view returns (bytes memory) {
        bytes memory cast;
        for (uint256 i = from; i < 7; ++i) {
            (bytes32 r, bytes32 vs) = vm.signCompact(ecdsaKey(i + 2), keccak256(abi.encode(kind, digest)));
            cast = abi.encodePacked(cast, uint16(i), r, vs);
        }
        return envelope(next, cast);
    }

    function handOver() internal returns (bool) {
        bytes32 digest = handoverDigest(set, next);
        return ecdsa.handover(outgoing(5, HANDOVER_VOTE, digest), incoming(2, HANDOVER_VOTE, digest));
    }

    function verifyLater() internal view returns (uint128 signed) {
        (signed,) = ecdsa.verify(DIGEST, EPOCH + 1, headerHashOf(next), 6667, incoming(2, ALERT_VOTE, DIGEST));
    }

    function verifyEarlier() internal view returns (uint128 signed) {
        (signed,) = ecdsa.verify(DIGEST, EPOCH, headerHash, 6667, outgoing(5, ALERT_VOTE, DIGEST));
    }

    // ---- accepted

    function test_BothSetsSignTheNextOneIn() public {
        vm.expectEmit(address(ecdsa));
        emit OperatorSetChain.SetInstalled(EPOCH + 1, keccak256(next), next);
        assertTrue(handOver());

        (uint32 epoch, uint64 validUntil) = ecdsa.currentSet();
        assertEq(epoch, EPOCH + 1);
        assertEq(validUntil, START + 2 hours + 30 days);
        assertEq(ecdsa.setHashes(EPOCH + 1), keccak256(next));
        assertEq(verifyLater(), 700);
    }

    function test_T27_SecondSubmissionIsANoOp() public {
        handOver();

        vm.recordLogs();
        assertFalse(handOver());

        assertEq(vm.getRecordedLogs().length, 0);
        assertEq(verifyLater(), 700);
    }

    function test_PreviousSetActsForTheGraceAndNoLonger() public {
        handOver();
        uint256 until = vm.getBlockTimestamp() + 30 minutes;

        assertEq(verifyEarlier(), 500);
        vm.warp(until);
        assertEq(verifyEarlier(), 500);
        vm.warp(until + 1);
        vm.expectRevert(abi.encodeWithSelector(OperatorSetChain.GraceOver.selector, EPOCH, until, until + 1));
        ecdsa.verify(DIGEST, EPOCH, headerHash, 6667, outgoing(5, ALERT_VOTE, DIGEST));
    }

    function test_T29_FiveMissedEpochsInOneTransaction() public {
        bytes[] memory olds = new bytes[](5);
        bytes[] memory news = new bytes[](5);
        bytes memory last = set;
        vm.warp(START + 10 hours);
        for (uint32 i = 0; i < 5; ++i) {
            vm.warp(START + 10 hours + (i + 1) * 1 hours);
            bytes memory made = makeSet(equalWeights(7), EPOCH + i + 1, headerHashOf(last));
            bytes32 digest = keccak256(
                abi.encode(
                    keccak256(
                        "TocsinHandover(bytes32 networkId,uint32 epoch,bytes32 setHash,bytes32 nextSetHash)"
                    ),
                    NETWORK_ID,
                    EPOCH + i,
                    keccak256(last),
                    keccak256(made)
                )
            );
            bytes memory cast = votes(first(5), HANDOVER_VOTE, digest);
            (olds[i], news[i], last) = (envelope(last, cast), envelope(made, cast), made);
        }

        assertEq(ecdsa.handovers(olds, news), 5);

        assertEq(ecdsa.setHashes(EPOCH + 5), keccak256(last));
    }

    // ---- refused

    function expectNoQuorum(uint32 epoch, uint256 signed, uint256 total, bytes memory out, bytes memory in_)
        internal
    {
        vm.expectRevert(
            abi.encodeWithSelector(
                WeightedEcdsaVerifier.HandoverQuorumNotReached.selector, epoch, signed, total
            )
        );
        ecdsa.handover(out, in_);
    }

    function test_T27_RevertIf_OutgoingSetIsShortOfTwoThirds() public {
        bytes32 digest = handoverDigest(set, next);

        expectNoQuorum(
            EPOCH, 400, 700, outgoing(4, HANDOVER_VOTE, digest), incoming(0, HANDOVER_VOTE, digest)
        );
    }

    function test_T27_RevertIf_IncomingSetHasJustTwoThirds() public {
        bytes32 digest = handoverDigest(set, next);

        // 600 of 900: more is needed, and one more than that passes.
        expectNoQuorum(
            EPOCH + 1, 600, 900, outgoing(7, HANDOVER_VOTE, digest), incoming(3, HANDOVER_VOTE, digest)
        );
        assertTrue(ecdsa.handover(outgoing(7, HANDOVER_VOTE, digest), incoming(2, HANDOVER_VOTE, digest)));
    }

    function test_T27_RevertIf_AcceptanceIsMissing() public {
        bytes32 digest = handoverDigest(set, next);

        expectNoQuorum(EPOCH + 1, 0, 900, outgoing(7, HANDOVER_VOTE, digest), envelope(next, ""));
    }

    function test_QuorumOfBothIsSettledBeforeAnySignature() public {
        bytes32 digest = handoverDigest(set, next);
        bytes memory out = outgoing(5, HANDOVER_VOTE, digest);
        bytes memory in_ = incoming(6, HANDOVER_VOTE, digest);

        vm.expectCall(address(1), "", 0);
        expectNoQuorum(EPOCH + 1, 300, 900, out, in_);
    }

    function test_T03_RevertIf_AlertVotesAreToHandOver() public {
        bytes32 digest = handoverDigest(set, next);
        bytes memory asAlert = outgoing(5, ALERT_VOTE, digest);
        bytes memory accepted = incoming(2, HANDOVER_VOTE, digest);
        bytes memory signed = outgoing(5, HANDOVER_VOTE, digest);
        bytes memory acceptedAsAlert = incoming(2, ALERT_VOTE, digest);

        vm.expectPartialRevert(EcdsaCertificateLib.SignerMismatch.selector);
        ecdsa.handover(asAlert, accepted);
        vm.expectPartialRevert(EcdsaCertificateLib.SignerMismatch.selector);
        ecdsa.handover(signed, acceptedAsAlert);
    }

    /// @dev The set of another chain of the same network: other addresses under the same header.
    function test_T27_RevertIf_OtherAddressesStandUnderTheHeader() public {
        bytes32 digest = handoverDigest(set, next);
        bytes memory signed = outgoing(5, HANDOVER_VOTE, digest);
        bytes memory other = makeSet(laterWeights(), EPOCH + 1, headerHash);
        assertEq(headerHashOf(other), headerHashOf(next));
        bytes memory accepted = envelope(other, votes(first(7), HANDOVER_VOTE, digest));

        vm.expectPartialRevert(EcdsaCertificateLib.SignerMismatch.selector);
        ecdsa.handover(signed, accepted);
    }

    function test_T27_RevertIf_AnotherSetComesForAnEpochThatIsThere() public {
        handOver();
        bytes memory other = makeSet(laterWeights(), EPOCH + 1, headerHash);
        bytes32 digest = handoverDigest(set, other);

        vm.expectRevert(
            abi.encodeWithSelector(
                OperatorSetChain.HandoverConflict.selector, EPOCH + 1, keccak256(other), keccak256(next)
            )
        );
        ecdsa.handover(
            outgoing(7, HANDOVER_VOTE, digest), envelope(other, votes(first(7), HANDOVER_VOTE, digest))
        );
    }

    function test_T27_RevertIf_PreviousSetHandsOverInItsGrace() public {
        handOver();
        vm.warp(vm.getBlockTimestamp() + 10 minutes);
        bytes memory fork = makeSet(equalWeights(7), EPOCH + 2, headerHash);
        bytes32 digest = handoverDigest(set, fork);

        vm.expectRevert(
            abi.encodeWithSelector(OperatorSetChain.SetNotInstalled.selector, EPOCH, keccak256(set))
        );
        ecdsa.handover(
            outgoing(7, HANDOVER_VOTE, digest), envelope(fork, votes(first(7), HANDOVER_VOTE, digest))
        );
    }

    function test_T23_RevertIf_OneEpochsVotesComeWithTheNextSet() public {
        handOver();
        bytes memory certificate = envelope(next, votes(first(7), ALERT_VOTE, DIGEST));

        vm.expectPartialRevert(EcdsaCertificateLib.SignerMismatch.selector);
        ecdsa.verify(DIGEST, EPOCH + 1, headerHashOf(next), 6667, certificate);
    }

    // ---- every set is checked, whichever way it comes in

    function test_T18_RevertIf_NextSetsWeightsDoNotSum() public {
        next = replace(next, 6, abi.encodePacked(uint128(899)));

        vm.expectRevert(
            abi.encodeWithSelector(EcdsaCertificateLib.WeightSumMismatch.selector, 900, uint128(899))
        );
        handOver();
    }

    function test_RevertIf_ASignerStandsTwiceInTheNextSet() public {
        address[] memory signers = laterSigners();
        signers[1] = signers[6];
        next = makeSetOf(signers, laterWeights(), EPOCH + 1, headerHash);

        vm.expectRevert(EcdsaCertificateLib.SignerRepeats.selector);
        handOver();
    }

    function test_RevertIf_ResetNamesAnUnsoundSet() public {
        bytes memory unsound = makeSet(equalWeights(7), EPOCH + 9, bytes32(0));

        vm.startPrank(VERIFIER_OWNER);
        vm.expectRevert(abi.encodeWithSelector(OperatorSetChain.SetLength.selector, 527, 526));
        ecdsa.startReset(bytes.concat(unsound, hex"00"));
        vm.expectRevert(
            abi.encodeWithSelector(EcdsaCertificateLib.WeightSumMismatch.selector, 700, uint128(1))
        );
        ecdsa.startReset(replace(unsound, 6, abi.encodePacked(uint128(1))));
    }

    function test_ResetLetsTheNamedSetActAndTheOldOneNoMore() public {
        next = makeSet(laterWeights(), EPOCH + 9, bytes32(0));
        vm.prank(VERIFIER_OWNER);
        ecdsa.startReset(next);

        vm.expectRevert(
            abi.encodeWithSelector(OperatorSetChain.SetNotInstalled.selector, EPOCH, keccak256(set))
        );
        ecdsa.verify(DIGEST, EPOCH, headerHash, 6667, outgoing(7, ALERT_VOTE, DIGEST));
        vm.warp(vm.getBlockTimestamp() + 3 days);
        ecdsa.finishReset();

        (uint128 signed,) = ecdsa.verify(
            DIGEST, EPOCH + 9, headerHashOf(next), 6667, envelope(next, votes(first(7), ALERT_VOTE, DIGEST))
        );
        assertEq(signed, 900);
    }
}
