// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {CertificateLib} from "../libraries/CertificateLib.sol";
import {HeaderLib} from "../libraries/HeaderLib.sol";

/// @notice Two certificates by one operator set over statements that exclude each other, and who is accused of
///         having signed both.
/// @param first   certificate over the first statement; the threshold does not matter, one signer is enough
/// @param second  certificate over the second statement, with the same header
/// @param leaves  the header's leaves in a row, 32 bytes each
/// @param accused leaf preimages of the accused, 206 bytes each
struct Conflict {
    bytes first;
    bytes second;
    bytes leaves;
    bytes accused;
}

/// @title EquivocationProof: did these operators sign both?
/// @notice An aggregate signature proves the signature of each of its signers: all keys behind it have proved
///         possession, so nobody can make the sum sign without every key in it. Therefore certificates as they
///         come from the chain are evidence, and a single operator's signature is one with a single entry.
///
///         Knows nothing of statements, registries or stake: which header counts and which digests exclude each
///         other is the caller's.
library EquivocationProof {
    error DigestsEqual(bytes32 digest);
    error HeadersDiffer(bytes32 first, bytes32 second);
    error AccusedLength(uint256 given, uint256 entryBytes);
    error AccusedNoLeaf(uint16 index);
    error NotSigner(uint16 index, bytes32 digest);

    /// @notice Hash of the header that both certificates carry. Reverts where they differ.
    function headerHashOf(Conflict calldata conflict) internal pure returns (bytes32 hash) {
        hash = keccak256(CertificateLib.headerOf(conflict.first));
        bytes32 other = keccak256(CertificateLib.headerOf(conflict.second));
        if (hash != other) revert HeadersDiffer(hash, other);
    }

    /// @notice Reverts unless every accused signed both digests. The caller has checked the header's hash.
    /// @dev Everything cheap comes before the two pairings.
    function requireProven(
        Conflict calldata conflict,
        bytes32 firstDigest,
        bytes32 secondDigest,
        bytes memory tag,
        uint256 pointGas,
        uint256 pairingGas
    ) internal view {
        if (firstDigest == secondDigest) revert DigestsEqual(firstDigest);
        // Reverts on a wrong shape; whether the weight is enough does not matter here.
        // slither-disable-next-line unused-return
        CertificateLib.measure(conflict.first);
        // As above.
        // slither-disable-next-line unused-return
        CertificateLib.measure(conflict.second);
        bytes32 leavesHash = HeaderLib.leavesHashOf(conflict.first);
        bytes32 given = keccak256(conflict.leaves);
        if (given != leavesHash) revert CertificateLib.LeavesMismatch(given, leavesHash);

        uint256 count = countOf(conflict);
        for (uint256 i = 0; i < count; ++i) {
            uint16 index = _requireLeaf(conflict, i);
            if (!CertificateLib.isSigner(conflict.first, index)) revert NotSigner(index, firstDigest);
            if (!CertificateLib.isSigner(conflict.second, index)) revert NotSigner(index, secondDigest);
        }
        CertificateLib.requireSigned(conflict.first, firstDigest, tag, pointGas, pairingGas);
        CertificateLib.requireSigned(conflict.second, secondDigest, tag, pointGas, pairingGas);
    }

    /// @notice Number of the accused; at least one, else reverts.
    function countOf(Conflict calldata conflict) internal pure returns (uint256 count) {
        uint256 size = conflict.accused.length;
        count = size / HeaderLib.ENTRY_BYTES;
        // Multiplied again to see that nothing was rounded off.
        // slither-disable-next-line divide-before-multiply
        if (count == 0 || size != count * HeaderLib.ENTRY_BYTES) {
            revert AccusedLength(size, HeaderLib.ENTRY_BYTES);
        }
    }

    /// @notice Hash of the public key of accused `i`.
    function keyHashOf(Conflict calldata conflict, uint256 i) internal pure returns (bytes32) {
        return keccak256(_entryOf(conflict, i)[HeaderLib.ENTRY_KEY_OFFSET:]);
    }

    /// @dev The leaf binds index, weight and key together; the index alone would not say whose key it is.
    function _requireLeaf(Conflict calldata conflict, uint256 i) private pure returns (uint16 index) {
        bytes calldata entry = _entryOf(conflict, i);
        index = uint16(bytes2(entry[0:2]));
        uint256 at = uint256(index) * 32;
        if (at + 32 > conflict.leaves.length || keccak256(entry) != bytes32(conflict.leaves[at:at + 32])) {
            revert AccusedNoLeaf(index);
        }
    }

    function _entryOf(Conflict calldata conflict, uint256 i) private pure returns (bytes calldata) {
        uint256 at = i * HeaderLib.ENTRY_BYTES;
        return conflict.accused[at:at + HeaderLib.ENTRY_BYTES];
    }
}
