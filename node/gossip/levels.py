"""Who passes what to whom in a large set: groups of eight, groups of groups, and so on.

The operators of a set stand in an order that follows from the alert's digest and the epoch, so that nobody
picks its place, and it is another one for the next alert. The order is cut into at most eight parts of equal
length, each of these again, down to single operators. On level 0 an operator tells the others of its group
its own signature; on each level above, what its own part holds goes to one operator of every other part. Each
operator so hears of everybody in as many steps as there are levels, for seven messages a level: the logarithm
of the set. Of Handel (Bégassat et al., 2019) this has the levels and their fixed order; eight parts in place
of two, because a set of 500 then needs three steps.
"""

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from consensus.fields import keccak256
from consensus.partial import compute_signers
from consensus.types import Digest, Epoch, OperatorIndex, Signers

RADIX = 8
MAX_CACHED_ORDERS = 256
"""Digests whose order is remembered; 2 KiB each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Operators of whom we hear together. `primary` are those that we tell, `tellers` those that tell us.

    `others` are whom we do not tell, in the order in which they are asked when something is missing.
    """

    members: Signers
    tellers: Signers
    primary: tuple[OperatorIndex, ...]
    others: tuple[OperatorIndex, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """Our own part, and the parts beside it that have not heard of it on the levels below."""

    number: int
    block: Signers
    parts: tuple[Part, ...]


def compute_levels_of(
    me: OperatorIndex, *, digest: Digest, epoch: Epoch, operator_count: int, radix: int = RADIX
) -> tuple[Level, ...]:
    """Our levels for one alert, from our own group upwards."""
    order = _compute_order(digest, epoch, operator_count)
    place = order.index(me)
    levels = [
        _level_of(order, place, parts=parts, number=0) for parts in _cut_around(place, operator_count, radix)
    ]
    return tuple(
        Level(number=number, block=level.block, parts=level.parts)
        for number, level in enumerate(reversed(levels))
    )


def _cut_around(place: int, count: int, radix: int) -> Iterator[list[range]]:
    """From the whole down to our own group: the parts into which each piece with our place is cut.

    As many cuts for everybody, so that all are on the same level at the same time: a piece may stay whole.
    """
    piece, below = range(count), 1
    while below * radix < count:
        below *= radix
    while below:
        parts = _cut(piece, -(-len(piece) // below))
        yield parts
        piece = next(part for part in parts if place in part)
        below //= radix


def _cut(piece: range, count: int) -> list[range]:
    """Parts whose lengths differ by one at most."""
    bounds = [piece.start + len(piece) * number // count for number in range(count + 1)]
    return [range(start, stop) for start, stop in itertools.pairwise(bounds)]


def _level_of(order: tuple[OperatorIndex, ...], place: int, *, parts: list[range], number: int) -> Level:
    own = next(part for part in parts if place in part)
    return Level(
        number=number,
        block=compute_signers(order[each] for each in own),
        parts=tuple(_part_of(order, place - own.start, len(own), part) for part in parts if part is not own),
    )


def _part_of(order: tuple[OperatorIndex, ...], offset: int, length: int, part: range) -> Part:
    members = [order[each] for each in part]
    told = _told_by(offset, length, len(members))
    rest = [(offset + step) % len(members) for step in range(len(members))]
    return Part(
        members=compute_signers(members),
        tellers=compute_signers(
            member for q, member in enumerate(members) if offset in _told_by(q, len(members), length)
        ),
        primary=tuple(members[q] for q in told),
        others=tuple(members[q] for q in rest if q not in told),
    )


def _told_by(offset: int, length: int, count: int) -> tuple[int, ...]:
    """Which of `count` the one at `offset` of `length` tells, so that each of them is told by somebody."""
    return tuple(range(offset, count, length)) or (offset % count,)


@lru_cache(maxsize=MAX_CACHED_ORDERS)
def _compute_order(digest: Digest, epoch: Epoch, operator_count: int) -> tuple[OperatorIndex, ...]:
    """All operators, by a hash of the alert, the epoch and their index."""
    seed = keccak256(digest + epoch.to_bytes(4, "big"))
    ranks = {
        index: hashlib.sha256(seed + index.to_bytes(2, "big")).digest() for index in range(operator_count)
    }
    return tuple(OperatorIndex(index) for index in sorted(ranks, key=ranks.__getitem__))
