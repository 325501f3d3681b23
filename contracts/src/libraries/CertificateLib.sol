// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Bls12381, G1Point, G2Point} from "./Bls12381.sol";
import {HeaderLib} from "./HeaderLib.sol";

/// @title CertificateLib: who signed, with which weight, and whether the signature is theirs
/// @notice Twin of `consensus/certificate.py`; the layout stands in HeaderLib. Knows neither which operator sets
///         a chain accepts nor which share is enough: callers check both first, since nothing here is cheap
///         after `measure`.
library CertificateLib {
    error CertificateLength(uint256 given, uint256 expected);
    error ModeInvalid(uint8 mode, uint16 count);
    error CountTooLarge(uint16 given, uint16 operators);
    error LeavesMismatch(bytes32 given, bytes32 expected);
    error IndexInvalid(uint16 index, uint16 atLeast, uint16 operators);
    error LeafMismatch(uint16 index);
    error SignatureIsInfinity();
    error KeyIsInfinity();
    error SignatureInvalid();

    /// @notice The header's bytes. Reverts where the certificate is shorter than the shortest.
    function headerOf(bytes calldata certificate) internal pure returns (bytes calldata) {
        if (certificate.length < HeaderLib.ENTRIES_OFFSET) {
            revert CertificateLength(certificate.length, HeaderLib.ENTRIES_OFFSET);
        }
        return certificate[:HeaderLib.HEADER_BYTES];
    }

    /// @notice Everything about a certificate except its signature: shape, order, leaves, weight.
    /// @dev The caller has taken `headerOf`, which checks the fixed part's length.
    function measure(bytes calldata certificate)
        internal
        pure
        returns (uint256 signedWeight, uint256 totalWeight)
    {
        uint8 mode = modeOf(certificate);
        uint16 count = countOf(certificate);
        bool listsAbsent = mode == HeaderLib.MODE_ABSENT;
        if (mode > HeaderLib.MODE_PRESENT || (count == 0 && !listsAbsent)) revert ModeInvalid(mode, count);

        uint16 operators = HeaderLib.countOf(certificate);
        if (count > operators) revert CountTooLarge(count, operators);
        uint256 entriesAt = HeaderLib.ENTRIES_OFFSET + (count == 0 ? 0 : uint256(operators) * 32);
        uint256 expected = entriesAt + uint256(count) * HeaderLib.ENTRY_BYTES;
        if (certificate.length != expected) revert CertificateLength(certificate.length, expected);

        totalWeight = HeaderLib.totalWeightOf(certificate);
        uint256 listed = count == 0 ? 0 : _checkLeaves(certificate, entriesAt, operators);
        signedWeight = listsAbsent ? totalWeight - listed : listed;
    }

    /// @notice Reverts unless the certificate's signature over `digest` is that of all its signers together.
    /// @dev The caller has measured it. The pairing checks curve, subgroup and encoding of what it is given.
    /// @param tag        domain-separation tag of the kind of message
    /// @param pointGas   limit for each precompile call but the pairing
    /// @param pairingGas limit for the pairing
    function requireSigned(
        bytes calldata certificate,
        bytes32 digest,
        bytes memory tag,
        uint256 pointGas,
        uint256 pairingGas
    ) internal view {
        G1Point memory hash = hashOf(digest, tag, pointGas);
        requireSignedBy(certificate, signersKey(certificate, pointGas), hash, pairingGas);
    }

    /// @notice The digest as a point of G1. Two certificates over one digest need it once.
    function hashOf(bytes32 digest, bytes memory tag, uint256 pointGas)
        internal
        view
        returns (G1Point memory)
    {
        return Bls12381.hashToG1(abi.encodePacked(digest), tag, pointGas);
    }

    /// @notice The same with the digest hashed and the signers' keys summed.
    function requireSignedBy(
        bytes calldata certificate,
        G2Point memory key,
        G1Point memory hash,
        uint256 pairingGas
    ) internal view {
        G1Point memory signature = Bls12381.readG1(certificate, HeaderLib.SIGNATURE_OFFSET);
        // With both at infinity the pairing would be one for any digest.
        if (Bls12381.isInfinity(signature)) revert SignatureIsInfinity();
        if (Bls12381.isInfinity(key)) revert KeyIsInfinity();
        if (!Bls12381.isSignatureBy(signature, hash, key, pairingGas)) revert SignatureInvalid();
    }

    /// @notice Sum of the signers' keys: the entries' own, or the header's sum without the entries'.
    function signersKey(bytes calldata certificate, uint256 pointGas)
        internal
        view
        returns (G2Point memory key)
    {
        uint256 count = countOf(certificate);
        if (count == 0) return Bls12381.readG2(certificate, HeaderLib.APK_OFFSET);
        uint256 offset = certificate.length - count * HeaderLib.ENTRY_BYTES + HeaderLib.ENTRY_KEY_OFFSET;
        key = Bls12381.readG2(certificate, offset);
        offset += HeaderLib.ENTRY_BYTES;
        for (; offset < certificate.length; offset += HeaderLib.ENTRY_BYTES) {
            Bls12381.addG2(key, Bls12381.readG2(certificate, offset), pointGas);
        }
        if (modeOf(certificate) == HeaderLib.MODE_ABSENT) {
            Bls12381.negate(key);
            Bls12381.addG2(key, Bls12381.readG2(certificate, HeaderLib.APK_OFFSET), pointGas);
        }
    }

    /// @notice Whether the operator at `index` is among the signers. The caller has measured the certificate.
    function isSigner(bytes calldata certificate, uint16 index) internal pure returns (bool) {
        uint256 count = countOf(certificate);
        bool isListed = false;
        uint256 at = certificate.length - count * HeaderLib.ENTRY_BYTES;
        for (; count != 0 && at < certificate.length; at += HeaderLib.ENTRY_BYTES) {
            if (uint16(bytes2(certificate[at:at + 2])) == index) isListed = true;
        }
        return
            index < HeaderLib.countOf(certificate)
                && isListed == (modeOf(certificate) == HeaderLib.MODE_PRESENT);
    }

    function modeOf(bytes calldata certificate) internal pure returns (uint8) {
        return uint8(certificate[HeaderLib.MODE_OFFSET]);
    }

    /// @notice Number of listed operators.
    function countOf(bytes calldata certificate) internal pure returns (uint16) {
        return uint16(bytes2(certificate[HeaderLib.COUNT_OFFSET:HeaderLib.ENTRIES_OFFSET]));
    }

    /// @dev Each entry against its leaf, and the leaves against the header.
    function _checkLeaves(bytes calldata certificate, uint256 entriesAt, uint16 operators)
        private
        pure
        returns (uint256 weight)
    {
        bytes32 leavesHash = keccak256(certificate[HeaderLib.ENTRIES_OFFSET:entriesAt]);
        bytes32 expectedHash = HeaderLib.leavesHashOf(certificate);
        if (leavesHash != expectedHash) revert LeavesMismatch(leavesHash, expectedHash);

        uint16 atLeast = 0;
        for (uint256 at = entriesAt; at < certificate.length; at += HeaderLib.ENTRY_BYTES) {
            bytes calldata entry = certificate[at:at + HeaderLib.ENTRY_BYTES];
            uint16 index = uint16(bytes2(entry[0:2]));
            // Strictly rising, so nobody is counted twice.
            if (index < atLeast || index >= operators) revert IndexInvalid(index, atLeast, operators);
            atLeast = index + 1;
            if (keccak256(entry) != _leafOf(certificate, index)) revert LeafMismatch(index);
            weight += uint96(bytes12(entry[2:14]));
        }
    }

    function _leafOf(bytes calldata certificate, uint256 index) private pure returns (bytes32) {
        uint256 at = HeaderLib.ENTRIES_OFFSET + index * 32;
        return bytes32(certificate[at:at + 32]);
    }
}
