// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {CertificateLib} from "../../src/libraries/CertificateLib.sol";
import {HeaderLib} from "../../src/libraries/HeaderLib.sol";

/// @title CertificateCheck: the weight that a certificate counts is that of its signers, each once
/// @notice A set of three operators with any weights and keys, and a certificate that lists two entries with any
///         weights and keys at any places, or one. Halmos takes keccak256 to be injective.
contract CertificateCheck {
    uint256 private constant OPERATORS = 3;

    struct Entry {
        uint16 index;
        uint96 weight;
        bytes32 key;
    }

    /// @notice I1: of two listed operators neither is another or counted twice, and with those who are not listed they
    ///         make up the total, whether the list is of those who signed or of those who did not.
    function check_I1_TwoListedAreCountedOnce(
        uint96[3] calldata weights,
        bytes32[3] calldata keys,
        Entry memory first,
        Entry memory second,
        bool listsPresent
    ) external view {
        (first.index, second.index) = (place(first.index), place(second.index));
        bytes memory entries = bytes.concat(encode(first), encode(second));

        (uint256 signed, uint256 total) = this.measure(certify(weights, keys, entries, 2, listsPresent));

        assert(first.index < second.index && second.index < OPERATORS);
        assert(total == uint256(weights[0]) + weights[1] + weights[2]);
        uint256 listed = uint256(weights[first.index]) + weights[second.index];
        assert(signed == (listsPresent ? listed : total - listed));
    }

    /// @notice I1: the same of one.
    function check_I1_OneListedIsCountedOnce(
        uint96[3] calldata weights,
        bytes32[3] calldata keys,
        Entry memory entry,
        bool listsPresent
    ) external view {
        entry.index = place(entry.index);

        (uint256 signed, uint256 total) = this.measure(certify(weights, keys, encode(entry), 1, listsPresent));

        assert(entry.index < OPERATORS);
        assert(signed == (listsPresent ? uint256(weights[entry.index]) : total - weights[entry.index]));
    }

    function measure(bytes calldata certificate) external pure returns (uint256, uint256) {
        return CertificateLib.measure(certificate);
    }

    // ---- internals

    /// @dev One place as a literal, so that Halmos knows which leaf is read; the first beyond the set stands for all
    ///      beyond it.
    function place(uint16 index) private pure returns (uint16) {
        if (index == 0) return 0;
        if (index == 1) return 1;
        if (index == 2) return 2;
        return uint16(OPERATORS);
    }

    function encode(Entry memory entry) private pure returns (bytes memory) {
        return HeaderLib.encodeLeaf(entry.index, entry.weight, bytes.concat(entry.key, new bytes(160)));
    }

    function certify(
        uint96[3] calldata weights,
        bytes32[3] calldata keys,
        bytes memory entries,
        uint16 count,
        bool listsPresent
    ) private pure returns (bytes memory) {
        bytes memory leaves = bytes.concat(
            keccak256(encode(Entry(0, weights[0], keys[0]))),
            keccak256(encode(Entry(1, weights[1], keys[1]))),
            keccak256(encode(Entry(2, weights[2], keys[2])))
        );
        HeaderLib.Header memory header;
        header.count = uint16(OPERATORS);
        header.totalWeight = uint128(weights[0]) + weights[1] + weights[2];
        header.leavesHash = keccak256(leaves);
        header.apk = new bytes(HeaderLib.PUBLIC_KEY_BYTES);
        return abi.encodePacked(
            HeaderLib.encode(header),
            new bytes(HeaderLib.SIGNATURE_BYTES),
            listsPresent ? HeaderLib.MODE_PRESENT : HeaderLib.MODE_ABSENT,
            count,
            leaves,
            entries
        );
    }
}
