"""Volume record: more of a token moves into or out of the watched contracts at once than ever before.

The caps on token flow of Trace2Inv (17 of 27 hacks at 0.4 %), with the cap learned and the breach as
evidence. The score is the new record in basis points of the old one, where it is at least `least_bps`, and
the token was moved in `least_movements` learned transactions before. Both directions count: borrowed
millions come in before they go out. Cost: one step for each transfer. Misses: thefts within the usual size.
"""

from __future__ import annotations

from collections import Counter
from typing import ClassVar, TypedDict

from consensus.types import Bps
from node.detect.detector import Detector, State, shown
from node.detect.evidence import Evidence, Family
from node.detect.parameter import Parameter, bps, count
from node.detect.scale import HIGHEST_BPS, WHOLE_BPS
from node.detect.shape import Count, Name, parse
from node.trace import Account, Token, TransactionTrace


class _State(TypedDict):
    watched: list[Name]
    tokens: dict[Name, tuple[Count, Count]]


class VolumeRecord(Detector):
    """Remembers, for each token, the largest movement and how many there were."""

    name: ClassVar[str] = "volume_record"
    family: ClassVar[Family] = Family.VALUE
    parameters: ClassVar[tuple[Parameter, ...]] = (bps("least_bps"), count("least_movements"))

    def __init__(self, *, least_bps: Bps, least_movements: int) -> None:
        self._least_bps = least_bps
        self._least_movements = least_movements
        self._watched: dict[Account, None] = {}
        self._largest: Counter[Token] = Counter()
        self._movements: Counter[Token] = Counter()

    def judge(self, transaction: TransactionTrace) -> Evidence | None:
        records = [
            (min(HIGHEST_BPS, moved * WHOLE_BPS // self._largest[token]), token, moved)
            for token, moved in self._largest_movements(transaction).items()
            if self._movements[token] >= self._least_movements
        ]
        bps, token, moved = max(records, default=(0, Token(Account("")), 0))
        if bps < self._least_bps:
            return None
        return self.found(
            bps, f"{moved} of token {shown(token)} move at once; at most {self._largest[token]} ever did"
        )

    def learn(self, transaction: TransactionTrace) -> None:
        for token, moved in self._largest_movements(transaction).items():
            self._largest[token] = max(self._largest[token], moved)
            self._movements[token] += 1

    def follow(self, transaction: TransactionTrace) -> None:
        self._watched.update(dict.fromkeys(transaction.watched))

    def state(self) -> State:
        return {
            "watched": sorted(self._watched),
            "tokens": {
                token: [self._largest[token], count] for token, count in sorted(self._movements.items())
            },
        }

    def restore(self, state: object) -> None:
        parsed = parse(state, _State)
        self._watched = dict.fromkeys(Account(each) for each in parsed["watched"])
        for token, (largest, movements) in parsed["tokens"].items():
            self._largest[Token(Account(token))] = largest
            self._movements[Token(Account(token))] = movements

    def _largest_movements(self, transaction: TransactionTrace) -> dict[Token, int]:
        largest: dict[Token, int] = {}
        for gross in (transaction.came, transaction.left):
            for (token, holder), moved in gross.items():
                if moved and (holder in self._watched or holder in transaction.watched):
                    largest[token] = max(largest.get(token, 0), moved)
        return largest
