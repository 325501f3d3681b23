// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {CertificateLib} from "../../src/libraries/CertificateLib.sol";
import {OperatorSetChain} from "../../src/verifier/OperatorSetChain.sol";
import {AlertLib} from "../../src/libraries/AlertLib.sol";
import {Bls12381} from "../../src/libraries/Bls12381.sol";
import {HeaderLib} from "../../src/libraries/HeaderLib.sol";
import {QuorumVerifier} from "../../src/verifier/QuorumVerifier.sol";
import {Network} from "../support/Network.sol";
import {Signer} from "../support/Signer.sol";

contract VerifyTest is Network {
    bytes32 internal constant DIGEST = keccak256("an alert");
    uint16 internal constant TWO_THIRDS = 6667;

    function setUp() public {
        setUpNetwork();
    }

    function verify(bytes memory certificate) internal view returns (uint128, uint128) {
        return verifier.verify(DIGEST, EPOCH, headerHash, TWO_THIRDS, certificate);
    }

    function expectRevert(bytes memory reason, bytes memory certificate) internal {
        vm.expectRevert(reason);
        verifier.verify(DIGEST, EPOCH, headerHash, TWO_THIRDS, certificate);
    }

    // ---- accepted

    function test_AllSigned() public view {
        (uint128 signed, uint128 total) = verify(certify(DIGEST, none()));

        assertEq(signed, 700);
        assertEq(total, 700);
    }

    function test_AbsentKeysComeOff() public view {
        (uint128 signed,) = verify(certify(DIGEST, list(1, 6)));

        assertEq(signed, 500);
    }

    function test_PresentKeysAreSummed() public view {
        (uint128 signed,) =
            verifier.verify(DIGEST, EPOCH, headerHash, 3334, certifyPresent(DIGEST, list(0, 3, 4)));

        assertEq(signed, 300);
    }

    function test_OneSignerOfMuchWeight() public {
        uint96[] memory uneven = new uint96[](3);
        (uneven[0], uneven[1], uneven[2]) = (1, 1000, 1);
        setUpNetwork(uneven);

        (uint128 signed,) = verify(certify(DIGEST, list(0, 2)));

        assertEq(signed, 1000);
    }

    /// forge-config: default.fuzz.runs = 64
    function testFuzz_PassesExactlyWhenWeightIsAboveTheShare(
        uint8 absentMask,
        uint16 bps,
        uint96[7] memory drawn
    ) public {
        uint96[] memory weights_ = new uint96[](7);
        uint256 total = 0;
        uint256 signed = 0;
        uint256 absentCount = 0;
        for (uint256 i = 0; i < 7; ++i) {
            weights_[i] = uint96(bound(drawn[i], 1, type(uint96).max));
            total += weights_[i];
            if (absentMask >> i & 1 == 0) signed += weights_[i];
            else ++absentCount;
        }
        vm.assume(absentCount < 7);
        bps = uint16(bound(bps, 0, 10_000));
        setUpNetwork(weights_);
        uint256[] memory absent = new uint256[](absentCount);
        for ((uint256 i, uint256 at) = (0, 0); i < 7; ++i) {
            if (absentMask >> i & 1 == 1) absent[at++] = i;
        }
        bytes memory certificate = certify(DIGEST, absent);

        if (signed * 10_000 <= total * bps) {
            vm.expectRevert(
                abi.encodeWithSelector(QuorumVerifier.QuorumNotReached.selector, signed, total, bps)
            );
        }
        verifier.verify(DIGEST, EPOCH, headerHash, bps, certificate);
    }

    // ---- weight

    function test_RevertIf_WeightEqualsThreshold() public {
        uint96[] memory uneven = new uint96[](2);
        (uneven[0], uneven[1]) = (6667, 3333);
        setUpNetwork(uneven);
        bytes memory certificate = certify(DIGEST, list(1));

        vm.expectRevert(abi.encodeWithSelector(QuorumVerifier.QuorumNotReached.selector, 6667, 10_000, 6667));
        verifier.verify(DIGEST, EPOCH, headerHash, 6667, certificate);
        verifier.verify(DIGEST, EPOCH, headerHash, 6666, certificate);
    }

    function test_RevertIf_TooLittleWeight() public {
        expectRevert(
            abi.encodeWithSelector(QuorumVerifier.QuorumNotReached.selector, 400, 700, TWO_THIRDS),
            certify(DIGEST, list(0, 1, 2))
        );
    }

    function test_RevertIf_ThresholdZeroAndNobodySigned() public {
        uint256[] memory everybody = new uint256[](7);
        for (uint256 i = 0; i < 7; ++i) {
            everybody[i] = i;
        }
        bytes memory certificate = assemble(new bytes(96), HeaderLib.MODE_ABSENT, everybody);

        vm.expectRevert(CertificateLib.SignatureIsInfinity.selector);
        verifier.verify(DIGEST, EPOCH, headerHash, 0, certificate);
        // With a signature that is not infinity the weight of zero still is not above zero.
        certificate = assemble(Signer.rawG1(Bls12381.generatorG1()), HeaderLib.MODE_ABSENT, everybody);
        vm.expectRevert(abi.encodeWithSelector(QuorumVerifier.QuorumNotReached.selector, 0, 700, 0));
        verifier.verify(DIGEST, EPOCH, headerHash, 0, certificate);
    }

    // ---- who signed

    function test_RevertIf_AbsentOperatorIsClaimedAsSigner() public {
        bytes memory signature = signatureWithout(DIGEST, list(2));

        expectRevert(
            abi.encodePacked(CertificateLib.SignatureInvalid.selector),
            assemble(signature, HeaderLib.MODE_ABSENT, none())
        );
    }

    function test_RevertIf_SignerIsListedAbsent() public {
        bytes memory signature = signatureWithout(DIGEST, none());

        expectRevert(
            abi.encodePacked(CertificateLib.SignatureInvalid.selector),
            assemble(signature, HeaderLib.MODE_ABSENT, list(2))
        );
    }

    function test_RevertIf_PresentListedDidNotSign() public {
        bytes memory signature = signatureOf(DIGEST, list(0, 1));
        uint256[] memory six = new uint256[](6);
        for (uint256 i = 0; i < 6; ++i) {
            six[i] = i;
        }

        expectRevert(
            abi.encodePacked(CertificateLib.SignatureInvalid.selector),
            assemble(signature, HeaderLib.MODE_PRESENT, six)
        );
    }

    function testFuzz_RevertIf_DigestDiffers(bytes32 other) public {
        vm.assume(other != DIGEST);
        bytes memory certificate = certify(DIGEST, none());

        vm.expectRevert(CertificateLib.SignatureInvalid.selector);
        verifier.verify(other, EPOCH, headerHash, TWO_THIRDS, certificate);
    }

    function test_RevertIf_SignatureHasAnotherTag() public {
        uint256 sum = 0;
        for (uint256 i = 0; i < 7; ++i) {
            sum = addmod(sum, Signer.key(i), Signer.ORDER);
        }
        bytes memory signature = Signer.sign(sum, DIGEST, AlertLib.POSSESSION_DST);

        expectRevert(
            abi.encodePacked(CertificateLib.SignatureInvalid.selector),
            assemble(signature, HeaderLib.MODE_ABSENT, none())
        );
    }

    // ---- list of operators

    function test_RevertIf_IndexRepeats() public {
        expectRevert(
            abi.encodeWithSelector(CertificateLib.IndexInvalid.selector, 2, 3, 7),
            assemble(signatureWithout(DIGEST, list(2)), HeaderLib.MODE_ABSENT, list(2, 2))
        );
    }

    function test_RevertIf_PresentIndexRepeats() public {
        // One signer of seven, counted five times, would be two thirds.
        uint256[] memory five = new uint256[](5);
        uint256 sum = mulmod(5, Signer.key(0), Signer.ORDER);

        expectRevert(
            abi.encodeWithSelector(CertificateLib.IndexInvalid.selector, 0, 1, 7),
            assemble(Signer.sign(sum, DIGEST, AlertLib.ALERT_DST), HeaderLib.MODE_PRESENT, five)
        );
    }

    function test_RevertIf_IndicesAreUnsorted() public {
        expectRevert(
            abi.encodeWithSelector(CertificateLib.IndexInvalid.selector, 1, 7, 7), certify(DIGEST, list(6, 1))
        );
    }

    function test_RevertIf_IndexIsOutOfRange() public {
        bytes memory certificate = certify(DIGEST, list(6));
        uint256 at = HeaderLib.ENTRIES_OFFSET + 7 * 32;

        expectRevert(
            abi.encodeWithSelector(CertificateLib.IndexInvalid.selector, 7, 0, 7),
            replace(certificate, at, hex"0007")
        );
        expectRevert(
            abi.encodeWithSelector(CertificateLib.IndexInvalid.selector, 65_535, 0, 7),
            replace(certificate, at, hex"ffff")
        );
    }

    function test_RevertIf_EntryDiffersFromItsLeaf() public {
        bytes memory certificate = certify(DIGEST, list(6));
        uint256 at = HeaderLib.ENTRIES_OFFSET + 7 * 32;

        // A smaller weight for the absent would leave more to the signers.
        expectRevert(
            abi.encodeWithSelector(CertificateLib.LeafMismatch.selector, 6),
            replace(certificate, at + 2, abi.encodePacked(uint96(1)))
        );
        expectRevert(
            abi.encodeWithSelector(CertificateLib.LeafMismatch.selector, 6),
            replace(certificate, at + 14, Signer.publicKey(77))
        );
        // Another operator's entry under this index.
        expectRevert(
            abi.encodeWithSelector(CertificateLib.LeafMismatch.selector, 5),
            replace(certificate, at, hex"0005")
        );
    }

    function test_RevertIf_LeavesDiffer() public {
        bytes memory certificate = certify(DIGEST, list(6));
        bytes memory altered = replace(certificate, HeaderLib.ENTRIES_OFFSET, abi.encodePacked(bytes32("x")));
        bytes32[] memory others = leaves;
        others[0] = "x";

        expectRevert(
            abi.encodeWithSelector(
                CertificateLib.LeavesMismatch.selector,
                keccak256(abi.encodePacked(others)),
                keccak256(abi.encodePacked(leaves))
            ),
            altered
        );
    }

    // ---- shape

    function test_RevertIf_BytesTrailOrLack() public {
        bytes memory whole = certify(DIGEST, none());
        bytes memory listed = certify(DIGEST, list(1, 6));

        expectRevert(
            abi.encodeWithSelector(CertificateLib.CertificateLength.selector, 402, 401),
            bytes.concat(whole, hex"00")
        );
        expectRevert(
            abi.encodeWithSelector(CertificateLib.CertificateLength.selector, 400, 401), slice(whole, 0, 400)
        );
        expectRevert(abi.encodeWithSelector(CertificateLib.CertificateLength.selector, 0, 401), "");
        expectRevert(
            abi.encodeWithSelector(
                CertificateLib.CertificateLength.selector, listed.length + 1, listed.length
            ),
            bytes.concat(listed, hex"00")
        );
        expectRevert(
            abi.encodeWithSelector(
                CertificateLib.CertificateLength.selector, listed.length - 1, listed.length
            ),
            slice(listed, 0, listed.length - 1)
        );
    }

    function test_RevertIf_ModeIsUnknown() public {
        bytes memory certificate = certify(DIGEST, none());

        for (uint256 mode = 1; mode < 256; ++mode) {
            expectRevert(
                abi.encodeWithSelector(CertificateLib.ModeInvalid.selector, mode, 0),
                replace(certificate, HeaderLib.MODE_OFFSET, abi.encodePacked(uint8(mode)))
            );
        }
    }

    function test_RevertIf_MoreEntriesThanOperators() public {
        bytes memory certificate =
            replace(certify(DIGEST, none()), HeaderLib.COUNT_OFFSET, abi.encodePacked(uint16(8)));

        expectRevert(abi.encodeWithSelector(CertificateLib.CountTooLarge.selector, 8, 7), certificate);
    }

    // ---- header

    function testFuzz_RevertIf_HeaderIsAltered(uint16 at, uint8 mask) public {
        at = uint16(bound(at, 0, 301));
        vm.assume(mask != 0);
        bytes memory certificate = certify(DIGEST, none());
        bytes memory altered = replace(certificate, at, abi.encodePacked(uint8(certificate[at]) ^ mask));

        expectRevert(
            abi.encodeWithSelector(
                OperatorSetChain.HeaderMismatch.selector, keccak256(slice(altered, 0, 302)), headerHash
            ),
            altered
        );
    }

    function test_RevertIf_EpochDiffersFromHeader() public {
        bytes memory certificate = certify(DIGEST, none());

        vm.expectRevert(abi.encodeWithSelector(OperatorSetChain.EpochMismatch.selector, EPOCH, EPOCH + 4));
        verifier.verify(DIGEST, EPOCH + 4, headerHash, TWO_THIRDS, certificate);
    }

    function test_RevertIf_HeaderIsOfAnotherSet() public {
        QuorumVerifier first = verifier;
        uint96[] memory others = new uint96[](2);
        (others[0], others[1]) = (10, 10);
        setUpNetwork(others);
        bytes memory certificate = certify(DIGEST, none());

        vm.expectRevert(abi.encodeWithSelector(OperatorSetChain.SetNotInstalled.selector, EPOCH, headerHash));
        first.verify(DIGEST, EPOCH, headerHash, TWO_THIRDS, certificate);
    }

    function test_RevertIf_HeaderHasExpired() public {
        bytes memory certificate = certify(DIGEST, none());
        uint64 validUntil = uint64(START + 30 days);

        vm.warp(validUntil);
        verify(certificate);
        vm.warp(validUntil + 1);
        expectRevert(
            abi.encodeWithSelector(OperatorSetChain.HeaderExpired.selector, validUntil, validUntil + 1),
            certificate
        );
    }

    // ---- points

    function expectPointRefused(bytes memory signature) internal {
        expectRevert(
            abi.encodeWithSelector(Bls12381.PrecompileFailed.selector, Bls12381.PAIRING),
            assemble(signature, HeaderLib.MODE_ABSENT, none())
        );
    }

    function test_RevertIf_SignatureIsInfinity() public {
        expectRevert(
            abi.encodePacked(CertificateLib.SignatureIsInfinity.selector),
            assemble(new bytes(96), HeaderLib.MODE_ABSENT, none())
        );
    }

    /// @dev Two keys that cancel: one holder can prove possession of both.
    function test_RevertIf_SignersKeysCancel() public {
        uint256 secret = Signer.key(0);
        bytes memory one = abi.encodePacked(uint16(0), uint96(50), Signer.publicKey(secret));
        bytes memory other = abi.encodePacked(uint16(1), uint96(50), Signer.publicKey(Signer.ORDER - secret));
        bytes memory third = abi.encodePacked(uint16(2), uint96(1), Signer.publicKey(Signer.key(2)));
        bytes memory leaves_ = abi.encodePacked(keccak256(one), keccak256(other), keccak256(third));
        bytes memory header_ = abi.encodePacked(
            EPOCH,
            uint16(3),
            uint128(101),
            uint64(1),
            uint64(START),
            uint64(START + 1 days),
            bytes32(0),
            keccak256(leaves_),
            Signer.publicKey(Signer.key(2))
        );
        verifier = new QuorumVerifier(NETWORK_ID, header_, successionTerms());
        bytes memory signature = Signer.rawG1(Bls12381.generatorG1());
        bytes memory certificate =
            abi.encodePacked(header_, signature, HeaderLib.MODE_ABSENT, uint16(1), leaves_, third);

        vm.expectRevert(CertificateLib.KeyIsInfinity.selector);
        verifier.verify(DIGEST, EPOCH, keccak256(header_), TWO_THIRDS, certificate);
    }

    function test_RevertIf_SignatureIsOffTheCurve() public {
        bytes memory signature = signatureWithout(DIGEST, none());
        signature[95] = bytes1(uint8(signature[95]) ^ 1);

        expectPointRefused(signature);
    }

    function test_RevertIf_SignatureIsOffTheSubgroup() public {
        // x = 4 lies on the curve, not in the subgroup: y^2 = 4^3 + 4 = 68.
        expectPointRefused(
            bytes.concat(
                new bytes(47),
                hex"04",
                hex"0a989badd40d6212b33cffc3f3763e9bc760f988c9926b26da9dd85e928483446346b8ed00e1de5d5ea93e354abe706c"
            )
        );
    }

    function test_RevertIf_SignatureIsNotCanonical() public {
        // x + p stands for the same point; only one of the two encodings may pass.
        bytes memory signature = signatureWithout(DIGEST, none());
        uint256 low;
        uint256 high;
        assembly {
            high := shr(128, mload(add(signature, 32)))
            low := mload(add(signature, 48))
        }
        unchecked {
            uint256 sum = low + Bls12381.P_LOW;
            high = high + Bls12381.P_HIGH + (sum < low ? 1 : 0);
            low = sum;
        }
        expectPointRefused(replace(signature, 0, abi.encodePacked(uint128(high), low)));
    }

    function test_RefusalOfAPointCostsABoundedAmount() public view {
        bytes memory signature = signatureWithout(DIGEST, none());
        signature[95] = bytes1(uint8(signature[95]) ^ 1);
        bytes memory certificate = assemble(signature, HeaderLib.MODE_ABSENT, none());

        uint256 before = gasleft();
        try verifier.verify(DIGEST, EPOCH, headerHash, TWO_THIRDS, certificate) {
            revert("expected a refusal");
        } catch {}
        assertLt(before - gasleft(), verifier.pairingGasLimit() + 100_000);
    }
}

