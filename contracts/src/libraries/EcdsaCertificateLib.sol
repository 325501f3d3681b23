// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {ECDSA} from "solady/utils/ECDSA.sol";
import {LibSort} from "solady/utils/LibSort.sol";
import {HeaderLib} from "./HeaderLib.sol";

/// @title EcdsaCertificateLib: who signed by ECDSA, with which weight, and whether the signatures are theirs
/// @notice Twin of `consensus/ecdsa.py`. Knows neither which operator sets a chain accepts nor which share is
///         enough: callers check both before `requireSigned`, which costs 3,000 gas and more per signer.
/// @dev Big-endian, packed:
///
///      set, 302 + n * 32                        certificate
///        0  header         302                    0  set                302 + n * 32
///      302  n entries, 32 each                       k                  u16
///             address 20 | weight u96                k signatures, 66 each
///                                                      index u16 | r 32 | vs 32
///
///      `vs` is EIP-2098: s, and the parity of y in its highest bit. The header is the one of BLS, so that an
///      alert names the same set on every chain.
library EcdsaCertificateLib {
    /// @dev The same key may sign transactions and EIP-191 messages elsewhere. What is hashed here has 64 bytes and
    ///      begins with 0xe7 or 0xa5: EIP-2718 types lie below 0x80, EIP-191 begins with 0x19, and an RLP list
    ///      that begins with 0xe7 has 40 bytes. So a vote never passes for one of those, nor the reverse.
    bytes32 internal constant ECDSA_ALERT_TYPEHASH = keccak256("TocsinEcdsaAlert(bytes32 digest)");
    bytes32 internal constant ECDSA_HANDOVER_TYPEHASH = keccak256("TocsinEcdsaHandover(bytes32 digest)");

    uint256 internal constant ENTRY_BYTES = 32;
    uint256 internal constant COUNT_BYTES = 2;
    uint256 internal constant SIGNATURE_BYTES = 66;

    /// @notice Half of the group's order. Above it stands the same signature once more, mirrored.
    uint256 internal constant MAX_S = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;

    error WeightSumMismatch(uint256 sum, uint128 totalWeight);
    error WeightZero(uint256 index);
    error SignerZero(uint256 index);
    error SignerRepeats();
    error CertificateLength(uint256 given, uint256 expected);
    error IndexInvalid(uint256 index, uint256 atLeast, uint256 operators);
    error SignatureMalleable(uint256 index, uint256 s, uint256 max);
    error SignerMismatch(uint256 index, address recovered, address expected);

    // ---- the set

    /// @notice Bytes of a set of so many operators.
    function setBytes(uint256 operators) internal pure returns (uint256) {
        return HeaderLib.HEADER_BYTES + operators * ENTRY_BYTES;
    }

    /// @notice Reverts unless each operator has a weight and an address of its own, and the weights sum to the
    ///         header's total. The caller has checked the length.
    function requireSound(bytes memory set, HeaderLib.Header memory header) internal pure {
        address[] memory signers = new address[](header.count);
        uint256 sum = 0;
        for (uint256 i = 0; i < signers.length; ++i) {
            bytes32 entry = _loadEntry(set, i);
            uint256 weight = _weightOf(entry);
            signers[i] = _signerOf(entry);
            // The zero address is what a failed recovery gives.
            if (signers[i] == address(0)) revert SignerZero(i);
            if (weight == 0) revert WeightZero(i);
            sum += weight;
        }
        if (sum != header.totalWeight) revert WeightSumMismatch(sum, header.totalWeight);
        // Else one key would vote once for each of its places.
        if (LibSort.hasDuplicate(signers)) revert SignerRepeats();
    }

    // ---- the certificate

    /// @notice The set's bytes. Reverts unless the certificate's length is exact.
    function setOf(bytes calldata certificate) internal pure returns (bytes calldata) {
        uint256 least = HeaderLib.HEADER_BYTES + COUNT_BYTES;
        if (certificate.length < least) revert CertificateLength(certificate.length, least);
        uint256 countAt = setBytes(HeaderLib.countOf(certificate));
        // Where the count itself is missing, what is read in its place expects still more.
        uint256 expected = countAt + COUNT_BYTES + _u16(certificate, countAt) * SIGNATURE_BYTES;
        if (certificate.length != expected) revert CertificateLength(certificate.length, expected);
        return certificate[:countAt];
    }

    /// @notice Weight of those whose signatures are carried; says nothing of what they signed.
    /// @dev The caller has taken `setOf`, which checks the length. Unchecked: offsets stay below that length, and
    ///      65,535 weights of 96 bits below 2**112.
    function measure(bytes calldata certificate)
        internal
        pure
        returns (uint256 signedWeight, uint256 totalWeight)
    {
        uint256 operators = HeaderLib.countOf(certificate);
        uint256 atLeast = 0;
        unchecked {
            uint256 at = setBytes(operators) + COUNT_BYTES;
            for (; at < certificate.length; at += SIGNATURE_BYTES) {
                uint256 index = _u16(certificate, at);
                // Strictly rising, so nobody is counted twice.
                if (index < atLeast || index >= operators) revert IndexInvalid(index, atLeast, operators);
                atLeast = index + 1;
                signedWeight += _weightOf(_entryOf(certificate, index));
            }
        }
        totalWeight = HeaderLib.totalWeightOf(certificate);
    }

    /// @notice Reverts unless each signature is that of its operator over `digest`, as this kind of message.
    /// @dev The caller has measured it. Malformed input costs ecrecover's price and no more, so it needs no limit.
    /// @param typehash ECDSA_ALERT_TYPEHASH or ECDSA_HANDOVER_TYPEHASH
    function requireSigned(bytes calldata certificate, bytes32 digest, bytes32 typehash) internal view {
        bytes32 message = messageHash(typehash, digest);
        unchecked {
            uint256 at = setBytes(HeaderLib.countOf(certificate)) + COUNT_BYTES;
            for (; at < certificate.length; at += SIGNATURE_BYTES) {
                uint256 index = _u16(certificate, at);
                bytes32 vs = _word(certificate, at + 34);
                uint256 s = uint256(vs) & type(uint256).max >> 1;
                if (s > MAX_S) revert SignatureMalleable(index, s, MAX_S);
                // Reverts where nothing is recovered: a bad signature, or no precompile to ask.
                address recovered = ECDSA.recover(message, _word(certificate, at + 2), vs);
                address expected = _signerOf(_entryOf(certificate, index));
                if (recovered != expected) revert SignerMismatch(index, recovered, expected);
            }
        }
    }

    /// @notice What an operator signs with its ECDSA key.
    function messageHash(bytes32 typehash, bytes32 digest) internal pure returns (bytes32) {
        return keccak256(abi.encode(typehash, digest));
    }

    // ---- layout

    /// @dev `index` is below the header's count.
    function _entryOf(bytes calldata certificate, uint256 index) private pure returns (bytes32) {
        unchecked {
            return _word(certificate, HeaderLib.HEADER_BYTES + index * ENTRY_BYTES);
        }
    }

    function _signerOf(bytes32 entry) private pure returns (address) {
        return address(bytes20(entry));
    }

    function _weightOf(bytes32 entry) private pure returns (uint256) {
        return uint96(uint256(entry));
    }

    function _u16(bytes calldata data, uint256 offset) private pure returns (uint256) {
        return uint256(_word(data, offset)) >> 240;
    }

    /// @dev `setOf` has checked the length once; a checked slice for each word would cost as much as the bytes.
    function _word(bytes calldata data, uint256 offset) private pure returns (bytes32 word) {
        assembly ("memory-safe") {
            word := calldataload(add(data.offset, offset))
        }
    }

    /// @dev As `_entryOf`, from memory.
    function _loadEntry(bytes memory set, uint256 index) private pure returns (bytes32 entry) {
        uint256 at = 32 + HeaderLib.HEADER_BYTES + index * ENTRY_BYTES;
        assembly ("memory-safe") {
            entry := mload(add(set, at))
        }
    }
}
