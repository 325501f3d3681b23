// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {HeaderLib} from "../../src/libraries/HeaderLib.sol";
import {PagedQuorumVerifier} from "../../src/verifier/PagedQuorumVerifier.sol";
import {Network} from "./Network.sol";
import {Signer} from "./Signer.sol";

/// @title PagedNetwork: an operator set whose keys stand on pages, and its paged certificates. For tests.
/// @notice Operator i stands on page i mod the number of pages. A stranger's key begins each page, so that no slot is
///         an operator's index by accident.
abstract contract PagedNetwork is Network {
    uint8 internal constant ABSENT = 2;
    uint8 internal constant PRESENT = 3;

    PagedQuorumVerifier internal paged;
    bytes internal placement;

    /// @dev Weights 100, 101, 102 …
    function rising(uint256 operators) internal pure returns (uint96[] memory weights_) {
        weights_ = new uint96[](operators);
        for (uint256 i = 0; i < operators; ++i) {
            weights_[i] = uint96(100 + i);
        }
    }

    function setUpPaged(uint256 operators, uint256 pages) internal {
        setUpPaged(rising(operators), pages);
    }

    function setUpPaged(uint96[] memory weights_, uint256 pages) internal {
        setUpUnbound(weights_, pages);
        paged.bind(header, placement);
    }

    /// @dev The pages are written, the placement is not bound.
    function setUpUnbound(uint96[] memory weights_, uint256 pages) internal {
        if (vm.getBlockTimestamp() < START) vm.warp(START);
        uint64 time = uint64(vm.getBlockTimestamp());
        header = makeHeader(weights_, EPOCH, time, time + 30 days);
        headerHash = keccak256(header);
        paged = new PagedQuorumVerifier(NETWORK_ID, header, successionTerms());
        verifier = paged;
        placement = place(pages);
    }

    /// @dev Writes the pages of the last set that was made, and says where its operators are.
    function place(uint256 pages) internal returns (bytes memory) {
        bytes memory ids = "";
        for (uint256 page = 0; page < pages; ++page) {
            ids = bytes.concat(ids, paged.addKeys(keysOfPage(page, pages)));
        }
        return bytes.concat(abi.encodePacked(uint8(pages)), ids, places(pages));
    }

    function keysOfPage(uint256 page, uint256 pages) internal view returns (bytes memory keys) {
        keys = Signer.publicKey(Signer.key(1_000 + page));
        for (uint256 i = page; i < entries.length; i += pages) {
            keys = bytes.concat(keys, keyOf(i));
        }
    }

    function places(uint256 pages) internal view returns (bytes memory all) {
        for (uint256 i = 0; i < entries.length; ++i) {
            all = bytes.concat(all, abi.encodePacked(uint8(i % pages), uint8(1 + i / pages), weights[i]));
        }
    }

    function keyOf(uint256 i) internal view returns (bytes memory) {
        return slice(entries[i], HeaderLib.ENTRY_KEY_OFFSET, HeaderLib.ENTRY_BYTES);
    }

    function certifyPaged(bytes32 digest, uint256[] memory absent) internal view returns (bytes memory) {
        return assemblePaged(signatureWithout(digest, absent), ABSENT, absent);
    }

    function assemblePaged(bytes memory signature, uint8 mode, uint256[] memory listed)
        internal
        view
        returns (bytes memory certificate)
    {
        certificate = abi.encodePacked(header, signature, mode, uint16(listed.length), placement);
        for (uint256 i = 0; i < listed.length; ++i) {
            certificate = bytes.concat(certificate, abi.encodePacked(uint16(listed[i])));
        }
    }

    /// @dev Every third operator, as many as a pause can do without.
    function aThird(uint256 operators) internal pure returns (uint256[] memory indices) {
        indices = new uint256[](operators / 3);
        for (uint256 i = 0; i < indices.length; ++i) {
            indices[i] = 3 * i;
        }
    }
}
