// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {EfficientHashLib} from "solady/utils/EfficientHashLib.sol";

/// @notice What operators claim about one block of one chain, with everything that the digest binds.
/// @dev The list of actions travels beside it, as leaves: a guardian needs its own action in full, of the
///      others only the hash.
/// @param epoch         operator set that signs; follows from `observedAt`
/// @param headerHash    hash of that set's header
/// @param policyHash    policy under which the rule was evaluated; the guardian's owner has approved it
/// @param ruleId        keccak256 of the rule's name
/// @param sourceChainId chain on which the rule was evaluated
/// @param anchorNumber  number of the block at which it was evaluated
/// @param anchorHash    hash of that block
/// @param subject       pending transaction that the alert is about, zero if none
/// @param verdict       1 threat, 2 clear
/// @param observedAt    timestamp of the anchor block, unix seconds
/// @param expiresAt     end of the window in which a guardian may act, unix seconds
/// @param evidenceHash  hash of the evidence
/// @param causeDigest   alert whose response induced this one, zero if none
/// @param causeDepth    length of that chain of causes
struct Alert {
    uint32 epoch;
    bytes32 headerHash;
    bytes32 policyHash;
    bytes32 ruleId;
    uint256 sourceChainId;
    uint256 anchorNumber;
    bytes32 anchorHash;
    bytes32 subject;
    uint8 verdict;
    uint64 observedAt;
    uint64 expiresAt;
    bytes32 evidenceHash;
    bytes32 causeDigest;
    uint8 causeDepth;
}

/// @title AlertLib: the digests that operators sign
/// @notice Twin of `consensus/alert.py`; both are tied to `tests/vectors/`.
/// @dev Every digest is keccak256 over `abi.encode` of a type hash and fixed-width fields, so no two kinds of
///      message share a preimage. Each kind also has its own tag in the hash to the curve.
library AlertLib {
    bytes32 internal constant ACTION_TYPEHASH =
        keccak256("TocsinAction(uint256 chainId,address guardian,bytes32 actionId,bytes32 paramsHash)");
    bytes32 internal constant SLOT_TYPEHASH = keccak256(
        "TocsinSlot(bytes32 policyHash,bytes32 ruleId,uint256 sourceChainId,uint256 anchorNumber,bytes32 anchorHash,bytes32 subject)"
    );
    bytes32 internal constant ALERT_TYPEHASH = keccak256(
        "TocsinAlert(bytes32 networkId,uint32 epoch,bytes32 headerHash,bytes32 slotId,uint8 verdict,uint64 observedAt,uint64 expiresAt,bytes32 evidenceHash,bytes32 causeDigest,uint8 causeDepth,bytes32 actionsHash)"
    );
    bytes32 internal constant POSSESSION_TYPEHASH = keccak256(
        "TocsinPossession(bytes32 networkId,uint256 chainId,address registry,address operator,bytes32 publicKeyHash)"
    );

    bytes internal constant ALERT_DST = "TOCSIN-ALERT-V01-CS01-with-BLS12381G1_XMD:SHA-256_SSWU_RO_";
    bytes internal constant POSSESSION_DST =
        "TOCSIN-POSSESSION-V01-CS01-with-BLS12381G1_XMD:SHA-256_SSWU_RO_";

    uint8 internal constant VERDICT_THREAT = 1;
    uint8 internal constant VERDICT_CLEAR = 2;

    /// @notice Longest window between `observedAt` and `expiresAt`, seconds.
    uint64 internal constant MAX_TTL = 86_400;

    /// @notice Most actions that one alert may name.
    uint256 internal constant MAX_ACTIONS = 16;

    /// @notice The one name of a network of operators: its home chain and its registry there.
    function networkId(uint256 homeChainId, address registry) internal pure returns (bytes32) {
        return keccak256(abi.encode("tocsin.network.v1", homeChainId, registry));
    }

    /// @notice What one guardian on one chain is asked to do.
    function actionLeaf(uint256 chainId, address guardian, bytes32 actionId, bytes32 paramsHash)
        internal
        pure
        returns (bytes32)
    {
        return EfficientHashLib.hash(
            ACTION_TYPEHASH, bytes32(chainId), bytes32(uint256(uint160(guardian))), actionId, paramsHash
        );
    }

    /// @notice keccak256 over the leaves in a row.
    function actionsHash(bytes32[] calldata leaves) internal pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            let pointer := mload(0x40)
            let size := shl(5, leaves.length)
            calldatacopy(pointer, leaves.offset, size)
            hash := keccak256(pointer, size)
        }
    }

    // ---- fields as whole words
    // Not checked for dirty high bits: those make another digest, which nobody has signed.

    function epochOf(Alert calldata alert) internal pure returns (uint256 epoch) {
        assembly ("memory-safe") {
            epoch := calldataload(alert)
        }
    }

    function verdictOf(Alert calldata alert) internal pure returns (uint256 verdict) {
        assembly ("memory-safe") {
            verdict := calldataload(add(alert, 256))
        }
    }

    function observedAtOf(Alert calldata alert) internal pure returns (uint256 observedAt) {
        assembly ("memory-safe") {
            observedAt := calldataload(add(alert, 288))
        }
    }

    function expiresAtOf(Alert calldata alert) internal pure returns (uint256 expiresAt) {
        assembly ("memory-safe") {
            expiresAt := calldataload(add(alert, 320))
        }
    }

    /// @notice Whether the alert names a cause, or half of one.
    function isInduced(Alert calldata alert) internal pure returns (bool induced) {
        assembly ("memory-safe") {
            induced := iszero(iszero(or(calldataload(add(alert, 384)), calldataload(add(alert, 416)))))
        }
    }

    // ---- digests

    /// @notice What an operator may sign one alert about per epoch.
    /// @dev keccak256(abi.encode(SLOT_TYPEHASH, policyHash … subject)); those fields are words 2 to 7 of the alert.
    function slotId(Alert calldata alert) internal pure returns (bytes32 slot) {
        bytes32 typeHash = SLOT_TYPEHASH;
        assembly ("memory-safe") {
            let pointer := mload(0x40)
            mstore(pointer, typeHash)
            calldatacopy(add(pointer, 32), add(alert, 64), 192)
            slot := keccak256(pointer, 224)
        }
    }

    /// @notice The bytes that operators sign.
    /// @dev keccak256(abi.encode(ALERT_TYPEHASH, network, epoch, headerHash, slot, verdict … causeDepth, actions));
    ///      words 0 and 1 of the alert, and words 8 to 13. A word with dirty high bits makes another digest.
    function digest(bytes32 network, Alert calldata alert, bytes32 slot, bytes32 actions)
        internal
        pure
        returns (bytes32 hash)
    {
        bytes32 typeHash = ALERT_TYPEHASH;
        assembly ("memory-safe") {
            let pointer := mload(0x40)
            mstore(pointer, typeHash)
            mstore(add(pointer, 32), network)
            calldatacopy(add(pointer, 64), alert, 64)
            mstore(add(pointer, 128), slot)
            calldatacopy(add(pointer, 160), add(alert, 256), 192)
            mstore(add(pointer, 352), actions)
            hash := keccak256(pointer, 384)
        }
    }

    /// @notice What an operator signs once to prove that it holds the key which it registers.
    /// @dev Binds key, operator, registry and chain: a proof seen on one registration serves no other.
    function possessionDigest(
        bytes32 network,
        uint256 chainId,
        address registry,
        address operator,
        bytes32 publicKeyHash
    ) internal pure returns (bytes32) {
        return keccak256(abi.encode(POSSESSION_TYPEHASH, network, chainId, registry, operator, publicKeyHash));
    }
}
