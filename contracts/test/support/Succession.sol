// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {HeaderLib} from "../../src/libraries/HeaderLib.sol";
import {QuorumVerifier} from "../../src/verifier/QuorumVerifier.sol";
import {Network} from "./Network.sol";
import {Signer} from "./Signer.sol";

/// @title Succession: operator sets with keys of their own, and the handovers between them. For tests.
/// @notice The digest and the tag are written out here, not taken from the library under test.
abstract contract Succession is Network {
    /// @dev Operator i has the key `Signer.key(firstKey + i)`.
    struct OperatorSet {
        bytes header;
        uint96[] weights;
        uint256 firstKey;
    }

    bytes internal constant HANDOVER_TAG = "TOCSIN-HANDOVER-V01-CS01-with-BLS12381G1_XMD:SHA-256_SSWU_RO_";
    bytes internal constant ALERT_TAG = "TOCSIN-ALERT-V01-CS01-with-BLS12381G1_XMD:SHA-256_SSWU_RO_";
    uint64 internal constant LIFETIME = 30 days;
    uint64 internal constant INTERVAL = 1 hours;

    /// @dev The set of the genesis: six of 100 each, so four are exactly two thirds.
    OperatorSet internal first;

    /// @dev A verifier at `first`, an hour after its capture and as long before what follows could be late.
    function setUpSuccession() internal {
        vm.warp(START);
        first = makeSet(EPOCH, 1_000, six(), uint64(START), keccak256("the header before"));
        verifier = new QuorumVerifier(NETWORK_ID, first.header, successionTerms());
        vm.warp(START + INTERVAL);
    }

    // ---- sets

    function six() internal pure returns (uint96[] memory weights_) {
        weights_ = new uint96[](6);
        for (uint256 i = 0; i < 6; ++i) {
            weights_[i] = 100;
        }
    }

    function makeSet(
        uint32 epoch,
        uint256 firstKey,
        uint96[] memory weights_,
        uint64 captureTime,
        bytes32 previous
    ) internal view returns (OperatorSet memory set) {
        uint128 total = 0;
        for (uint256 i = 0; i < weights_.length; ++i) {
            total += weights_[i];
        }
        set.weights = weights_;
        set.firstKey = firstKey;
        set.header = abi.encodePacked(
            epoch,
            uint16(weights_.length),
            total,
            uint64(epoch) * 1_000,
            captureTime,
            captureTime + LIFETIME,
            previous,
            keccak256(abi.encodePacked(leavesOfSet(set))),
            Signer.publicKey(secretOf(set, none()))
        );
    }

    /// @dev Six strangers, captured one interval later.
    function successorOf(OperatorSet memory last) internal view returns (OperatorSet memory) {
        uint64 captureTime = uint64(bytes8(slice(last.header, 30, 38))) + INTERVAL;
        return makeSet(epochOf(last) + 1, last.firstKey + 1_000, six(), captureTime, keccak256(last.header));
    }

    function epochOf(OperatorSet memory set) internal pure returns (uint32) {
        return uint32(bytes4(set.header));
    }

    function entryOf(OperatorSet memory set, uint256 index) internal view returns (bytes memory) {
        return abi.encodePacked(
            uint16(index), set.weights[index], Signer.publicKey(Signer.key(set.firstKey + index))
        );
    }

    function leavesOfSet(OperatorSet memory set) internal view returns (bytes32[] memory leaves_) {
        leaves_ = new bytes32[](set.weights.length);
        for (uint256 i = 0; i < leaves_.length; ++i) {
            leaves_[i] = keccak256(entryOf(set, i));
        }
    }

    /// @dev The sum of the secrets of all but the absent.
    function secretOf(OperatorSet memory set, uint256[] memory absent) internal pure returns (uint256 sum) {
        for (uint256 i = 0; i < set.weights.length; ++i) {
            sum = addmod(sum, Signer.key(set.firstKey + i), Signer.ORDER);
        }
        for (uint256 i = 0; i < absent.length; ++i) {
            sum = addmod(sum, Signer.ORDER - Signer.key(set.firstKey + absent[i]), Signer.ORDER);
        }
    }

    // ---- certificates

    function certifyBy(OperatorSet memory set, bytes32 digest, bytes memory tag, uint256[] memory absent)
        internal
        view
        returns (bytes memory)
    {
        return certificateOf(set, Signer.sign(secretOf(set, absent), digest, tag), absent);
    }

    /// @dev With a signature of whoever it may be.
    function certificateOf(OperatorSet memory set, bytes memory signature, uint256[] memory absent)
        internal
        view
        returns (bytes memory certificate)
    {
        certificate = abi.encodePacked(set.header, signature, HeaderLib.MODE_ABSENT, uint16(absent.length));
        if (absent.length == 0) return certificate;
        certificate = abi.encodePacked(certificate, leavesOfSet(set));
        for (uint256 i = 0; i < absent.length; ++i) {
            certificate = bytes.concat(certificate, entryOf(set, absent[i]));
        }
    }

    // ---- handovers

    function handoverDigest(OperatorSet memory last, OperatorSet memory next)
        internal
        pure
        returns (bytes32)
    {
        return handoverDigest(NETWORK_ID, last, next);
    }

    function handoverDigest(bytes32 networkId, OperatorSet memory last, OperatorSet memory next)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(
            abi.encode(
                keccak256(
                    "TocsinHandover(bytes32 networkId,uint32 epoch,bytes32 setHash,bytes32 nextSetHash)"
                ),
                networkId,
                epochOf(last),
                keccak256(last.header),
                keccak256(next.header)
            )
        );
    }

    /// @dev Signed by all of both.
    function handoverOf(OperatorSet memory last, OperatorSet memory next)
        internal
        view
        returns (bytes memory outgoing, bytes memory incoming)
    {
        return handoverOf(last, none(), next, none());
    }

    function handoverOf(
        OperatorSet memory last,
        uint256[] memory lastAbsent,
        OperatorSet memory next,
        uint256[] memory nextAbsent
    ) internal view returns (bytes memory outgoing, bytes memory incoming) {
        bytes32 digest = handoverDigest(last, next);
        outgoing = certifyBy(last, digest, HANDOVER_TAG, lastAbsent);
        incoming = certifyBy(next, digest, HANDOVER_TAG, nextAbsent);
    }

    /// @dev Signed by all of both, and delivered.
    function handOver(OperatorSet memory last, OperatorSet memory next) internal returns (bool) {
        (bytes memory outgoing, bytes memory incoming) = handoverOf(last, next);
        return verifier.handover(outgoing, incoming);
    }

    /// @dev Reverts unless all of the set, who sign an alert, are enough for the verifier now.
    function requireActs(OperatorSet memory set) internal view {
        bytes32 digest = keccak256("an alert");
        bytes memory certificate = certifyBy(set, digest, ALERT_TAG, none());
        verifier.verify(digest, epochOf(set), keccak256(set.header), 6667, certificate);
    }
}
