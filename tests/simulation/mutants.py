"""Watchers with one rule broken: what the simulation must notice, or it checks nothing.

Each names the rule that it breaks, and within how many seeds that must be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

import consensus.tally
from consensus.bls import aggregate_signatures
from consensus.partial import Contribution, PartialCertificate, compute_signers, compute_weight, indices_of
from consensus.types import OperatorIndex, Signers
from node.gossip.forwarder import Forwarder
from tests.simulation.watcher import Disk, Watcher


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A broken rule. `break_it` is a context within which runs are broken; `within_seeds` the promise."""

    name: str
    watcher: type[Watcher]
    break_it: Callable[[], object]
    within_seeds: int


class ForgetsItsJournal(Watcher):
    """A restart begins with an empty journal: the rule `record, then sign` lives in memory alone."""

    def start(self) -> None:
        self.disk = Disk()
        super().start()


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextmanager
def _counts_twice() -> Iterator[None]:
    """The weight is the sum over all that came, whoever is in it."""
    settle = consensus.tally._Count.settle

    def settle_and_count_all(self: consensus.tally._Count) -> bool:
        settle(self)
        before = self.weight
        parts = [*self.verified, *(1 << index for index in self.singles)]
        self.weight = sum(compute_weight(signers, self.operator_set) for signers in parts)
        return self.weight > before

    with patch.object(consensus.tally._Count, "settle", settle_and_count_all):
        yield


@contextmanager
def _merges_overlapping() -> Iterator[None]:
    """Sums are added up whether or not they share signers."""

    def choose_all(candidates: Sequence[Signers], weigh: Callable[[Signers], int]) -> tuple[Signers, ...]:
        return tuple(sorted(each for each in candidates if weigh(each) > 0))

    def merge_all(parts: Sequence[Contribution]) -> PartialCertificate:
        return PartialCertificate(
            alert=parts[0].alert,
            signers=compute_signers(index for part in parts for index in indices_of(part.signers)),
            signature=aggregate_signatures([part.signature for part in parts]),
        )

    with patch.multiple(consensus.tally, choose_disjoint=choose_all, merge=merge_all):
        yield


@contextmanager
def _believes_unverified() -> Iterator[None]:
    with patch.object(consensus.tally, "verify_batches", lambda _, batches: ((),) * len(batches)):
        yield


@contextmanager
def _settles_at_half() -> Iterator[None]:
    """Half of the stake passes for every level."""

    def levels_at_half(signed: int, total: int) -> frozenset[consensus.tally.Level]:
        return frozenset(consensus.tally.Level) if 2 * signed > total else frozenset()

    with patch.object(consensus.tally, "compute_levels", levels_at_half):
        yield


@contextmanager
def _forwards_nothing() -> Iterator[None]:
    """Large sets tell their own group and nobody else, and nothing is repeated or compared."""

    def group_of_none(*_: object) -> tuple[OperatorIndex, ...]:
        return ()

    with (
        patch.object(Forwarder, "take_due", lambda *_, **__: ()),
        patch.object(Forwarder, "group", group_of_none),
        patch.object(Watcher, "_repeat", lambda _self: None),
        patch.object(Watcher, "_compare", lambda _self: None),
    ):
        yield


MUTANTS = (
    Mutant(name="forgets its journal", watcher=ForgetsItsJournal, break_it=_nothing, within_seeds=10),
    Mutant(name="counts a signer twice", watcher=Watcher, break_it=_counts_twice, within_seeds=10),
    Mutant(name="merges overlapping sums", watcher=Watcher, break_it=_merges_overlapping, within_seeds=10),
    Mutant(
        name="believes what it did not verify",
        watcher=Watcher,
        break_it=_believes_unverified,
        within_seeds=10,
    ),
    Mutant(name="takes half for two thirds", watcher=Watcher, break_it=_settles_at_half, within_seeds=10),
    Mutant(name="passes nothing on", watcher=Watcher, break_it=_forwards_nothing, within_seeds=10),
)
