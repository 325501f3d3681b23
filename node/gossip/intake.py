"""What waits for the tally, in order; when that is too much, the member with most for its stake gives way.

Verification is the scarcest thing that a watcher has. A member that floods with what looks good fills its
own share of the queue and takes nobody else's: the weight of its stake decides how long that share is.
"""

from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

import trio

from consensus.types import Weight

T = TypeVar("T")


class Intake(Generic[T]):
    """A bounded queue for one taker.

    Args:
        max_waiting: what waits at most, of all members together.
    """

    def __init__(self, max_waiting: int) -> None:
        if max_waiting < 1:
            raise ValueError(f"Intake: expected room for at least 1, got {max_waiting}")
        self._max_waiting = max_waiting
        self._waiting: OrderedDict[int, tuple[Hashable, T]] = OrderedDict()
        self._places: dict[Hashable, deque[int]] = {}
        self._weights: dict[Hashable, int] = {}
        self._next = 0
        self._filled = trio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def put_nowait(self, item: T, *, member: Hashable, weight: Weight) -> T | None:
        """Let an item wait; what had to give way for it, which may be the item itself, or None."""
        self._weights[member] = max(1, weight)
        self._places.setdefault(member, deque()).append(self._next)
        self._waiting[self._next] = (member, item)
        self._next += 1
        self._filled.set()
        return None if len(self._waiting) <= self._max_waiting else self._evict()

    async def take(self) -> T:
        """What has waited longest; waits for it."""
        while not self._waiting:
            self._filled = trio.Event()
            await self._filled.wait()
        _, (member, item) = self._waiting.popitem(last=False)
        self._places[member].popleft()
        self._forget_if_empty(member)
        return item

    def _evict(self) -> T:
        """Take out the newest item of the member that has most waiting for its weight."""
        greediest = next(iter(self._places))
        for member, places in self._places.items():
            if len(places) * self._weights[greediest] > len(self._places[greediest]) * self._weights[member]:
                greediest = member
        _, item = self._waiting.pop(self._places[greediest].pop())
        self._forget_if_empty(greediest)
        return item

    def _forget_if_empty(self, member: Hashable) -> None:
        if not self._places[member]:
            del self._places[member], self._weights[member]
