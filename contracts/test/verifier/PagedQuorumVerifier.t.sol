// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {AlertLib} from "../../src/libraries/AlertLib.sol";
import {Bls12381} from "../../src/libraries/Bls12381.sol";
import {CertificateLib} from "../../src/libraries/CertificateLib.sol";
import {HeaderLib} from "../../src/libraries/HeaderLib.sol";
import {PagedQuorumVerifier} from "../../src/verifier/PagedQuorumVerifier.sol";
import {QuorumVerifier} from "../../src/verifier/QuorumVerifier.sol";
import {PagedNetwork} from "../support/PagedNetwork.sol";
import {Signer} from "../support/Signer.sol";

contract VerifyPagedTest is PagedNetwork {
    bytes32 internal constant DIGEST = keccak256("an alert");
    uint16 internal constant TWO_THIRDS = 6667;
    uint256 internal constant INDICES_OFFSET = 401 + 1 + 2 * 32 + 7 * 14;

    /// @dev Weights 100 to 106, 721 in all, on two pages.
    function setUp() public {
        setUpPaged(7, 2);
    }

    function verify(bytes memory certificate) internal view returns (uint128, uint128) {
        return verifier.verify(DIGEST, EPOCH, headerHash, TWO_THIRDS, certificate);
    }

    function expectRevert(bytes memory reason, bytes memory certificate) internal {
        vm.expectRevert(reason);
        verifier.verify(DIGEST, EPOCH, headerHash, TWO_THIRDS, certificate);
    }

    // ---- accepted

    function test_AbsentKeysComeOff() public view {
        (uint128 signed, uint128 total) = verify(certifyPaged(DIGEST, list(1, 6)));

        assertEq(signed, 721 - 101 - 106);
        assertEq(total, 721);
    }

    function test_PresentKeysAreSummed() public view {
        bytes memory certificate = assemblePaged(signatureOf(DIGEST, list(0, 3, 4)), PRESENT, list(0, 3, 4));

        (uint128 signed,) = verifier.verify(DIGEST, EPOCH, headerHash, 3334, certificate);

        assertEq(signed, 100 + 103 + 104);
    }

    function test_FlatCertificatesStayGood() public view {
        (uint128 all,) = verify(certify(DIGEST, none()));
        (uint128 withAbsent,) = verify(certify(DIGEST, list(2)));
        (uint128 present,) =
            verifier.verify(DIGEST, EPOCH, headerHash, 3334, certifyPresent(DIGEST, list(0, 3, 4)));

        assertEq(all, 721);
        assertEq(withAbsent, 721 - 102);
        assertEq(present, 100 + 103 + 104);
    }

    function test_KeysOfEightPagesAreFound() public {
        setUpPaged(17, 8);

        (uint128 signed, uint128 total) = verify(certifyPaged(DIGEST, list(0, 7, 8)));

        assertEq(total - signed, 100 + 107 + 108);
    }

    /// forge-config: default.fuzz.runs = 64
    /// forge-config: prove.fuzz.runs = 1000
    function testFuzz_PassesExactlyWhenTheFlatOneDoes(uint8 absentMask, uint16 bps, uint96[7] memory drawn)
        public
    {
        uint96[] memory weights_ = new uint96[](7);
        for (uint256 i = 0; i < 7; ++i) {
            weights_[i] = uint96(bound(drawn[i], 1, type(uint96).max));
        }
        setUpPaged(weights_, 2);
        uint256[] memory absent = membersOf(absentMask & 127);
        uint256[] memory present = membersOf(~absentMask & 127);
        vm.assume(absent.length != 0 && present.length != 0);
        bytes memory signature = signatureOf(DIGEST, present);
        bps = uint16(bound(bps, 0, 10_000));

        (bool ok, bytes memory answer) = ask(assembleFlat(signature, absent), bps);
        (bool okAbsent, bytes memory answerAbsent) = ask(assemblePaged(signature, ABSENT, absent), bps);
        (bool okPresent, bytes memory answerPresent) = ask(assemblePaged(signature, PRESENT, present), bps);

        assertEq(okAbsent, ok);
        assertEq(okPresent, ok);
        assertEq(answerAbsent, answer);
        assertEq(answerPresent, answer);
    }

    function assembleFlat(bytes memory signature, uint256[] memory absent)
        private
        view
        returns (bytes memory)
    {
        return assemble(signature, HeaderLib.MODE_ABSENT, absent);
    }

    function ask(bytes memory certificate, uint16 bps) private view returns (bool, bytes memory) {
        return address(verifier)
            .staticcall(abi.encodeCall(verifier.verify, (DIGEST, EPOCH, headerHash, bps, certificate)));
    }

    function membersOf(uint256 mask) private pure returns (uint256[] memory indices) {
        uint256 count = 0;
        for (uint256 i = 0; i < 7; ++i) {
            count += mask >> i & 1;
        }
        indices = new uint256[](count);
        for ((uint256 i, uint256 at) = (0, 0); i < 7; ++i) {
            if (mask >> i & 1 == 1) indices[at++] = i;
        }
    }

    // ---- weight

    function test_RevertIf_WeightEqualsThreshold() public {
        uint96[] memory uneven = new uint96[](2);
        (uneven[0], uneven[1]) = (6667, 3333);
        setUpPaged(uneven, 1);
        bytes memory certificate = certifyPaged(DIGEST, list(1));

        expectRevert(
            abi.encodeWithSelector(QuorumVerifier.QuorumNotReached.selector, 6667, 10_000, 6667), certificate
        );
        verifier.verify(DIGEST, EPOCH, headerHash, 6666, certificate);
    }

    function test_T04_RevertIf_EverybodyIsAbsentAndTheThresholdIsZero() public {
        uint256[] memory everybody = membersOf(127);
        bytes memory certificate = assemblePaged(Signer.rawG1(Bls12381.generatorG1()), ABSENT, everybody);

        vm.expectRevert(abi.encodeWithSelector(QuorumVerifier.QuorumNotReached.selector, 0, 721, 0));
        verifier.verify(DIGEST, EPOCH, headerHash, 0, certificate);
    }

    /// @dev Two keys that cancel: one holder can prove possession of both.
    function test_T08_RevertIf_SignersKeysCancel() public {
        uint256 secret = Signer.key(0);
        delete entries;
        delete leaves;
        push(50, Signer.publicKey(secret));
        push(50, Signer.publicKey(Signer.ORDER - secret));
        push(1, Signer.publicKey(Signer.key(2)));
        header = abi.encodePacked(
            EPOCH,
            uint16(3),
            uint128(101),
            uint64(1),
            uint64(START),
            uint64(START + 1 days),
            bytes32(0),
            keccak256(abi.encodePacked(leaves)),
            Signer.publicKey(Signer.key(2))
        );
        headerHash = keccak256(header);
        paged = new PagedQuorumVerifier(NETWORK_ID, header, successionTerms());
        placement = place(1);
        paged.bind(header, placement);
        verifier = paged;
        bytes memory signature = Signer.rawG1(Bls12381.generatorG1());

        expectRevert(
            abi.encodePacked(CertificateLib.KeyIsInfinity.selector), assemblePaged(signature, ABSENT, list(2))
        );
        expectRevert(
            abi.encodePacked(CertificateLib.KeyIsInfinity.selector),
            assemblePaged(signature, PRESENT, list(0, 1))
        );
    }

    function push(uint96 weight, bytes memory key) private {
        weights[entries.length] = weight;
        bytes memory entry = abi.encodePacked(uint16(entries.length), weight, key);
        entries.push(entry);
        leaves.push(keccak256(entry));
    }

    // ---- who signed

    function test_T12_RevertIf_AnotherThanTheListedIsAbsent() public {
        expectRevert(
            abi.encodePacked(CertificateLib.SignatureInvalid.selector),
            assemblePaged(signatureWithout(DIGEST, list(2)), ABSENT, list(3))
        );
    }

    function test_T12_RevertIf_AnAbsentOperatorIsNotListed() public {
        expectRevert(
            abi.encodePacked(CertificateLib.SignatureInvalid.selector),
            assemblePaged(signatureWithout(DIGEST, list(2, 3)), ABSENT, list(3))
        );
    }

    function test_T12_RevertIf_AListedSignerDidNotSign() public {
        expectRevert(
            abi.encodePacked(CertificateLib.SignatureInvalid.selector),
            assemblePaged(signatureOf(DIGEST, list(0, 1)), PRESENT, membersOf(127))
        );
    }

    function test_RevertIf_ModesAreExchanged() public {
        bytes memory certificate = certifyPaged(DIGEST, list(0, 1));

        vm.expectRevert(CertificateLib.SignatureInvalid.selector);
        verifier.verify(
            DIGEST,
            EPOCH,
            headerHash,
            0,
            replace(certificate, HeaderLib.MODE_OFFSET, abi.encodePacked(PRESENT))
        );
    }

    // ---- list of operators

    function test_T11_RevertIf_IndexRepeats() public {
        expectRevert(
            abi.encodeWithSelector(CertificateLib.IndexInvalid.selector, 2, 3, 7),
            assemblePaged(signatureWithout(DIGEST, list(2)), ABSENT, list(2, 2))
        );
    }

    function test_T11_RevertIf_PresentIndexRepeats() public {
        // One signer of seven, counted seven times, would be everybody.
        uint256[] memory seven = new uint256[](7);
        uint256 sum = mulmod(7, Signer.key(0), Signer.ORDER);

        expectRevert(
            abi.encodeWithSelector(CertificateLib.IndexInvalid.selector, 0, 1, 7),
            assemblePaged(Signer.sign(sum, DIGEST, AlertLib.ALERT_DST), PRESENT, seven)
        );
    }

    function test_T11_RevertIf_IndicesAreUnsorted() public {
        expectRevert(
            abi.encodeWithSelector(CertificateLib.IndexInvalid.selector, 1, 7, 7),
            certifyPaged(DIGEST, list(6, 1))
        );
    }

    function test_T13_RevertIf_IndexIsOutOfRange() public {
        bytes memory certificate = certifyPaged(DIGEST, list(6));

        expectRevert(
            abi.encodeWithSelector(CertificateLib.IndexInvalid.selector, 7, 0, 7),
            replace(certificate, INDICES_OFFSET, hex"0007")
        );
        expectRevert(
            abi.encodeWithSelector(CertificateLib.IndexInvalid.selector, 65_535, 0, 7),
            replace(certificate, INDICES_OFFSET, hex"ffff")
        );
    }

    function test_T13_RevertIf_MoreAreListedThanThereAreOperators() public {
        bytes memory certificate =
            replace(certifyPaged(DIGEST, list(1)), HeaderLib.COUNT_OFFSET, abi.encodePacked(uint16(8)));

        expectRevert(abi.encodeWithSelector(CertificateLib.CountTooLarge.selector, 8, 7), certificate);
    }

    function test_RevertIf_NobodyIsListed() public {
        // The flat form says the same in fewer bytes; one certificate has one encoding of each kind.
        bytes memory signature = signatureWithout(DIGEST, none());

        expectRevert(
            abi.encodeWithSelector(CertificateLib.ModeInvalid.selector, ABSENT, 0),
            assemblePaged(signature, ABSENT, none())
        );
        expectRevert(
            abi.encodeWithSelector(CertificateLib.ModeInvalid.selector, PRESENT, 0),
            assemblePaged(signature, PRESENT, none())
        );
    }

    function test_RevertIf_ModeIsUnknown() public {
        bytes memory certificate = certifyPaged(DIGEST, list(1));

        for (uint256 mode = 4; mode < 256; ++mode) {
            expectRevert(
                abi.encodeWithSelector(CertificateLib.ModeInvalid.selector, mode, 1),
                replace(certificate, HeaderLib.MODE_OFFSET, abi.encodePacked(uint8(mode)))
            );
        }
    }

    // ---- shape

    function test_T13_RevertIf_BytesTrailOrLack() public {
        bytes memory whole = certifyPaged(DIGEST, list(1, 6));

        expectLength(bytes.concat(whole, hex"00"), whole.length);
        expectLength(bytes.concat(whole, hex"0000"), whole.length);
        expectLength(slice(whole, 0, whole.length - 1), whole.length);
        // With no page count there are no pages.
        expectLength(slice(whole, 0, 401), 401 + 1 + 7 * 14 + 2 * 2);
        vm.expectRevert(abi.encodeWithSelector(CertificateLib.CertificateLength.selector, 400, 401));
        verify(slice(whole, 0, 400));
    }

    function test_T13_RevertIf_PageCountDiffers() public {
        bytes memory whole = certifyPaged(DIGEST, list(1, 6));

        expectLength(replace(whole, 401, hex"00"), whole.length - 64);
        expectLength(replace(whole, 401, hex"03"), whole.length + 32);
        expectLength(replace(whole, 401, hex"ff"), whole.length + 253 * 32);
    }

    function expectLength(bytes memory certificate, uint256 expected) private {
        expectRevert(
            abi.encodeWithSelector(CertificateLib.CertificateLength.selector, certificate.length, expected),
            certificate
        );
    }

    // ---- the placement

    function test_RevertIf_NoPlacementIsBound() public {
        setUpUnbound(weights, 2);

        expectRevert(
            abi.encodeWithSelector(PagedQuorumVerifier.PlacementNotBound.selector, EPOCH, headerHash),
            certifyPaged(DIGEST, list(1))
        );
        verify(certify(DIGEST, list(1)));
    }

    function expectMismatch(bytes memory certificate) private {
        bytes memory given = slice(certificate, 401, INDICES_OFFSET);
        bytes32 bound = paged.boundPlacement(headerHash);
        expectRevert(
            abi.encodeWithSelector(
                PagedQuorumVerifier.PlacementMismatch.selector, keccak256(bytes.concat(header, given)), bound
            ),
            certificate
        );
    }

    function test_RevertIf_AWeightOfThePlacementIsAltered() public {
        // Less weight for the absent would leave more to the signers.
        bytes memory certificate = certifyPaged(DIGEST, list(1));

        expectMismatch(replace(certificate, 401 + 65 + 14 + 2, abi.encodePacked(uint96(1))));
    }

    function test_RevertIf_APlaceIsAltered() public {
        bytes memory certificate = certifyPaged(DIGEST, list(1));

        // The key of a stranger on the same page.
        expectMismatch(replace(certificate, 401 + 65 + 14 + 1, hex"00"));
        // The place of another operator.
        expectMismatch(replace(certificate, 401 + 65 + 14, hex"00"));
    }

    function test_RevertIf_APageIsExchanged() public {
        bytes memory certificate = certifyPaged(DIGEST, list(1));
        bytes32 other = paged.addKeys(Signer.publicKey(Signer.key(55)));

        expectMismatch(replace(certificate, 402, abi.encodePacked(other)));
    }

    /// forge-config: default.fuzz.runs = 256
    /// forge-config: prove.fuzz.runs = 10000
    function testFuzz_RevertIf_AnyByteOfThePlacementIsAltered(uint256 at, uint8 mask) public {
        at = bound(at, 402, INDICES_OFFSET - 1);
        vm.assume(mask != 0);
        bytes memory certificate = certifyPaged(DIGEST, list(1));

        expectMismatch(replace(certificate, at, abi.encodePacked(uint8(certificate[at]) ^ mask)));
    }

    function test_RevertIf_AnotherTruePlacementIsBound() public {
        placement = place(1);

        expectMismatchOf(certifyPaged(DIGEST, list(1)), keccak256(bytes.concat(header, placement)));
    }

    function expectMismatchOf(bytes memory certificate, bytes32 given) private {
        expectRevert(
            abi.encodeWithSelector(
                PagedQuorumVerifier.PlacementMismatch.selector, given, paged.boundPlacement(headerHash)
            ),
            certificate
        );
    }

    // ---- what it costs

    /// @dev A pairing alone costs 102,900: none was tried.
    function test_RefusalsOfListsAndPlacementsCostLessThanAPairing() public view {
        bytes memory signature = signatureWithout(DIGEST, list(1));
        bytes[4] memory bad = [
            replace(certifyPaged(DIGEST, list(1)), 420, hex"00"),
            assemblePaged(signature, ABSENT, list(2, 2)),
            assemblePaged(signature, PRESENT, list(2)),
            bytes.concat(certifyPaged(DIGEST, list(1)), hex"00")
        ];
        for (uint256 i = 0; i < bad.length; ++i) {
            uint256 before = gasleft();
            try verifier.verify(DIGEST, EPOCH, headerHash, TWO_THIRDS, bad[i]) {
                revert("expected a refusal");
            } catch {}
            assertLt(before - gasleft(), 40_000);
        }
    }

    function test_T35_LargestCertificateStaysAboveTheCalldataFloorAndFarBelowTheCap() public {
        setUpPaged(256, 3);
        bytes memory certificate = certifyPaged(DIGEST, aThird(256));
        bytes memory data = abi.encodeCall(verifier.verify, (DIGEST, EPOCH, headerHash, 6600, certificate));
        uint256 before = gasleft();
        (bool ok,) = address(verifier).staticcall(data);
        uint256 execution = before - gasleft();

        assertTrue(ok);
        (uint256 price, uint256 floor) = calldataGas(data);
        // EIP-7623: the floor is not what is paid. EIP-7825: one transaction may use 2**24.
        assertLt(floor, price + execution);
        assertLt(21_000 + price + execution, uint256(2 ** 24) / 30);
        // EIP-7976, 64 for any byte: the floor stays within one and a half of today's price.
        assertLt(2 * 64 * data.length, 3 * (price + execution));
    }

    function calldataGas(bytes memory data) private pure returns (uint256 price, uint256 floor) {
        for (uint256 i = 0; i < data.length; ++i) {
            price += data[i] == 0 ? 4 : 16;
            floor += data[i] == 0 ? 10 : 40;
        }
    }
}
