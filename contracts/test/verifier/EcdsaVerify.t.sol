// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ECDSA} from "solady/utils/ECDSA.sol";
import {EcdsaCertificateLib} from "../../src/libraries/EcdsaCertificateLib.sol";
import {OperatorSetChain} from "../../src/verifier/OperatorSetChain.sol";
import {WeightedEcdsaVerifier} from "../../src/verifier/WeightedEcdsaVerifier.sol";
import {EcdsaNetwork} from "../support/EcdsaNetwork.sol";

contract EcdsaVerifyTest is EcdsaNetwork {
    bytes32 internal constant DIGEST = keccak256("an alert");
    uint16 internal constant TWO_THIRDS = 6667;

    function setUp() public {
        setUpEcdsa();
    }

    function verify(bytes memory certificate) internal view returns (uint128, uint128) {
        return ecdsa.verify(DIGEST, EPOCH, headerHash, TWO_THIRDS, certificate);
    }

    function expectRefusal(bytes memory reason, bytes memory certificate) internal {
        vm.expectRevert(reason);
        ecdsa.verify(DIGEST, EPOCH, headerHash, TWO_THIRDS, certificate);
    }

    // ---- accepted

    function test_AllSigned() public view {
        (uint128 signed, uint128 total) = verify(certifyFirst(7, DIGEST));

        assertEq(signed, 700);
        assertEq(total, 700);
    }

    function test_AsManySignaturesAsTheThresholdNeeds() public view {
        (uint128 signed,) = verify(certifyFirst(5, DIGEST));

        assertEq(signed, 500);
    }

    function test_AnyOperatorsMaySign() public view {
        uint256[] memory some = new uint256[](5);
        (some[0], some[1], some[2], some[3], some[4]) = (0, 2, 3, 5, 6);

        (uint128 signed,) = verify(envelope(set, votes(some, ALERT_VOTE, DIGEST)));

        assertEq(signed, 500);
    }

    function test_OneSignerOfMuchWeight() public {
        uint96[] memory uneven = new uint96[](3);
        (uneven[0], uneven[1], uneven[2]) = (1, 1000, 1);
        setUpEcdsa(uneven);

        (uint128 signed, uint128 total) = verify(envelope(set, vote(1, ALERT_VOTE, DIGEST)));

        assertEq(signed, 1000);
        assertEq(total, 1002);
    }

    /// forge-config: default.fuzz.runs = 64
    /// forge-config: prove.fuzz.runs = 1000
    function testFuzz_PassesExactlyWhenWeightIsAboveTheShare(
        uint8 signerMask,
        uint16 bps,
        uint96[7] memory drawn
    ) public {
        uint96[] memory weights_ = new uint96[](7);
        bytes memory cast;
        uint256 total = 0;
        uint256 signed = 0;
        for (uint256 i = 0; i < 7; ++i) {
            weights_[i] = uint96(bound(drawn[i], 1, type(uint96).max));
            total += weights_[i];
            if (signerMask >> i & 1 == 0) continue;
            signed += weights_[i];
            cast = bytes.concat(cast, vote(i, ALERT_VOTE, DIGEST));
        }
        bps = uint16(bound(bps, 0, 10_000));
        setUpEcdsa(weights_);

        if (signed * 10_000 <= total * bps) {
            vm.expectRevert(
                abi.encodeWithSelector(WeightedEcdsaVerifier.QuorumNotReached.selector, signed, total, bps)
            );
        }
        ecdsa.verify(DIGEST, EPOCH, headerHash, bps, envelope(set, cast));
    }

    // ---- weight

    function test_RevertIf_WeightEqualsThreshold() public {
        uint96[] memory uneven = new uint96[](2);
        (uneven[0], uneven[1]) = (6667, 3333);
        setUpEcdsa(uneven);
        bytes memory certificate = certifyFirst(1, DIGEST);

        expectRefusal(
            abi.encodeWithSelector(WeightedEcdsaVerifier.QuorumNotReached.selector, 6667, 10_000, 6667),
            certificate
        );
        ecdsa.verify(DIGEST, EPOCH, headerHash, 6666, certificate);
    }

    function test_T17_ShareIsComparedByCrossMultiplication() public {
        uint96[] memory one = new uint96[](1);
        one[0] = 1;
        setUpEcdsa(one);

        // total * bps / 10,000 is zero here, and an empty certificate would reach it.
        vm.expectRevert(abi.encodeWithSelector(WeightedEcdsaVerifier.QuorumNotReached.selector, 0, 1, 6600));
        ecdsa.verify(DIGEST, EPOCH, headerHash, 6600, envelope(set, ""));
    }

    function test_T17_NobodyIsNoQuorumEvenOfZero() public {
        vm.expectRevert(abi.encodeWithSelector(WeightedEcdsaVerifier.QuorumNotReached.selector, 0, 700, 0));
        ecdsa.verify(DIGEST, EPOCH, headerHash, 0, envelope(set, ""));
    }

    function test_QuorumIsSettledBeforeAnySignature() public {
        bytes memory forged = abi.encodePacked(uint16(0), keccak256("r"), keccak256("vs"));
        bytes memory certificate = envelope(set, forged);

        vm.expectCall(address(1), "", 0);
        expectRefusal(
            abi.encodeWithSelector(WeightedEcdsaVerifier.QuorumNotReached.selector, 100, 700, TWO_THIRDS),
            certificate
        );
    }

    // ---- who signed

    function test_RevertIf_SignatureIsAnothersOfTheSet() public {
        bytes memory certificate = certifyFirst(5, DIGEST);
        // Operator 5 signs in the place of operator 4.
        (bytes32 r, bytes32 vs) = vm.signCompact(ecdsaKey(5), keccak256(abi.encode(ALERT_VOTE, DIGEST)));

        expectRefusal(
            abi.encodeWithSelector(
                EcdsaCertificateLib.SignerMismatch.selector, 4, vm.addr(ecdsaKey(5)), vm.addr(ecdsaKey(4))
            ),
            bytes.concat(slice(certificate, 0, certificate.length - 64), r, vs)
        );
    }

    function test_RevertIf_ThereIsOneForgedAmongEnough() public {
        bytes memory cast = votes(first(6), ALERT_VOTE, DIGEST);
        (bytes32 r, bytes32 vs) = vm.signCompact(ecdsaKey(99), keccak256(abi.encode(ALERT_VOTE, DIGEST)));

        expectRefusal(
            abi.encodeWithSelector(
                EcdsaCertificateLib.SignerMismatch.selector, 6, vm.addr(ecdsaKey(99)), vm.addr(ecdsaKey(6))
            ),
            envelope(set, abi.encodePacked(cast, uint16(6), r, vs))
        );
    }

    /// @dev Any r and s recover somebody: a signature that was drawn, not made, names a signer of no set.
    function test_T02_DrawnSignatureRecoversNobodyOfTheSet() public {
        bytes32 message = keccak256(abi.encode(ALERT_VOTE, DIGEST));
        bytes32 r = bytes32(uint256(1));
        bytes32 vs = bytes32(uint256(1));
        address somebody = ECDSA.recover(message, r, vs);

        expectRefusal(
            abi.encodeWithSelector(
                EcdsaCertificateLib.SignerMismatch.selector, 4, somebody, vm.addr(ecdsaKey(4))
            ),
            envelope(set, abi.encodePacked(votes(first(4), ALERT_VOTE, DIGEST), uint16(4), r, vs))
        );
    }

    function testFuzz_RevertIf_DigestDiffers(bytes32 other) public {
        vm.assume(other != DIGEST);
        bytes memory certificate = certifyFirst(7, DIGEST);

        vm.expectPartialRevert(EcdsaCertificateLib.SignerMismatch.selector);
        ecdsa.verify(other, EPOCH, headerHash, TWO_THIRDS, certificate);
    }

    function expectNoVote(bytes32 signedHash) internal {
        bytes memory cast;
        for (uint256 i = 0; i < 7; ++i) {
            (bytes32 r, bytes32 vs) = vm.signCompact(ecdsaKey(i), signedHash);
            cast = abi.encodePacked(cast, uint16(i), r, vs);
        }
        vm.expectPartialRevert(EcdsaCertificateLib.SignerMismatch.selector);
        ecdsa.verify(DIGEST, EPOCH, headerHash, TWO_THIRDS, envelope(set, cast));
    }

    function test_T03_T24_SignatureOfAnotherKindIsNoVote() public {
        expectNoVote(keccak256(abi.encode(HANDOVER_VOTE, DIGEST)));
        expectNoVote(DIGEST);
        expectNoVote(keccak256(abi.encode(DIGEST)));
        expectNoVote(keccak256(abi.encodePacked("\x19Ethereum Signed Message:\n32", DIGEST)));
        expectNoVote(keccak256(abi.encodePacked(hex"1901", bytes32(0), DIGEST)));
    }

    /// @dev What is hashed has 64 bytes. An EIP-2718 type is below 0x80, and RLP says its own length first.
    function test_T24_VoteIsNoTransactionAndNoMessage() public pure {
        bytes32[2] memory kinds =
            [EcdsaCertificateLib.ECDSA_ALERT_TYPEHASH, EcdsaCertificateLib.ECDSA_HANDOVER_TYPEHASH];
        for (uint256 i = 0; i < 2; ++i) {
            uint8 leading = uint8(kinds[i][0]);

            assertGe(leading, 0x80, "an EIP-2718 type, or EIP-191");
            // A list that says its length in its first byte has at most 56 bytes.
            assertLe(leading, 0xf7, "an RLP list of 64 bytes");
        }
        assertEq(kinds[0], ALERT_VOTE);
        assertEq(kinds[1], HANDOVER_VOTE);
        assertNotEq(kinds[0], kinds[1]);
    }

    // ---- malleability

    function test_T16_RevertIf_SignatureIsMirrored() public {
        bytes32 message = keccak256(abi.encode(ALERT_VOTE, DIGEST));
        // EIP-2098 has room for a mirrored s only where s is within 2**127 of half the order. Such a signature
        // is made here from its s: its signer is whoever ecrecover says.
        uint256 high = EcdsaCertificateLib.MAX_S + 1;
        bytes32 r = bytes32(uint256(2));
        address signer = ecrecover(message, 27, r, bytes32(high));
        assertNotEq(signer, address(0));
        assertEq(signer, ecrecover(message, 28, r, bytes32(CURVE_ORDER - high)), "the same, mirrored");
        address[] memory only = new address[](1);
        only[0] = signer;
        set = makeSetOf(only, equalWeights(1), EPOCH, bytes32(0));
        headerHash = headerHashOf(set);
        ecdsa = new WeightedEcdsaVerifier(NETWORK_ID, set, successionTerms());

        expectRefusal(
            abi.encodeWithSelector(
                EcdsaCertificateLib.SignatureMalleable.selector, 0, high, EcdsaCertificateLib.MAX_S
            ),
            envelope(set, abi.encodePacked(uint16(0), r, bytes32(high)))
        );
        verify(envelope(set, abi.encodePacked(uint16(0), r, bytes32(CURVE_ORDER - high | 1 << 255))));
    }

    function test_T16_HalfOfTheOrderIsThatOfTheCurve() public pure {
        assertEq(EcdsaCertificateLib.MAX_S, (CURVE_ORDER - 1) / 2);
    }

    function test_T16_RevertIf_ParityIsFlipped() public {
        bytes memory certificate = certifyFirst(5, DIGEST);
        uint256 at = certificate.length - 32;

        vm.expectPartialRevert(EcdsaCertificateLib.SignerMismatch.selector);
        ecdsa.verify(
            DIGEST,
            EPOCH,
            headerHash,
            TWO_THIRDS,
            replace(certificate, at, abi.encodePacked(uint8(certificate[at]) ^ 0x80))
        );
    }

    function test_RevertIf_NothingIsRecovered() public {
        bytes memory cast = votes(first(4), ALERT_VOTE, DIGEST);
        bytes[4] memory unsound = [
            abi.encodePacked(bytes32(0), bytes32(0)),
            abi.encodePacked(bytes32(0), bytes32(uint256(1))),
            abi.encodePacked(bytes32(uint256(1)), bytes32(0)),
            abi.encodePacked(CURVE_ORDER, bytes32(uint256(1)))
        ];
        for (uint256 i = 0; i < 4; ++i) {
            expectRefusal(
                abi.encodePacked(ECDSA.InvalidSignature.selector),
                envelope(set, abi.encodePacked(cast, uint16(4), unsound[i]))
            );
        }
    }

    // ---- list of signers

    function test_T11_RevertIf_IndexRepeats() public {
        bytes memory cast;
        for (uint256 i = 0; i < 5; ++i) {
            cast = bytes.concat(cast, vote(0, ALERT_VOTE, DIGEST));
        }

        expectRefusal(
            abi.encodeWithSelector(EcdsaCertificateLib.IndexInvalid.selector, 0, 1, 7), envelope(set, cast)
        );
    }

    function test_T11_RevertIf_IndicesAreUnsorted() public {
        uint256[] memory unsorted = first(5);
        (unsorted[3], unsorted[4]) = (4, 3);

        expectRefusal(
            abi.encodeWithSelector(EcdsaCertificateLib.IndexInvalid.selector, 3, 5, 7),
            envelope(set, votes(unsorted, ALERT_VOTE, DIGEST))
        );
    }

    function test_T11_RevertIf_IndexIsOutOfRange() public {
        bytes memory cast = votes(first(5), ALERT_VOTE, DIGEST);

        expectRefusal(
            abi.encodeWithSelector(EcdsaCertificateLib.IndexInvalid.selector, 7, 5, 7),
            envelope(set, bytes.concat(cast, vote(7, ALERT_VOTE, DIGEST)))
        );
        expectRefusal(
            abi.encodeWithSelector(EcdsaCertificateLib.IndexInvalid.selector, 65_535, 5, 7),
            envelope(set, bytes.concat(cast, vote(65_535, ALERT_VOTE, DIGEST)))
        );
    }

    /// @dev One alert, two certificates: what is used up must be the alert's slot, never these bytes.
    function test_T15_OtherSignersMakeOtherBytesForOneAlert() public view {
        (uint128 five,) = verify(certifyFirst(5, DIGEST));
        (uint128 six,) = verify(certifyFirst(6, DIGEST));

        assertEq(five, 500);
        assertEq(six, 600);
    }

    // ---- shape

    function expectLength(uint256 given, uint256 expected, bytes memory certificate) internal {
        expectRefusal(
            abi.encodeWithSelector(EcdsaCertificateLib.CertificateLength.selector, given, expected),
            certificate
        );
    }

    function test_T13_RevertIf_BytesTrailOrLack() public {
        bytes memory whole = certifyFirst(5, DIGEST);
        uint256 length = HEADER_BYTES + 7 * 32 + 2 + 5 * 66;

        expectLength(length + 1, length, bytes.concat(whole, hex"00"));
        expectLength(length - 1, length, slice(whole, 0, length - 1));
        expectLength(0, 304, "");
        expectLength(303, 304, slice(whole, 0, 303));
        expectLength(304, 528, slice(whole, 0, 304));
        expectLength(527, 528, slice(whole, 0, 527));
        expectLength(528, length, slice(whole, 0, 528));
    }

    function test_T13_RevertIf_CountDiffersFromTheSignatures() public {
        bytes memory whole = certifyFirst(5, DIGEST);

        expectLength(whole.length, whole.length + 66, replace(whole, 526, hex"0006"));
        expectLength(whole.length, whole.length - 66, replace(whole, 526, hex"0004"));
        expectLength(whole.length, 528 + 65_535 * 66, replace(whole, 526, hex"ffff"));
    }

    // ---- set

    /// @dev Bytes 4 and 5 are the count of operators, which the length is checked by.
    function testFuzz_RevertIf_HeaderIsAltered(uint16 at, uint8 mask) public {
        at = uint16(bound(at, 6, HEADER_BYTES - 1));
        vm.assume(mask != 0);
        bytes memory certificate = certifyFirst(5, DIGEST);
        bytes memory altered = replace(certificate, at, abi.encodePacked(uint8(certificate[at]) ^ mask));

        expectRefusal(
            abi.encodeWithSelector(
                OperatorSetChain.HeaderMismatch.selector, headerHashOf(altered), headerHash
            ),
            altered
        );
    }

    function test_RevertIf_HeaderClaimsFewerOperators() public {
        bytes memory six = slice(set, 0, HEADER_BYTES + 6 * 32);
        bytes memory altered = envelope(replace(six, 4, hex"0006"), votes(first(5), ALERT_VOTE, DIGEST));

        expectRefusal(
            abi.encodeWithSelector(
                OperatorSetChain.HeaderMismatch.selector, headerHashOf(altered), headerHash
            ),
            altered
        );
    }

    function testFuzz_RevertIf_EntryIsAltered(uint16 at, uint8 mask) public {
        at = uint16(bound(at, HEADER_BYTES, set.length - 1));
        vm.assume(mask != 0);
        bytes memory altered = replace(set, at, abi.encodePacked(uint8(set[at]) ^ mask));

        expectRefusal(
            abi.encodeWithSelector(OperatorSetChain.SetNotInstalled.selector, EPOCH, keccak256(altered)),
            envelope(altered, votes(first(5), ALERT_VOTE, DIGEST))
        );
    }

    function test_T23_RevertIf_EpochDiffersFromHeader() public {
        bytes memory certificate = certifyFirst(5, DIGEST);

        vm.expectRevert(abi.encodeWithSelector(OperatorSetChain.EpochMismatch.selector, EPOCH, EPOCH + 1));
        ecdsa.verify(DIGEST, EPOCH + 1, headerHash, TWO_THIRDS, certificate);
    }

    function test_T23_RevertIf_HeaderHashDiffers() public {
        bytes memory certificate = certifyFirst(5, DIGEST);

        vm.expectRevert(
            abi.encodeWithSelector(OperatorSetChain.HeaderMismatch.selector, headerHash, keccak256("other"))
        );
        ecdsa.verify(DIGEST, EPOCH, keccak256("other"), TWO_THIRDS, certificate);
    }

    function test_T28_RevertIf_SetHasExpired() public {
        bytes memory certificate = certifyFirst(5, DIGEST);
        uint64 validUntil = uint64(START + 30 days);

        vm.warp(validUntil);
        verify(certificate);
        vm.warp(validUntil + 1);
        expectRefusal(
            abi.encodeWithSelector(OperatorSetChain.HeaderExpired.selector, validUntil, validUntil + 1),
            certificate
        );
    }

    // ---- precompile

    function test_T30_RevertIf_EcrecoverIsGone() public {
        bytes memory certificate = certifyFirst(5, DIGEST);
        vm.mockCall(address(1), bytes(""), bytes(""));

        expectRefusal(abi.encodePacked(ECDSA.InvalidSignature.selector), certificate);
    }
}

