// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Create2} from "@openzeppelin/contracts/utils/Create2.sol";
import {SSTORE2} from "solady/utils/SSTORE2.sol";

/// @title KeyPages: public keys that a contract has written once, and reads many times
/// @notice Twin of `consensus/paging.py`. A page is a contract whose code is a STOP and then up to 127 keys of
///         192 raw bytes. Its id is the hash of the code that creates it, and its address follows from the
///         id and the contract that wrote it. So an id stands for the same keys on every chain, code at
///         that address can be nothing else, nobody can change or remove it, and no number is used up by
///         pages that others write.
/// @dev Bytes beyond the end of a page, and all bytes of a page that is not there, read as zero. Whoever
///      places keys holds what was read against a hash.
library KeyPages {
    uint256 internal constant KEY_BYTES = 192;

    /// @notice Keys of the longest page: with one more the code would pass EIP-170's 24,576 bytes.
    uint256 internal constant KEYS_PER_PAGE = 127;

    /// @notice The first key begins after the STOP, which keeps a page from being called.
    uint256 internal constant FIRST_KEY_OFFSET = 1;

    error KeysLength(uint256 given, uint256 keyBytes, uint256 maxBytes);
    error PageMissing(bytes32 page);

    /// @notice Writes a page of the calling contract, unless it is there.
    /// @param keys one to 127 keys of 192 bytes, whatever they are
    function write(bytes memory keys) internal returns (bytes32 page, bool written) {
        uint256 maxBytes = KEYS_PER_PAGE * KEY_BYTES;
        if (keys.length == 0 || keys.length % KEY_BYTES != 0 || keys.length > maxBytes) {
            revert KeysLength(keys.length, KEY_BYTES, maxBytes);
        }
        page = SSTORE2.initCodeHash(keys);
        if (addressOf(page).code.length != 0) return (page, false);
        // Its address is `addressOf(page)`.
        // slither-disable-next-line unused-return
        SSTORE2.writeCounterfactual(keys, 0);
        return (page, true);
    }

    /// @notice Where the calling contract's page of this id is, or would be.
    function addressOf(bytes32 page) internal view returns (address) {
        return Create2.computeAddress(0, page);
    }

    function requirePresent(bytes32 page) internal view {
        if (addressOf(page).code.length == 0) revert PageMissing(page);
    }
}
