"""Who submits when: a deterministic order, so that one transaction is sent and nobody has to be asked.

Every watcher holds the certificate. Ranks follow `keccak256(digest | operator)`: nobody can choose to be first for
an alert, and everybody computes the same order. Rank 0 sends at once. The next rank steps in once a whole block has
passed without the effect: what rank 0 sent in the middle of one block may only make it into the next. From there on
each rank waits one block more.
"""

from __future__ import annotations

from collections.abc import Iterable

from eth_utils.crypto import keccak

from consensus.types import Address, BlockNumber, Digest


def compute_order(digest: Digest, operators: Iterable[Address]) -> tuple[Address, ...]:
    """The operators in the order in which they submit the certificate of `digest`."""
    return tuple(sorted(operators, key=lambda operator: keccak(digest + bytes.fromhex(operator[2:]))))


def compute_turn(order: tuple[Address, ...], operator: Address, ready_at: BlockNumber) -> BlockNumber:
    """The first head at which `operator` submits, when the certificate was ready at head `ready_at`.

    An operator outside the order (a relayer without stake) comes after everybody.
    """
    rank = order.index(operator) if operator in order else len(order)
    return BlockNumber(ready_at if rank == 0 else ready_at + 1 + rank)
