"""What is claimed: the alert, its slot and its actions, and their digests.

Twin of contracts/src/libraries/AlertLib.sol; tests/vectors/alert.json ties the two. What the claim rests on
is evaluate's to say; who signed it is attestation's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType

from eth_abi.abi import encode

from consensus.errors import Reason, Refused
from consensus.fields import keccak256, require_address, require_bytes, require_uint
from consensus.types import (
    ActionId,
    Address,
    BlockHash,
    BlockNumber,
    ChainId,
    Digest,
    Epoch,
    HeaderHash,
    NetworkId,
    PolicyHash,
    RuleId,
    Seconds,
    SlotId,
)

ZERO32 = bytes(32)

MAX_ACTIONS = 16
MAX_PARAMS_BYTES = 1_024
MAX_ALERT_PARAMS_BYTES = 14 * 1_024
"""All actions' params together, so that every alert that can be built fits one attestation on the wire."""

MAX_TTL_SECONDS = 86_400
"""Longest life of an alert; the guardian refuses longer ones as well."""

NETWORK_NAME = "tocsin.network.v1"
ACTION_TYPEHASH = keccak256(
    b"TocsinAction(uint256 chainId,address guardian,bytes32 actionId,bytes32 paramsHash)"
)
SLOT_TYPEHASH = keccak256(
    b"TocsinSlot(bytes32 policyHash,bytes32 ruleId,uint256 sourceChainId,uint256 anchorNumber,"
    b"bytes32 anchorHash,bytes32 subject)"
)
ALERT_TYPEHASH = keccak256(
    b"TocsinAlert(bytes32 networkId,uint32 epoch,bytes32 headerHash,bytes32 slotId,uint8 verdict,"
    b"uint64 observedAt,uint64 expiresAt,bytes32 evidenceHash,bytes32 causeDigest,uint8 causeDepth,"
    b"bytes32 actionsHash)"
)
POSSESSION_TYPEHASH = keccak256(
    b"TocsinPossession(bytes32 networkId,uint256 chainId,address registry,address operator,"
    b"bytes32 publicKeyHash)"
)

_ACTION_ABI = ("bytes32", "uint256", "address", "bytes32", "bytes32")
_SLOT_ABI = ("bytes32", "bytes32", "bytes32", "uint256", "uint256", "bytes32", "bytes32")
_ALERT_ABI = (
    *("bytes32", "bytes32", "uint32", "bytes32", "bytes32", "uint8"),
    *("uint64", "uint64", "bytes32", "bytes32", "uint8", "bytes32"),
)


class Level(IntEnum):
    """The ladder: how hard a response brakes."""

    ALERT = 0
    LIMIT = 1
    FREEZE = 2
    PAUSE = 3


FLOORS: Mapping[Level, tuple[int, int]] = MappingProxyType(
    {Level.ALERT: (1, 3), Level.LIMIT: (1, 3), Level.FREEZE: (1, 2), Level.PAUSE: (2, 3)}
)
"""Share of the total weight, as (numerator, denominator), that a level's signers must *exceed*."""


