"""Who may sign in an epoch, and with which weight: operator sets, their header and leaves.

Twin of contracts/src/libraries/HeaderLib.sol; tests/vectors/operators.json ties the two. A set that exists is
ordered, weighted and summed. Addresses and peer ids stand beside what the header binds: the registry's event
gives them, and only gossip and logs use them.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from consensus.bls import PUBLIC_KEY_BYTES, PublicKey, aggregate_public_keys
from consensus.errors import Reason, Refused
from consensus.fields import keccak256, require_address, require_bytes, require_uint
from consensus.types import Address, BlockNumber, Epoch, HeaderHash, OperatorIndex, Seconds, Weight

MAX_OPERATORS = 256
MAX_PEER_ID_CHARACTERS = 128
"""A multihash of 64 bytes has up to 88 characters in base58."""

HEADER_BYTES = 302
LEAF_PREIMAGE_BYTES = 206

_HEADER_NUMBERS = struct.Struct(">IH16sQQQ")
_LEAF_NUMBERS = struct.Struct(">H12s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """What a header binds of one operator."""

    index: OperatorIndex
    weight: Weight
    public_key: PublicKey

    def __post_init__(self) -> None:
        require_uint("index", self.index, 16)
        require_uint("weight", self.weight, 96)
        if not isinstance(self.public_key, PublicKey):
            raise Refused(
                Reason.WRONG_TYPE, f"public_key must be a PublicKey, came {type(self.public_key).__name__}"
            )

    def to_bytes(self) -> bytes:
        """index u16 | weight u96 | public key, 206 bytes: never the length of a tree node."""
        return _LEAF_NUMBERS.pack(self.index, self.weight.to_bytes(12, "big")) + self.public_key.raw

    def hash(self) -> bytes:
        """keccak256 of the 206 bytes."""
        return keccak256(self.to_bytes())


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One member of a set: its place, its stake and its keys."""

    index: OperatorIndex
    address: Address
    weight: Weight
    public_key: PublicKey
    peer_id: str

    def __post_init__(self) -> None:
        self.leaf_entry()  # which checks what the header binds
        require_address("address", self.address)
        if len(self.peer_id) > MAX_PEER_ID_CHARACTERS:
            raise Refused(
                Reason.OVERSIZED,
                f"peer_id may have {MAX_PEER_ID_CHARACTERS} characters, came {len(self.peer_id)}",
            )

    def leaf_entry(self) -> Leaf:
        """The part that the header binds."""
        return Leaf(index=self.index, weight=self.weight, public_key=self.public_key)

    def leaf_preimage(self) -> bytes:
        """The leaf's 206 bytes."""
        return self.leaf_entry().to_bytes()

    def leaf(self) -> bytes:
        """keccak256 of the preimage."""
        return self.leaf_entry().hash()


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """An operator set in 302 bytes: what a chain needs besides the absent operators' leaves.

    epoch u32 | n u16 | totalWeight u128 | captureBlock u64 | captureTime u64 | validUntil u64
    | prevHeaderHash | leavesHash | apk (192 bytes), big-endian.
    """

    epoch: Epoch
    operator_count: int
    total_weight: Weight
    capture_block: BlockNumber
    capture_time: Seconds
    valid_until: Seconds
    prev_header_hash: HeaderHash
    leaves_hash: bytes
    aggregate_key: PublicKey

    def __post_init__(self) -> None:
        require_uint("epoch", self.epoch, 32)
        require_uint("operator_count", self.operator_count, 16)
        require_uint("total_weight", self.total_weight, 128)
        require_uint("capture_block", self.capture_block, 64)
        require_uint("capture_time", self.capture_time, 64)
        require_uint("valid_until", self.valid_until, 64)
        require_bytes("prev_header_hash", self.prev_header_hash, 32)
        require_bytes("leaves_hash", self.leaves_hash, 32)
        _require_count(self.operator_count)
        if self.total_weight == 0:
            raise Refused(Reason.SET_INVALID, "a set must have weight, total_weight is 0")
        if self.valid_until <= self.capture_time:
            raise Refused(
                Reason.SET_INVALID,
                f"valid_until must be after capture_time {self.capture_time}, came {self.valid_until}",
            )

    def to_bytes(self) -> bytes:
        """The 302 bytes."""
        numbers = _HEADER_NUMBERS.pack(
            self.epoch,
            self.operator_count,
            self.total_weight.to_bytes(16, "big"),
            self.capture_block,
            self.capture_time,
            self.valid_until,
        )
        return numbers + self.prev_header_hash + self.leaves_hash + self.aggregate_key.raw

    def hash(self) -> HeaderHash:
        """keccak256 of the 302 bytes: all that a chain stores of an epoch."""
        return HeaderHash(keccak256(self.to_bytes()))


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorSet:
    """The operators of one epoch, in order of index from 0."""

    epoch: Epoch
    operators: tuple[Operator, ...]
    capture_block: BlockNumber
    capture_time: Seconds
    valid_until: Seconds
    prev_header_hash: HeaderHash
    _header: Header = field(init=False, repr=False, compare=False)
    _header_bytes: bytes = field(init=False, repr=False, compare=False)
    _header_hash: HeaderHash = field(init=False, repr=False, compare=False)
    _leaves: tuple[bytes, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _require_sound(self.operators)
        leaves = tuple(operator.leaf() for operator in self.operators)
        header = Header(
            epoch=self.epoch,
            operator_count=len(self.operators),
            total_weight=Weight(sum(operator.weight for operator in self.operators)),
            capture_block=self.capture_block,
            capture_time=self.capture_time,
            valid_until=self.valid_until,
            prev_header_hash=self.prev_header_hash,
            leaves_hash=keccak256(b"".join(leaves)),
            aggregate_key=aggregate_public_keys([operator.public_key for operator in self.operators]),
        )
        header_bytes = header.to_bytes()
        object.__setattr__(self, "_leaves", leaves)
        object.__setattr__(self, "_header", header)
        object.__setattr__(self, "_header_bytes", header_bytes)
        object.__setattr__(self, "_header_hash", HeaderHash(keccak256(header_bytes)))

    @classmethod
    def from_chain(
        cls, header: bytes, leaf_preimages: bytes, *, addresses: Sequence[Address], peer_ids: Sequence[str]
    ) -> "OperatorSet":
        """Rebuild a set from a registry's event, and check all of it against the header.

        `leaf_preimages` are n times 206 bytes. Raises Refused when a leaf, index, weight or sum differs.
        """
        parsed = parse_header(header)
        count = parsed.operator_count
        expected_bytes = count * LEAF_PREIMAGE_BYTES
        if len(leaf_preimages) != expected_bytes:
            raise Refused(
                Reason.WRONG_LENGTH,
                f"{count} leaf preimages have {expected_bytes} bytes, came {len(leaf_preimages)}",
            )
        if len(addresses) != count or len(peer_ids) != count:
            raise Refused(
                Reason.WRONG_LENGTH,
                f"{count} operators need as many addresses and peer ids, "
                f"came {len(addresses)} and {len(peer_ids)}",
            )
        preimages = [
            leaf_preimages[start : start + LEAF_PREIMAGE_BYTES]
            for start in range(0, expected_bytes, LEAF_PREIMAGE_BYTES)
        ]
        # hashes first: they cost microseconds, the keys' subgroup checks cost milliseconds
        leaves_hash = keccak256(b"".join(keccak256(preimage) for preimage in preimages))
        if leaves_hash != parsed.leaves_hash:
            raise Refused(
                Reason.LEAVES_MISMATCH,
                f"leaves must hash to {parsed.leaves_hash.hex()}, came {leaves_hash.hex()}",
            )
        operators = tuple(
            _operator_of(parse_leaf(preimage), address=address, peer_id=peer_id)
            for preimage, address, peer_id in zip(preimages, addresses, peer_ids, strict=True)
        )
        operator_set = cls(
            epoch=parsed.epoch,
            operators=operators,
            capture_block=parsed.capture_block,
            capture_time=parsed.capture_time,
            valid_until=parsed.valid_until,
            prev_header_hash=parsed.prev_header_hash,
        )
        operator_set._require_header(parsed)
        return operator_set

    @property
    def total_weight(self) -> Weight:
        """Sum of the operators' weights."""
        return self._header.total_weight

    @property
    def aggregate_key(self) -> PublicKey:
        """Sum of the operators' keys."""
        return self._header.aggregate_key

    def header(self) -> bytes:
        """The 302 header bytes."""
        return self._header_bytes

    def header_hash(self) -> HeaderHash:
        """keccak256 of the header."""
        return self._header_hash

    def leaves(self) -> tuple[bytes, ...]:
        """The operators' leaves, 32 bytes each, in order."""
        return self._leaves

    def leaf_preimages(self) -> bytes:
        """All preimages, n times 206 bytes, as the registry's event carries them."""
        return b"".join(operator.leaf_preimage() for operator in self.operators)

    def by_index(self, index: OperatorIndex) -> Operator:
        """The operator at this place. Raises Refused(NOT_A_MEMBER) when the set is smaller."""
        if not 0 <= index < len(self.operators):
            raise Refused(
                Reason.NOT_A_MEMBER,
                f"epoch {self.epoch} has operators 0 to {len(self.operators) - 1}, came {index}",
            )
        return self.operators[index]

    def by_peer_id(self, peer_id: str) -> Operator | None:
        """The first operator with this peer id; None for a stranger.

        Peer ids may repeat, for the header does not bind them: refusing the set would let one registration
        that copies another's peer id stop everybody.
        """
        if not peer_id:
            return None
        return next((operator for operator in self.operators if operator.peer_id == peer_id), None)

    def _require_header(self, expected: Header) -> None:
        if self.total_weight != expected.total_weight:
            raise Refused(
                Reason.WEIGHT_MISMATCH,
                f"header says total weight {expected.total_weight}, the operators have {self.total_weight}",
            )
        if self.aggregate_key != expected.aggregate_key:
            raise Refused(
                Reason.AGGREGATE_KEY_MISMATCH,
                "header's apk must be the sum of the operators' keys, is another",
            )


def parse_header(data: bytes) -> Header:
    """Read the 302 bytes. Raises Refused on another length, an invalid apk, or an impossible set."""
    require_bytes("header", data, HEADER_BYTES)
    epoch, count, total_weight, capture_block, capture_time, valid_until = _HEADER_NUMBERS.unpack_from(data)
    hashes_start = _HEADER_NUMBERS.size
    key_start = HEADER_BYTES - PUBLIC_KEY_BYTES
    return Header(
        epoch=Epoch(epoch),
        operator_count=count,
        total_weight=Weight(int.from_bytes(total_weight, "big")),
        capture_block=BlockNumber(capture_block),
        capture_time=Seconds(capture_time),
        valid_until=Seconds(valid_until),
        prev_header_hash=HeaderHash(data[hashes_start : hashes_start + 32]),
        leaves_hash=data[hashes_start + 32 : key_start],
        aggregate_key=PublicKey(data[key_start:]),
    )


def parse_leaf(data: bytes) -> Leaf:
    """Read the 206 bytes of one leaf."""
    require_bytes("leaf preimage", data, LEAF_PREIMAGE_BYTES)
    index, weight = _LEAF_NUMBERS.unpack_from(data)
    return Leaf(
        index=OperatorIndex(index),
        weight=Weight(int.from_bytes(weight, "big")),
        public_key=PublicKey(data[_LEAF_NUMBERS.size :]),
    )


def epoch_at(sets: Iterable[OperatorSet], observed_at: Seconds, activation_delay: Seconds) -> Epoch:
    """The newest epoch with capture_time + activation_delay <= observed_at.

    It follows from the alert's time, not from when somebody looked: watchers never split at a rotation.
    Raises Refused(UNKNOWN_EPOCH) when no set is that old.
    """
    active = [each.epoch for each in sets if each.capture_time + activation_delay <= observed_at]
    if not active:
        raise Refused(
            Reason.UNKNOWN_EPOCH,
            f"no operator set was active at {observed_at} with a delay of {activation_delay} s; "
            "read older sets from the registry",
        )
    return max(active)


def _operator_of(leaf: Leaf, *, address: Address, peer_id: str) -> Operator:
    return Operator(
        index=leaf.index,
        address=address,
        weight=leaf.weight,
        public_key=leaf.public_key,
        peer_id=peer_id,
    )


def _require_count(count: int) -> None:
    if not 1 <= count <= MAX_OPERATORS:
        raise Refused(Reason.SET_INVALID, f"a set has 1 to {MAX_OPERATORS} operators, came {count}")


def _require_sound(operators: tuple[Operator, ...]) -> None:
    _require_count(len(operators))
    for place, operator in enumerate(operators):
        if operator.index != place:
            raise Refused(
                Reason.SET_INVALID, f"operator at place {place} must have that index, has {operator.index}"
            )
        if operator.weight == 0:
            raise Refused(Reason.SET_INVALID, f"operator {place} must have a weight, has 0")
    if len({operator.public_key for operator in operators}) != len(operators):
        raise Refused(Reason.SET_INVALID, "each operator must have its own key; one key stands twice")
    if len({operator.address for operator in operators}) != len(operators):
        raise Refused(Reason.SET_INVALID, "each operator must have its own address; one stands twice")
