"""The event loop of a simulated network, its links and its faults. One thread, no real clock, one seed.

Every choice is drawn from one generator in the order of events, so that a seed is a run. Times are whole
milliseconds. A link delays by 50 to 150 ms, anew for each message, so that messages overtake each other; it
may lose or repeat them, or be cut.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from consensus.alert import Alert
from consensus.attestation import Attestation, attest
from consensus.operators import OperatorSet
from consensus.types import Digest, OperatorIndex, SlotId
from node.gossip.transport import PeerId
from tests.simulation.members import make_key

MIN_LINK_MS = 50
MAX_LINK_MS = 150

Receive = Callable[[PeerId, bytes], None]


class Violation(AssertionError):  # noqa: N818 - what happened, not an error of the program
    """A property of the network fell; the message says which and where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What the links of one run do. Shares of messages; the cut lasts from first to last, in ms."""

    lost: float
    repeated: float
    cut_from: int
    cut_until: int
    cut_off: frozenset[int]

    def parts(self, one: int, other: int, now: int) -> bool:
        """Whether these two are on different sides of the cut."""
        return self.cut_from <= now < self.cut_until and (one in self.cut_off) != (other in self.cut_off)


@dataclass(slots=True, kw_only=True)
class Truth:
    """Who really signed what: written where a key is used, read by the checks alone."""

    signers: dict[Digest, int] = field(default_factory=lambda: defaultdict(int))
    digests: dict[tuple[OperatorIndex, SlotId], set[Digest]] = field(default_factory=lambda: defaultdict(set))


class World:
    """Time, links and truth of one run."""

    def __init__(self, seed: int, operator_set: OperatorSet, *, is_real: bool) -> None:
        self.random = random.Random(seed)
        self.operator_set = operator_set
        self.truth = Truth()
        self.now = 0
        self.faults = Faults(lost=0, repeated=0, cut_from=0, cut_until=0, cut_off=frozenset())
        self.messages = self.bytes = 0
        self._is_real = is_real
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._receivers: dict[int, Receive] = {}
        self.greeters: dict[int, Callable[[int], None]] = {}

    def at(self, when: int, event: Callable[[], None]) -> None:
        """Call `event` at that time, after what was planned for it before."""
        heapq.heappush(self._events, (max(when, self.now), next(self._order), event))

    def after(self, delay: int, event: Callable[[], None]) -> None:
        self.at(self.now + delay, event)

    def run(self, until: int) -> None:
        while self._events and self._events[0][0] <= until:
            self.now, _, event = heapq.heappop(self._events)
            event()

    def listen(self, index: int, receive: Receive | None) -> None:
        """Messages for this operator go there; None while it is down."""
        if receive is None:
            self._receivers.pop(index, None)
        else:
            self._receivers[index] = receive

    def is_up(self, index: int) -> bool:
        return index in self._receivers

    def send(self, sender: int, receiver: int, payload: bytes) -> None:
        """Put a payload on the link; what becomes of it is the link's to say."""
        self.messages += 1
        self.bytes += len(payload)
        if self.faults.parts(sender, receiver, self.now) or self.random.random() < self.faults.lost:
            return
        copies = 2 if self.random.random() < self.faults.repeated else 1
        for _ in range(copies):
            delay = self.random.randint(MIN_LINK_MS, MAX_LINK_MS)
            self.after(delay, lambda: self._deliver(sender, receiver, payload))

    def sign(self, index: OperatorIndex, alert: Alert) -> Attestation:
        """Use an operator's key, and write down that it was used."""
        self.truth.signers[alert.digest()] |= 1 << index
        self.truth.digests[index, alert.slot_id()].add(alert.digest())
        return attest(alert, index, make_key(index, is_real=self._is_real))

    def _deliver(self, sender: int, receiver: int, payload: bytes) -> None:
        receive = self._receivers.get(receiver)
        if receive is not None and not self.faults.parts(sender, receiver, self.now):
            receive(PeerId(f"peer-{sender}"), payload)