contract DeployVerifierTest is Network {
    uint96[] internal three;

    function setUp() public {
        vm.warp(START);
        three.push(1);
        three.push(1);
        three.push(1);
        header = makeHeader(three, EPOCH, uint64(START), uint64(START + 1 days));
    }

    function test_InstallsGenesisHeader() public {
        vm.expectEmit();
        emit OperatorSetChain.SetInstalled(EPOCH, keccak256(header), header);
        verifier = new QuorumVerifier(NETWORK_ID, header, successionTerms());

        (uint32 epoch, uint64 validUntil) = verifier.currentSet();
        assertEq(epoch, EPOCH);
        assertEq(validUntil, vm.getBlockTimestamp() + 30 days);
        assertEq(verifier.setHashes(EPOCH), keccak256(header));
        assertEq(verifier.setHashes(EPOCH + 4), bytes32(0));
        assertEq(verifier.setHashes(EPOCH - 4), bytes32(0));
    }

    function expectMissing(address precompile) internal {
        vm.expectRevert(abi.encodeWithSelector(QuorumVerifier.PrecompilesMissing.selector, precompile));
        new QuorumVerifier(NETWORK_ID, header, successionTerms());
        vm.clearMockedCalls();
    }

    function test_RevertIf_PrecompileIsMissing() public {
        // What an address without code answers: success, and nothing.
        address[4] memory precompiles = [address(0x0b), address(0x0d), address(0x0f), address(0x10)];
        for (uint256 i = 0; i < 4; ++i) {
            vm.mockCall(precompiles[i], bytes(""), bytes(""));
            expectMissing(precompiles[i]);
        }
    }

    function test_RevertIf_PairingIsAlwaysTrue() public {
        vm.mockCall(address(0x0f), bytes(""), abi.encode(1));
        expectMissing(address(0x0f));
    }

    function test_RevertIf_PairingIsAlwaysFalse() public {
        vm.mockCall(address(0x0f), bytes(""), abi.encode(0));
        expectMissing(address(0x0f));
    }

    function test_RevertIf_MapIsAnotherThing() public {
        vm.mockCall(address(0x10), bytes(""), abi.encode(Bls12381.generatorG1()));
        expectMissing(address(0x10));
    }

    function test_RevertIf_NetworkIdIsZero() public {
        vm.expectRevert(OperatorSetChain.NetworkIdZero.selector);
        new QuorumVerifier(bytes32(0), header, successionTerms());
    }

    function test_RevertIf_HeaderLengthDiffers() public {
        vm.expectRevert(abi.encodeWithSelector(OperatorSetChain.SetLength.selector, 303, 302));
        new QuorumVerifier(NETWORK_ID, bytes.concat(header, hex"00"), successionTerms());
    }

    function test_RevertIf_HeaderIsOutOfTime() public {
        vm.warp(START + 1 days + 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                OperatorSetChain.HeaderOutOfTime.selector, START, START + 1 days, vm.getBlockTimestamp()
            )
        );
        new QuorumVerifier(NETWORK_ID, header, successionTerms());
        vm.warp(START - 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                OperatorSetChain.HeaderOutOfTime.selector, START, START + 1 days, vm.getBlockTimestamp()
            )
        );
        new QuorumVerifier(NETWORK_ID, header, successionTerms());
    }

    function test_RevertIf_HeaderHasNoOperatorsOrWeight() public {
        vm.expectRevert(OperatorSetChain.HeaderInvalid.selector);
        new QuorumVerifier(NETWORK_ID, replace(header, 4, hex"0000"), successionTerms());
        vm.expectRevert(OperatorSetChain.HeaderInvalid.selector);
        new QuorumVerifier(NETWORK_ID, replace(header, 6, new bytes(16)), successionTerms());
    }

    function test_RevertIf_SumOfKeysIsNotAPointOfTheSubgroup() public {
        vm.expectRevert(CertificateLib.KeyIsInfinity.selector);
        new QuorumVerifier(NETWORK_ID, replace(header, 110, new bytes(192)), successionTerms());
        vm.expectRevert(abi.encodeWithSelector(Bls12381.PrecompileFailed.selector, Bls12381.PAIRING));
        new QuorumVerifier(
            NETWORK_ID, replace(header, 301, abi.encodePacked(uint8(header[301]) ^ 1)), successionTerms()
        );
    }
}
