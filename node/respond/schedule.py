"""Who submits when: a deterministic order, so that one transaction is sent and nobody has to be asked.

Every watcher holds the certificate. Ranks follow `keccak256(digest | operator)`: nobody can choose to be
first for an alert, and everybody computes the same order. Rank 0 sends at once. The next rank steps in once
a whole block has passed without the effect: what rank 0 sent in the middle of one block may only make it
into the next. From there on each rank waits one block more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from eth_utils.crypto import keccak

from consensus.types import Address, BlockNumber, Digest


def compute_order(digest: Digest, operators: Iterable[Address]) -> tuple[Address, ...]:
    """The operators in the order in which they submit the certificate of `digest`."""
    return tuple(sorted(operators, key=lambda operator: keccak(digest + bytes.fromhex(operator[2:]))))


def compute_turn(
    order: tuple[Address, ...], operator: Address, *, ready_at: BlockNumber, signed: Collection[Address]
) -> BlockNumber:
    """The first head at which `operator` submits, when the certificate was ready at head `ready_at`.

    `signed` are those in the certificate. Who stands ahead and has signed is at work: what it sent in the
    middle of one block may only make it into the next, so it gets a whole block more. Who has not signed is
    likely gone. An operator outside the order (a relayer without stake) comes after everybody.
    """
    ahead = order[: order.index(operator)] if operator in order else order
    in_flight = 1 if any(other in signed for other in ahead) else 0
    return BlockNumber(ready_at + len(ahead) + in_flight)
