// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Bls12381} from "../../src/libraries/Bls12381.sol";
import {CertificateLib} from "../../src/libraries/CertificateLib.sol";
import {HeaderLib} from "../../src/libraries/HeaderLib.sol";
import {Signer} from "../support/Signer.sol";
import {AlertLib} from "../../src/libraries/AlertLib.sol";
import {Verifying} from "../support/Verifying.sol";

/// @notice The bytes of a certificate: one encoding for each, and every other refused before any curve arithmetic.
contract CertificateShapeTest is Verifying {
    // ---- list of operators

    function test_T11_RevertIf_IndexRepeats() public {
        expectRevert(
            abi.encodeWithSelector(CertificateLib.IndexInvalid.selector, 2, 3, 7),
            assemble(signatureWithout(DIGEST, list(2)), HeaderLib.MODE_ABSENT, list(2, 2))
        );
    }

    function test_T11_RevertIf_PresentIndexRepeats() public {
        // One signer of seven, counted five times, would be two thirds.
        uint256[] memory five = new uint256[](5);
        uint256 sum = mulmod(5, Signer.key(0), Signer.ORDER);

        expectRevert(
            abi.encodeWithSelector(CertificateLib.IndexInvalid.selector, 0, 1, 7),
            assemble(Signer.sign(sum, DIGEST, AlertLib.ALERT_DST), HeaderLib.MODE_PRESENT, five)
        );
    }

    function test_T11_RevertIf_IndicesAreUnsorted() public {
        expectRevert(
            abi.encodeWithSelector(CertificateLib.IndexInvalid.selector, 1, 7, 7), certify(DIGEST, list(6, 1))
        );
    }

    function test_T11_RevertIf_IndexIsOutOfRange() public {
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

    /// @dev Two leaves in a row have 64 bytes, an entry has 206: neither passes for the other, as each length is fixed.
    function test_T14_RevertIf_TwoLeavesStandForAnEntry() public {
        assertEq(HeaderLib.ENTRY_BYTES, 206);
        bytes memory certificate = certify(DIGEST, list(6));
        bytes memory short = bytes.concat(
            slice(certificate, 0, certificate.length - 206), abi.encodePacked(leaves[5], leaves[6])
        );

        expectRevert(
            abi.encodeWithSelector(
                CertificateLib.CertificateLength.selector, short.length, certificate.length
            ),
            short
        );
    }

    // ---- shape

    function test_T13_RevertIf_BytesTrailOrLack() public {
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

    function test_T13_RevertIf_ModeIsUnknown() public {
        bytes memory certificate = certify(DIGEST, none());

        for (uint256 mode = 1; mode < 256; ++mode) {
            expectRevert(
                abi.encodeWithSelector(CertificateLib.ModeInvalid.selector, mode, 0),
                replace(certificate, HeaderLib.MODE_OFFSET, abi.encodePacked(uint8(mode)))
            );
        }
    }

    function test_T13_RevertIf_MoreEntriesThanOperators() public {
        bytes memory certificate =
            replace(certify(DIGEST, none()), HeaderLib.COUNT_OFFSET, abi.encodePacked(uint16(8)));

        expectRevert(abi.encodeWithSelector(CertificateLib.CountTooLarge.selector, 8, 7), certificate);
    }

    /// @dev Every length but one, for the header's and the certificate's own numbers, is refused before a read.
    /// forge-config: default.fuzz.runs = 64
    /// forge-config: prove.fuzz.runs = 1000
    function testFuzz_T13_RevertIf_LengthIsAnyOther(uint16 length, uint8 mode, uint16 count) public view {
        bytes memory whole = certify(DIGEST, list(1, 6));
        length = uint16(bound(length, 0, whole.length - 1));
        bytes memory cut = slice(whole, 0, length);
        if (length >= 401) cut = replace(cut, 398, abi.encodePacked(mode, count));
        bool isWhole = length == 401 && mode == 0 && count == 0;

        (bool ok,) = address(verifier)
            .staticcall(abi.encodeCall(verifier.verify, (DIGEST, EPOCH, headerHash, TWO_THIRDS, cut)));
        assertFalse(ok && !isWhole);
    }

    // ---- calldata

    /// @dev The decoder follows the offset wherever it points: the same content has the same answer, and no
    ///      encoding makes a valid certificate fail or an invalid one pass.
    function test_T16_UnusualAbiEncodingChangesNoAnswer() public view {
        bytes memory good = certify(DIGEST, list(1));
        bytes memory bad = replace(good, 302, Signer.rawG1(Bls12381.generatorG1()));

        for (uint256 gap = 0; gap <= 96; gap += 16) {
            assertTrue(isAnswered(good, 6667, gap));
            assertFalse(isAnswered(bad, 6667, gap));
        }
        // A threshold with dirty upper bits is no uint16, and not read as one.
        assertFalse(isAnswered(good, 6667 | 1 << 16, 0));
        assertFalse(isAnswered(good, 1 << 255, 0));
    }

    function isAnswered(bytes memory certificate, uint256 thresholdBps, uint256 gap)
        private
        view
        returns (bool ok)
    {
        (ok,) = address(verifier)
            .staticcall(
                abi.encodePacked(
                    verifier.verify.selector,
                    abi.encode(DIGEST, EPOCH, headerHash, thresholdBps, 160 + gap),
                    new bytes(gap),
                    certificate.length,
                    certificate
                )
            );
    }
}