contract EcdsaDeployTest is EcdsaNetwork {
    function setUp() public {
        vm.warp(START);
        set = makeSet(equalWeights(3), EPOCH, bytes32(0));
    }

    function deploy(bytes memory set_) internal {
        ecdsa = new WeightedEcdsaVerifier(NETWORK_ID, set_, successionTerms());
    }

    function test_InstallsGenesisSet() public {
        vm.expectEmit();
        emit OperatorSetChain.SetInstalled(EPOCH, keccak256(set), set);
        deploy(set);

        (uint32 epoch, uint64 validUntil) = ecdsa.currentSet();
        assertEq(epoch, EPOCH);
        assertEq(validUntil, START + 30 days);
        assertEq(ecdsa.setHashes(EPOCH), keccak256(set));
        assertEq(ecdsa.networkId(), NETWORK_ID);
    }

    function test_RevertIf_SetLengthDiffers() public {
        vm.expectRevert(abi.encodeWithSelector(OperatorSetChain.SetLength.selector, 399, 398));
        deploy(bytes.concat(set, hex"00"));
        vm.expectRevert(abi.encodeWithSelector(OperatorSetChain.SetLength.selector, 397, 398));
        deploy(slice(set, 0, 397));
        vm.expectRevert(abi.encodeWithSelector(OperatorSetChain.SetLength.selector, 302, 398));
        deploy(slice(set, 0, 302));
        vm.expectRevert(abi.encodeWithSelector(OperatorSetChain.SetLength.selector, 398, 366));
        deploy(replace(set, 4, hex"0002"));
    }

    function test_T18_RevertIf_WeightsDoNotSumToTheTotal() public {
        vm.expectRevert(
            abi.encodeWithSelector(EcdsaCertificateLib.WeightSumMismatch.selector, 300, uint128(301))
        );
        deploy(replace(set, 6, abi.encodePacked(uint128(301))));
        // A total below the sum would let fewer pass the share.
        vm.expectRevert(
            abi.encodeWithSelector(EcdsaCertificateLib.WeightSumMismatch.selector, 300, uint128(299))
        );
        deploy(replace(set, 6, abi.encodePacked(uint128(299))));
    }

    function test_T18_WidestWeightsAreSummedWhole() public {
        uint96[] memory widest = new uint96[](256);
        for (uint256 i = 0; i < 256; ++i) {
            widest[i] = type(uint96).max;
        }
        set = makeSet(widest, EPOCH, bytes32(0));
        headerHash = headerHashOf(set);
        deploy(set);
        bytes32 digest = keccak256("an alert");

        (uint128 signed, uint128 total) =
            ecdsa.verify(digest, EPOCH, headerHash, 6667, certifyFirst(171, digest));

        assertEq(signed, 171 * uint256(type(uint96).max));
        assertEq(total, 256 * uint256(type(uint96).max));
    }

    function test_T18_RevertIf_AWeightIsZero() public {
        uint96[] memory some = equalWeights(3);
        some[2] = 0;
        set = makeSet(some, EPOCH, bytes32(0));

        vm.expectRevert(abi.encodeWithSelector(EcdsaCertificateLib.WeightZero.selector, 2));
        deploy(set);
    }

    function test_T21_RevertIf_ThereAreTooManyOperators() public {
        set = makeSet(equalWeights(257), EPOCH, bytes32(0));

        vm.expectRevert(abi.encodeWithSelector(OperatorSetChain.HeaderInvalid.selector, 257, 256, 25_700));
        deploy(set);
    }

    function test_RevertIf_ASignerIsZero() public {
        address[] memory signers = signersOf(3);
        signers[1] = address(0);
        set = makeSetOf(signers, equalWeights(3), EPOCH, bytes32(0));

        vm.expectRevert(abi.encodeWithSelector(EcdsaCertificateLib.SignerZero.selector, 1));
        deploy(set);
    }

    /// @dev One key in two places would vote twice.
    function test_RevertIf_ASignerStandsTwice() public {
        address[] memory signers = signersOf(3);
        signers[2] = signers[0];
        set = makeSetOf(signers, equalWeights(3), EPOCH, bytes32(0));

        vm.expectRevert(EcdsaCertificateLib.SignerRepeats.selector);
        deploy(set);
    }

    /// forge-config: default.fuzz.runs = 64
    /// forge-config: prove.fuzz.runs = 1000
    function testFuzz_RevertIf_ASignerStandsTwiceAnywhere(uint16 count, uint16 one, uint16 other) public {
        count = uint16(bound(count, 2, 64));
        one = uint16(bound(one, 0, count - 2));
        other = uint16(bound(other, one + 1, count - 1));
        address[] memory signers = new address[](count);
        for (uint256 i = 0; i < count; ++i) {
            signers[i] = address(uint160(uint256(keccak256(abi.encode(i)))));
        }
        deploy(makeSetOf(signers, equalWeights(count), EPOCH, bytes32(0)));

        signers[other] = signers[one];
        set = makeSetOf(signers, equalWeights(count), EPOCH, bytes32(0));

        vm.expectRevert(EcdsaCertificateLib.SignerRepeats.selector);
        deploy(set);
    }

    function expectNoEcrecover() internal {
        vm.expectRevert(abi.encodeWithSelector(WeightedEcdsaVerifier.PrecompilesMissing.selector, address(1)));
        deploy(set);
        vm.clearMockedCalls();
    }

    function test_T30_RevertIf_EcrecoverIsMissing() public {
        // What an address without code answers: success, and nothing.
        vm.mockCall(address(1), bytes(""), bytes(""));
        expectNoEcrecover();
    }

    function test_T30_RevertIf_EcrecoverAlwaysSaysTheSame() public {
        vm.mockCall(address(1), bytes(""), abi.encode(0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf));
        expectNoEcrecover();
        vm.mockCall(address(1), bytes(""), abi.encode(makeAddr("somebody")));
        expectNoEcrecover();
    }
}
