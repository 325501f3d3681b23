// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Bls12381, G2Point} from "./Bls12381.sol";
import {CertificateLib} from "./CertificateLib.sol";
import {KeyPages} from "./KeyPages.sol";

/// @title PlacementLib: on which page each operator's key stands, and which weight the operator has
/// @notice Twin of `consensus/paging.py`. What a header binds of its operators is 206 bytes each; with the keys
///         on pages 14 are left.
/// @dev Big-endian, packed:
///
///      placement of n operators                 place, 14 bytes
///        0  p                  u8                  0  page    u8    which of the p ids
///        1  p page ids, p * 32                     1  slot    u8    which key of that page
///           n places,   n * 14                     2  weight  u96
///
///      Only `leavesHash` checks anything of a placement: the other functions rest on it, and read what it read.
library PlacementLib {
    uint256 internal constant PLACE_BYTES = 14;
    uint256 internal constant INDEX_BYTES = 2;

    /// @notice Most pages of one placement. The first to place a set chooses the pages, and each costs
    ///         whoever reads from it a cold access and 32 bytes: this bounds what a bad choice can cost.
    uint256 internal constant MAX_PAGES = 8;

    error TooManyPages(uint256 given, uint256 max);
    error PageOutOfRange(uint256 page, uint256 pages);

    /// @notice Bytes of the placement that begins with `pages`.
    function lengthOf(uint256 pages, uint256 operators) internal pure returns (uint256) {
        return 1 + pages * 32 + operators * PLACE_BYTES;
    }

    /// @notice The hash of the leaves that keys and weights make; the header's, where the placement is true.
    /// @dev The caller has checked the length.
    function leavesHash(bytes calldata placement, uint256 operators) internal view returns (bytes32 hash) {
        uint256 pages = uint8(placement[0]);
        if (pages > MAX_PAGES) revert TooManyPages(pages, MAX_PAGES);
        for (uint256 i = 0; i < pages; ++i) {
            KeyPages.requirePresent(_idAt(placement, i));
        }
        uint256 lastPage = 0;
        uint256[] memory pageAddresses = _addressesOf(placement);
        assembly ("memory-safe") {
            let leaf := mload(0x40)
            let leaves := add(leaf, 224)
            let place := add(placement.offset, add(1, shl(5, pages)))
            for { let i := 0 } lt(i, operators) { i := add(i, 1) } {
                let word := calldataload(place)
                let page := byte(0, word)
                if gt(page, lastPage) { lastPage := page }
                // index | weight | and the key, which stands `slot` keys behind the page's STOP
                mstore(leaf, or(shl(240, i), shr(16, shl(16, word))))
                extcodecopy(
                    mload(add(pageAddresses, shl(5, add(page, 1)))),
                    add(leaf, 14),
                    add(1, mul(byte(1, word), 192)),
                    192
                )
                mstore(add(leaves, shl(5, i)), keccak256(leaf, 206))
                place := add(place, PLACE_BYTES)
            }
            hash := keccak256(leaves, shl(5, operators))
        }
        // What stood behind the last address was read for such a page; nothing of it is returned.
        if (lastPage >= pages) revert PageOutOfRange(lastPage, pages);
    }

    /// @notice The weight of the operators at `indices`, u16 each, which must rise strictly below `operators`.
    /// @dev The caller has bound the placement and checked both lengths.
    function weigh(bytes calldata placement, bytes calldata indices, uint256 operators)
        internal
        pure
        returns (uint256 weight)
    {
        bool isRising = true;
        uint256 index = 0;
        uint256 atLeast = 0;
        assembly ("memory-safe") {
            let places := add(placement.offset, add(1, shl(5, byte(0, calldataload(placement.offset)))))
            let end := add(indices.offset, indices.length)
            for { let at := indices.offset } lt(at, end) { at := add(at, INDEX_BYTES) } {
                index := shr(240, calldataload(at))
                // Strictly rising, so nobody is counted twice.
                isRising := and(iszero(lt(index, atLeast)), lt(index, operators))
                if iszero(isRising) { break }
                atLeast := add(index, 1)
                weight := add(weight, shr(160, shl(16, calldataload(add(places, mul(index, PLACE_BYTES))))))
            }
        }
        if (!isRising) {
            revert CertificateLib.IndexInvalid(uint16(index), uint16(atLeast), uint16(operators));
        }
    }

    /// @notice The sum of the keys of the operators at `indices`, at least one.
    /// @dev The caller has weighed them. `gasLimit` is that of one addition.
    function sumKeys(bytes calldata placement, bytes calldata indices, uint256 gasLimit)
        internal
        view
        returns (G2Point memory sum)
    {
        uint256[] memory pageAddresses = _addressesOf(placement);
        bool ok = true;
        assembly ("memory-safe") {
            // The sum so far (256 bytes) and the key to add: what the precompile takes. Then a key as it comes.
            let input := mload(0x40)
            let term := add(input, 256)
            let raw := add(input, 512)
            calldatacopy(input, calldatasize(), 512)
            let places := add(placement.offset, add(1, shl(5, byte(0, calldataload(placement.offset)))))
            let end := add(indices.offset, indices.length)
            for { let at := indices.offset } lt(at, end) { at := add(at, INDEX_BYTES) } {
                let place := calldataload(add(places, mul(shr(240, calldataload(at)), PLACE_BYTES)))
                extcodecopy(
                    mload(add(pageAddresses, shl(5, add(byte(0, place), 1)))),
                    raw,
                    add(1, mul(byte(1, place), 192)),
                    192
                )
                mcopy(add(term, 16), raw, 48)
                mcopy(add(term, 80), add(raw, 48), 48)
                mcopy(add(term, 144), add(raw, 96), 48)
                mcopy(add(term, 208), add(raw, 144), 48)
                // The first is added to infinity, which is all zeros.
                ok := staticcall(gasLimit, 0x0d, input, 512, input, 256)
                ok := and(ok, eq(returndatasize(), 256))
                if iszero(ok) { break }
            }
            mcopy(sum, input, 256)
        }
        if (!ok) revert Bls12381.PrecompileFailed(Bls12381.G2_ADD);
    }

    /// @dev As words, for the loops.
    function _addressesOf(bytes calldata placement) private view returns (uint256[] memory pageAddresses) {
        pageAddresses = new uint256[](uint8(placement[0]));
        for (uint256 i = 0; i < pageAddresses.length; ++i) {
            pageAddresses[i] = uint160(KeyPages.addressOf(_idAt(placement, i)));
        }
    }

    function _idAt(bytes calldata placement, uint256 i) private pure returns (bytes32) {
        return bytes32(placement[1 + i * 32:33 + i * 32]);
    }
}
