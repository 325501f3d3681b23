// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

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
        return keccak256(abi.encode(ACTION_TYPEHASH, chainId, guardian, actionId, paramsHash));
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

    /// @notice What an operator may sign one alert about per epoch.
    function slotId(Alert calldata alert) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                SLOT_TYPEHASH,
                alert.policyHash,
                alert.ruleId,
                alert.sourceChainId,
                alert.anchorNumber,
                alert.anchorHash,
                alert.subject
            )
        );
    }

    /// @notice The bytes that operators sign.
    function digest(bytes32 network, Alert calldata alert, bytes32 slot, bytes32 actions)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(
            abi.encode(
                ALERT_TYPEHASH,
                network,
                alert.epoch,
                alert.headerHash,
                slot,
                alert.verdict,
                alert.observedAt,
                alert.expiresAt,
                alert.evidenceHash,
                alert.causeDigest,
                alert.causeDepth,
                actions
            )
        );
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
