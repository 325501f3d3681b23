"""What an operator tells the others when its chain has left a block that it signed about.

Availability only. A retraction takes no signature back: who signed has signed, and what was counted stays. It
may make another watcher look at its own view of the chain sooner than it would have.

Wire: MessagePack, canonical: [network, chain id, block number, block hash]. The operator's peer identity,
under which every message travels, is its author.
"""

from dataclasses import dataclass

from consensus.alert import Slot
from consensus.fields import require_bytes, require_uint
from consensus.types import BlockHash, BlockNumber, ChainId, NetworkId
from consensus.wire import fields_of, pack, reading, require_canonical, require_size

MAX_RETRACTION_BYTES = 96
_FIELDS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Retraction:
    """This block is not of its chain any more, by the view of who says so."""

    network_id: NetworkId
    chain_id: ChainId
    block_number: BlockNumber
    block_hash: BlockHash

    def __post_init__(self) -> None:
        require_bytes("network_id", self.network_id, 32)
        require_uint("chain_id", self.chain_id, 64)
        require_uint("block_number", self.block_number, 64)
        require_bytes("block_hash", self.block_hash, 32)


def retract(network_id: NetworkId, slot: Slot) -> Retraction:
    """The retraction of the block that this slot is anchored to."""
    return Retraction(
        network_id=network_id,
        chain_id=slot.source_chain_id,
        block_number=slot.anchor_number,
        block_hash=slot.anchor_hash,
    )


def encode_retraction(retraction: Retraction) -> bytes:
    """The canonical wire bytes, at most MAX_RETRACTION_BYTES."""
    return pack([retraction.network_id, retraction.chain_id, retraction.block_number, retraction.block_hash])


def decode_retraction(data: bytes) -> Retraction:
    """Parse wire bytes from a stranger. Raises Refused with a reason; never anything else."""
    require_size("a retraction", data, MAX_RETRACTION_BYTES)
    with reading("a retraction", data) as unpacker:
        fields = unpacker.unpack()
    network_id, chain_id, block_number, block_hash = fields_of("a retraction", fields, _FIELDS)
    retraction = Retraction(
        network_id=network_id, chain_id=chain_id, block_number=block_number, block_hash=block_hash
    )
    require_canonical("a retraction", data, encode_retraction(retraction))
    return retraction