class Verdict(IntEnum):
    """What the alert says. Zero is invalid, so that an empty field never claims anything."""

    THREAT = 1
    CLEAR = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One response at one guardian on one chain; `params` are the action's bounded arguments."""

    chain_id: ChainId
    guardian: Address
    action_id: ActionId
    params: bytes = b""

    def __post_init__(self) -> None:
        require_uint("chain_id", self.chain_id, 64)
        require_address("guardian", self.guardian)
        require_bytes("action_id", self.action_id, 32)
        if not isinstance(self.params, bytes):
            raise Refused(Reason.WRONG_TYPE, f"params must be bytes, came {type(self.params).__name__}")
        if len(self.params) > MAX_PARAMS_BYTES:
            raise Refused(
                Reason.OVERSIZED, f"params may have {MAX_PARAMS_BYTES} bytes, came {len(self.params)}"
            )

    def leaf(self) -> bytes:
        """The 32 bytes that the alert's actionsHash is made of."""
        params_hash = keccak256(self.params)
        values = (ACTION_TYPEHASH, self.chain_id, self.guardian, self.action_id, params_hash)
        return keccak256(encode(_ACTION_ABI, values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """What an operator may sign once per epoch: one rule of one policy at one block, for one subject.

    `anchor_number` and `anchor_hash` name the block at which the rule was evaluated. `subject` is the pending
    transaction's hash for an alert from the mempool, else zero.
    """

    policy_hash: PolicyHash
    rule_id: RuleId
    source_chain_id: ChainId
    anchor_number: BlockNumber
    anchor_hash: BlockHash
    subject: bytes = ZERO32

    def __post_init__(self) -> None:
        require_bytes("policy_hash", self.policy_hash, 32)
        require_bytes("rule_id", self.rule_id, 32)
        require_uint("source_chain_id", self.source_chain_id, 64)
        require_uint("anchor_number", self.anchor_number, 64)
        require_bytes("anchor_hash", self.anchor_hash, 32)
        require_bytes("subject", self.subject, 32)

    def id(self) -> SlotId:
        """keccak256 over the slot's fields."""
        values = (
            SLOT_TYPEHASH,
            self.policy_hash,
            self.rule_id,
            self.source_chain_id,
            self.anchor_number,
            self.anchor_hash,
            self.subject,
        )
        return SlotId(keccak256(encode(_SLOT_ABI, values)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """The claim that operators sign. A function of the chain at a named block, byte for byte.

    `observed_at` is the anchor block's timestamp, `expires_at` that plus the policy's ttl; `cause_digest` and
    `cause_depth` are set when the finding follows from another guardian's response.
    """

    network_id: NetworkId
    epoch: Epoch
    header_hash: HeaderHash
    slot: Slot
    verdict: Verdict
    observed_at: Seconds
    expires_at: Seconds
    evidence_hash: bytes
    cause_digest: bytes = ZERO32
    cause_depth: int = 0
    actions: tuple[Action, ...]
    _slot_id: SlotId = field(init=False, repr=False, compare=False)
    _digest: Digest = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        require_bytes("network_id", self.network_id, 32)
        require_uint("epoch", self.epoch, 32)
        require_bytes("header_hash", self.header_hash, 32)
        if not isinstance(self.verdict, Verdict):
            raise Refused(Reason.WRONG_TYPE, f"verdict must be a Verdict, came {self.verdict!r}")
        require_uint("observed_at", self.observed_at, 64)
        require_uint("expires_at", self.expires_at, 64)
        require_bytes("evidence_hash", self.evidence_hash, 32)
        require_bytes("cause_digest", self.cause_digest, 32)
        require_uint("cause_depth", self.cause_depth, 8)
        self._require_window()
        self._require_cause()
        self._require_actions()
        # kept, because every room asks for them again and again; excluded from comparison and repr
        object.__setattr__(self, "_slot_id", self.slot.id())
        object.__setattr__(self, "_digest", self._compute_digest())

    def digest(self) -> Digest:
        """The 32 bytes that operators sign under the alert tag."""
        return self._digest

    def slot_id(self) -> SlotId:
        """The id of the slot that this alert fills."""
        return self._slot_id

    def actions_hash(self) -> bytes:
        """keccak256 over the actions' leaves, in order."""
        return keccak256(b"".join(action.leaf() for action in self.actions))

    def _require_window(self) -> None:
        ttl = self.expires_at - self.observed_at
        if not 0 < ttl <= MAX_TTL_SECONDS:
            raise Refused(
                Reason.WINDOW_INVALID,
                f"expires_at must be 1 to {MAX_TTL_SECONDS} s after observed_at, is {ttl} s",
            )

    def _require_cause(self) -> None:
        if (self.cause_depth == 0) != (self.cause_digest == ZERO32):
            raise Refused(
                Reason.CAUSE_INVALID,
                f"cause_depth is 0 exactly when cause_digest is zero; came depth {self.cause_depth} "
                f"with cause {self.cause_digest.hex()}",
            )

    def _require_actions(self) -> None:
        if not isinstance(self.actions, tuple):
            raise Refused(Reason.WRONG_TYPE, f"actions must be a tuple, came {type(self.actions).__name__}")
        if len(self.actions) > MAX_ACTIONS:
            raise Refused(
                Reason.OVERSIZED, f"an alert names up to {MAX_ACTIONS} actions, came {len(self.actions)}"
            )
        params_bytes = sum(len(action.params) for action in self.actions)
        if params_bytes > MAX_ALERT_PARAMS_BYTES:
            raise Refused(
                Reason.OVERSIZED, f"all params may have {MAX_ALERT_PARAMS_BYTES} bytes, came {params_bytes}"
            )

    def _compute_digest(self) -> Digest:
        values = (
            ALERT_TYPEHASH,
            self.network_id,
            self.epoch,
            self.header_hash,
            self._slot_id,
            int(self.verdict),
            self.observed_at,
            self.expires_at,
            self.evidence_hash,
            self.cause_digest,
            self.cause_depth,
            self.actions_hash(),
        )
        return Digest(keccak256(encode(_ALERT_ABI, values)))


def compute_network_id(home_chain_id: ChainId, registry: Address) -> NetworkId:
    """The network's name: its home chain and the registry there."""
    require_uint("home_chain_id", home_chain_id, 64)
    require_address("registry", registry)
    values = (NETWORK_NAME, home_chain_id, registry)
    return NetworkId(keccak256(encode(("string", "uint256", "address"), values)))


def compute_action_id(name: str) -> ActionId:
    """keccak256 of the action's name, such as `"pause"`."""
    return ActionId(keccak256(name.encode()))


def compute_rule_id(name: str) -> RuleId:
    """keccak256 of the rule's name, such as `"drain"`."""
    return RuleId(keccak256(name.encode()))


def compute_possession_digest(
    network_id: NetworkId, *, chain_id: ChainId, registry: Address, operator: Address, public_key: bytes
) -> Digest:
    """What a registering operator signs under the possession tag, to show that it holds its key.

    `public_key` are the 192 raw bytes. The operator's address is bound, so that a proof cannot be replayed.
    """
    require_bytes("network_id", network_id, 32)
    require_uint("chain_id", chain_id, 64)
    require_address("registry", registry)
    require_address("operator", operator)
    require_bytes("public_key", public_key, 192)
    values = (POSSESSION_TYPEHASH, network_id, chain_id, registry, operator, keccak256(public_key))
    return Digest(
        keccak256(encode(("bytes32", "bytes32", "uint256", "address", "address", "bytes32"), values))
    )
