"""Mint anomaly: tokens appear from nothing, many compared with how many there were, and nothing is paid in.

A mint is a transfer from the zero account; it is backed when another token comes to a watched contract in
the same transaction. The score is what was minted unbacked in basis points of the supply before, at most 10
000 000, where it is at least `least_bps`. The supply is counted from the recorded mints and burns, and
nothing is said of a token with fewer than `least_mints` of them. Cost: one step for each transfer. Misses:
tokens that mint without a transfer.
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
from node.trace import ZERO_ACCOUNT, Account, Token, TransactionTrace


class _State(TypedDict):
    watched: list[Name]
    supplies: dict[Name, tuple[Count, Count]]


class MintAnomaly(Detector):
    """Keeps the supply of every token that is minted, and counts the mints."""

    name: ClassVar[str] = "mint_anomaly"
    family: ClassVar[Family] = Family.VALUE
    parameters: ClassVar[tuple[Parameter, ...]] = (bps("least_bps"), count("least_mints"))

    def __init__(self, *, least_bps: Bps, least_mints: int) -> None:
        self._least_bps = least_bps
        self._least_mints = least_mints
        self._watched: dict[Account, None] = {}
        self._supplies: Counter[Token] = Counter()
        self._mints: Counter[Token] = Counter()

    def judge(self, transaction: TransactionTrace) -> Evidence | None:
        net = transaction.net
        watched = self._watched.keys() | transaction.watched
        backing = {token for (token, holder), gained in net.items() if gained > 0 and holder in watched}
        found = [
            (min(HIGHEST_BPS, -gained * WHOLE_BPS // self._supplies[token]), token, -gained)
            for (token, holder), gained in net.items()
            if holder == ZERO_ACCOUNT
            and gained < 0
            and self._mints[token] >= self._least_mints
            and self._supplies[token] > 0
            and not backing - {token}
        ]
        bps, token, minted = max(found, default=(0, Token(Account("")), 0))
        if bps < self._least_bps:
            return None
        return self.found(
            bps,
            f"{minted} of token {shown(token)} are minted and nothing is paid in; {self._supplies[token]} "
            "were there before",
        )

    def follow(self, transaction: TransactionTrace) -> None:
        self._watched.update(dict.fromkeys(transaction.watched))
        for (token, holder), gained in transaction.net.items():
            if holder == ZERO_ACCOUNT and gained:
                self._supplies[token] = max(0, self._supplies[token] - gained)
                self._mints[token] += gained < 0

    def state(self) -> State:
        return {
            "watched": sorted(self._watched),
            "supplies": {token: [self._supplies[token], n] for token, n in sorted(self._mints.items())},
        }

    def restore(self, state: object) -> None:
        parsed = parse(state, _State)
        self._watched = dict.fromkeys(Account(each) for each in parsed["watched"])
        for token, (supply, mints) in parsed["supplies"].items():
            self._supplies[Token(Account(token))] = supply
            self._mints[Token(Account(token))] = mints
