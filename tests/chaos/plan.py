"""What befalls a network: drawn from a seed alone, so that the same seed gives the same again.

Pure. A plan says who misbehaves for the whole run, and then, round by round, which fault befalls whom. Faults
are dealt from a shuffled deck, so that each kind comes once before any comes twice.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import count, islice
from typing import Any

from node.devnet.network import Conduct

DEEPEST_REORG = 32
HOLD_SECONDS = (3, 8)
MOST_EXPOSED = 2  # each costs this process a proxy that answers thousands of requests
CLOCK_SKEW_SECONDS = 3_600


class FaultKind(StrEnum):
    """What is done to a watcher, its links, its endpoints or its chain."""

    KILL = "kill"
    FREEZE = "freeze"
    DISCONNECT = "disconnect"
    PARTITION = "partition"
    LOSSY = "lossy"
    RPC_SLOW = "rpc-slow"
    RPC_ERRORS = "rpc-errors"
    RPC_LIMITED = "rpc-limited"
    RPC_TRUNCATED = "rpc-truncated"
    RPC_LIES = "rpc-lies"
    REORG = "reorg"
    CLOCK = "clock"
    DISK_FULL = "disk-full"


SILENCING = frozenset({FaultKind.KILL, FaultKind.FREEZE, FaultKind.DISCONNECT, FaultKind.DISK_FULL})
"""Whoever it befalls cannot be counted on to sign, or to be heard."""

RPC = frozenset(kind for kind in FaultKind if kind.value.startswith("rpc-"))
BYZANTINE = tuple(conduct for conduct in Conduct if conduct is not Conduct.HONEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One round's fault.

    `amount` is its size: blocks of a reorg, milliseconds of latency, seconds of skew.
    """

    round: int
    kind: FaultKind
    victims: tuple[str, ...]
    amount: int
    hold_seconds: int

    def as_dict(self) -> dict[str, Any]:
        """For a JSON line."""
        return {**asdict(self), "kind": self.kind.value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The whole run's cast, and an endless schedule."""

    seed: int
    nodes: int
    conduct: tuple[Conduct, ...]
    exposed: tuple[str, ...]
    """Honest watchers whose endpoints and disks can be made to fail; the others have theirs directly."""
    kinds: tuple[FaultKind, ...] = tuple(FaultKind)

    def name(self, index: int) -> str:
        return f"w{index + 1}"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.name(index) for index in range(self.nodes))

    @property
    def honest(self) -> tuple[str, ...]:
        """Who keeps to the rules; the faults befall them."""
        return tuple(
            name for name, how in zip(self.names, self.conduct, strict=True) if how is Conduct.HONEST
        )

    def faults(self) -> Iterator[Fault]:
        """The schedule, without end: how much of it is played is a matter of time."""
        chance = random.Random(f"tocsin/chaos/faults/{self.seed}/{self.nodes}")
        deck: list[FaultKind] = []
        for number in count(1):
            if not deck:
                deck = chance.sample(list(self.kinds), len(self.kinds))
            yield self._draw(chance, number, deck.pop())

    def first(self, rounds: int) -> tuple[Fault, ...]:
        """The first rounds."""
        return tuple(islice(self.faults(), rounds))

    def is_answerable(self, fault: Fault) -> bool:
        """Whether more than two thirds are honest and connected while the fault lasts."""
        if fault.kind is FaultKind.PARTITION:
            sides = (set(fault.victims), set(self.names) - set(fault.victims))
            return any(self._is_quorum(side & set(self.honest)) for side in sides)
        gone = set(fault.victims) if fault.kind in SILENCING else set()
        return self._is_quorum(set(self.honest) - gone)

    def _is_quorum(self, names: set[str]) -> bool:
        return 3 * len(names) > 2 * self.nodes

    def _draw(self, chance: random.Random, number: int, kind: FaultKind) -> Fault:
        most = max(1, (self.nodes - 1) // 3)
        pool = self.exposed if kind in RPC or kind is FaultKind.DISK_FULL else self.honest
        victims = tuple(sorted(chance.sample(pool, chance.randint(1, min(most, len(pool))))))
        amount = 0
        hold_seconds = chance.randint(*HOLD_SECONDS)
        if kind is FaultKind.PARTITION:
            victims = tuple(sorted(chance.sample(self.names, self.nodes // 2)))
        elif kind is FaultKind.LOSSY:
            victims, amount = self.names, chance.randint(50, 150)
        elif kind is FaultKind.REORG:
            victims, amount = (), chance.randint(1, DEEPEST_REORG)
        elif kind is FaultKind.CLOCK:
            amount = chance.choice((-CLOCK_SKEW_SECONDS, CLOCK_SKEW_SECONDS))
        elif kind is FaultKind.RPC_SLOW:
            amount = chance.randint(1_000, 10_000)
        return Fault(round=number, kind=kind, victims=victims, amount=amount, hold_seconds=hold_seconds)


def make_plan(seed: int, nodes: int, *, kinds: tuple[FaultKind, ...] = tuple(FaultKind)) -> Plan:
    """The plan of a seed: up to a third of the operators, and always less, break their word.

    Raises ValueError below four operators, of whom none may fail.
    """
    if nodes < 4:
        raise ValueError(f"expected at least 4 operators, so that one may fail, got {nodes}")
    chance = random.Random(f"tocsin/chaos/cast/{seed}/{nodes}")
    faulty = chance.randint(0, (nodes - 1) // 3)
    cast = [Conduct.HONEST] * nodes
    for index in chance.sample(range(nodes), faulty):
        cast[index] = chance.choice(BYZANTINE)
    honest = [f"w{index + 1}" for index, how in enumerate(cast) if how is Conduct.HONEST]
    exposed = tuple(sorted(chance.sample(honest, MOST_EXPOSED)))
    return Plan(seed=seed, nodes=nodes, conduct=tuple(cast), exposed=exposed, kinds=kinds)
