// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title HeaderLib: the header of an operator set, and the certificate that travels with it
/// @notice Twin of `consensus/operators.py` and `consensus/certificate.py`.
/// @dev Big-endian, packed:
///
///      header, 302 bytes                        certificate
///        0  epoch          u32                     0  header               302
///        4  n              u16                   302  signature x|y raw     96
///        6  totalWeight    u128                  398  mode                  u8
///       22  captureBlock   u64                   399  k                    u16
///       30  captureTime    u64                   401  if k > 0: n leaves, n * 32
///       38  validUntil     u64                        then k entries, k * 206
///       46  prevHeaderHash 32
///       78  leavesHash     32                  leaf preimage = entry, 206 bytes
///      110  apk            192                   index u16 | weight u96 | public key 192
///
///      A leaf's preimage has a fixed length that is never 64, so it cannot pass for two hashes.
library HeaderLib {
    uint256 internal constant HEADER_BYTES = 302;
    uint256 internal constant SIGNATURE_OFFSET = 302;
    uint256 internal constant MODE_OFFSET = 398;
    uint256 internal constant COUNT_OFFSET = 399;
    uint256 internal constant ENTRIES_OFFSET = 401;
    uint256 internal constant ENTRY_BYTES = 206;
    uint256 internal constant ENTRY_KEY_OFFSET = 14;
    uint256 internal constant APK_OFFSET = 110;
    uint256 internal constant PUBLIC_KEY_BYTES = 192;
    uint256 internal constant SIGNATURE_BYTES = 96;

    /// @notice Most operators of one set, so that a capture and the longest certificate fit into a block.
    uint256 internal constant MAX_OPERATORS = 256;

    /// @notice The entries are the operators who did not sign: their keys come off the header's sum.
    uint8 internal constant MODE_ABSENT = 0;
    /// @notice The entries are the operators who signed: their keys are summed.
    uint8 internal constant MODE_PRESENT = 1;

    struct Header {
        uint32 epoch;
        uint16 count;
        uint128 totalWeight;
        uint64 captureBlock;
        uint64 captureTime;
        uint64 validUntil;
        bytes32 prevHeaderHash;
        bytes32 leavesHash;
        bytes apk;
    }

    function encode(Header memory header) internal pure returns (bytes memory) {
        return abi.encodePacked(
            header.epoch,
            header.count,
            header.totalWeight,
            header.captureBlock,
            header.captureTime,
            header.validUntil,
            header.prevHeaderHash,
            header.leavesHash,
            header.apk
        );
    }

    /// @notice Reads the header at the start of `set`. The caller has checked the length.
    function decode(bytes memory set) internal pure returns (Header memory header) {
        bytes memory apk = new bytes(PUBLIC_KEY_BYTES);
        assembly ("memory-safe") {
            let words := add(set, 32)
            mstore(header, shr(224, mload(words)))
            mstore(add(header, 32), shr(240, mload(add(words, 4))))
            mstore(add(header, 64), shr(128, mload(add(words, 6))))
            mstore(add(header, 96), shr(192, mload(add(words, 22))))
            mstore(add(header, 128), shr(192, mload(add(words, 30))))
            mstore(add(header, 160), shr(192, mload(add(words, 38))))
            mstore(add(header, 192), mload(add(words, 46)))
            mstore(add(header, 224), mload(add(words, 78)))
            mcopy(add(apk, 32), add(words, APK_OFFSET), PUBLIC_KEY_BYTES)
        }
        header.apk = apk;
    }

    function encodeLeaf(uint16 index, uint96 weight, bytes memory publicKey)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodePacked(index, weight, publicKey);
    }

    function epochOf(bytes calldata header) internal pure returns (uint32) {
        return uint32(bytes4(header[0:4]));
    }

    function countOf(bytes calldata header) internal pure returns (uint16) {
        return uint16(bytes2(header[4:6]));
    }

    function totalWeightOf(bytes calldata header) internal pure returns (uint128) {
        return uint128(bytes16(header[6:22]));
    }

    function validUntilOf(bytes calldata header) internal pure returns (uint64) {
        return uint64(bytes8(header[38:46]));
    }

    function leavesHashOf(bytes calldata header) internal pure returns (bytes32) {
        return bytes32(header[78:110]);
    }
}
