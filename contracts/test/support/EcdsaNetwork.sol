// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {WeightedEcdsaVerifier} from "../../src/verifier/WeightedEcdsaVerifier.sol";
import {Network} from "./Network.sol";

/// @title EcdsaNetwork: an operator set with ECDSA keys, and its certificates. For tests.
/// @dev Type hashes and layouts are written out here, not taken from the library.
abstract contract EcdsaNetwork is Network {
    bytes32 internal constant ALERT_VOTE = keccak256("TocsinEcdsaAlert(bytes32 digest)");
    bytes32 internal constant HANDOVER_VOTE = keccak256("TocsinEcdsaHandover(bytes32 digest)");
    uint256 internal constant HEADER_BYTES = 302;
    uint256 internal constant CURVE_ORDER =
        0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;

    bytes internal set;
    WeightedEcdsaVerifier internal ecdsa;

    /// @dev Seven operators of 100 each.
    function setUpEcdsa() internal {
        setUpEcdsa(equalWeights(7));
    }

    function setUpEcdsa(uint96[] memory weights_) internal {
        if (vm.getBlockTimestamp() < START) vm.warp(START);
        set = makeSet(weights_, EPOCH, bytes32(0));
        headerHash = headerHashOf(set);
        ecdsa = new WeightedEcdsaVerifier(NETWORK_ID, set, successionTerms());
    }

    function equalWeights(uint256 operators) internal pure returns (uint96[] memory equal) {
        equal = new uint96[](operators);
        for (uint256 i = 0; i < operators; ++i) {
            equal[i] = 100;
        }
    }

    // ---- sets

    /// @dev Captured now, valid for 30 days. Operator i of epoch e signs with `ecdsaKey(i)` in each epoch.
    function makeSet(uint96[] memory weights_, uint32 epoch, bytes32 previous)
        internal
        view
        returns (bytes memory)
    {
        return makeSetOf(signersOf(weights_.length), weights_, epoch, previous);
    }

    function makeSetOf(address[] memory signers, uint96[] memory weights_, uint32 epoch, bytes32 previous)
        internal
        view
        returns (bytes memory made)
    {
        uint128 total = 0;
        for (uint256 i = 0; i < weights_.length; ++i) {
            total += weights_[i];
        }
        made = abi.encodePacked(
            epoch,
            uint16(weights_.length),
            total,
            uint64(1),
            uint64(vm.getBlockTimestamp()),
            uint64(vm.getBlockTimestamp() + 30 days),
            previous,
            keccak256("leaves"),
            new bytes(192)
        );
        for (uint256 i = 0; i < weights_.length; ++i) {
            made = abi.encodePacked(made, signers[i], weights_[i]);
        }
    }

    function signersOf(uint256 count) internal pure returns (address[] memory signers) {
        signers = new address[](count);
        for (uint256 i = 0; i < count; ++i) {
            signers[i] = vm.addr(ecdsaKey(i));
        }
    }

    function headerHashOf(bytes memory set_) internal pure returns (bytes32) {
        return keccak256(slice(set_, 0, HEADER_BYTES));
    }

    function ecdsaKey(uint256 index) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode("tocsin ecdsa test key", index))) % CURVE_ORDER;
    }

    // ---- votes

    function vote(uint256 index, bytes32 kind, bytes32 digest) internal pure returns (bytes memory) {
        (bytes32 r, bytes32 vs) = vm.signCompact(ecdsaKey(index), keccak256(abi.encode(kind, digest)));
        return abi.encodePacked(uint16(index), r, vs);
    }

    function votes(uint256[] memory indices, bytes32 kind, bytes32 digest)
        internal
        pure
        returns (bytes memory all)
    {
        for (uint256 i = 0; i < indices.length; ++i) {
            all = bytes.concat(all, vote(indices[i], kind, digest));
        }
    }

    function envelope(bytes memory set_, bytes memory votes_) internal pure returns (bytes memory) {
        return abi.encodePacked(set_, uint16(votes_.length / 66), votes_);
    }

    /// @dev Alert certificate of the first `count` operators.
    function certifyFirst(uint256 count, bytes32 digest) internal view returns (bytes memory) {
        return envelope(set, votes(first(count), ALERT_VOTE, digest));
    }

    function first(uint256 count) internal pure returns (uint256[] memory indices) {
        indices = new uint256[](count);
        for (uint256 i = 0; i < count; ++i) {
            indices[i] = i;
        }
    }
}
