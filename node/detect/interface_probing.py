"""Interface probing: a function that hardly anybody calls is tried with dust, and then with a thousand
times as much.

Who prepares an exploit rehearses it (on Nomad with 0.1 WBTC, before 100 at a time). A way in is the set
of functions through which a transaction enters the watched contracts; it is rare as long as at most
`rare_calls` learned transactions took it. A rehearsal is a rare way in that moved a token, within the
last `blocks` blocks, without asking for a brake; the score is how many times as much the same way in
moves now, from `least_times` on and at most 10^9. Recorded histories name no sender, so anybody's
rehearsal counts for anybody.

Cost: one step for each transfer. Misses: rehearsals on a fork, which nobody sees, and by a popular
function. Careful people try a new function with little money too, so that it is evidence and no verdict.
"""

from __future__ import annotations

from collections import Counter
from typing import ClassVar, Final, TypedDict

from consensus.types import BlockNumber
from node.detect.detector import Detector, State, shown
from node.detect.evidence import Evidence, Family
from node.detect.parameter import Parameter, count
from node.detect.shape import Count, Name, Selector, parse
from node.trace import Account, Token, TransactionTrace

MOST_TIMES: Final = 10**9

Entry = tuple[str, ...]
"""The selectors of a transaction's outermost frames, sorted, each once."""


class _State(TypedDict):
    taken: list[tuple[list[Selector], Count]]
    watched: list[Name]
    rehearsals: list[tuple[list[Selector], Name, Count, Count]]


class InterfaceProbing(Detector):
    """Remembers how often each way in was taken, and the smallest recent movement by each rare one."""

    name: ClassVar[str] = "interface_probing"
    family: ClassVar[Family] = Family.FLOW
    brakes_alone: ClassVar[bool] = False
    parameters: ClassVar[tuple[Parameter, ...]] = (
        count("rare_calls"),
        count("least_times"),
        count("blocks"),
    )

    def __init__(self, *, rare_calls: int, least_times: int, blocks: int) -> None:
        self._rare_calls = rare_calls
        self._least_times = least_times
        self._blocks = blocks
        self._taken: Counter[Entry] = Counter()
        self._watched: dict[Account, None] = {}
        self._rehearsals: dict[tuple[Entry, Token], tuple[BlockNumber, int]] = {}

    def judge(self, transaction: TransactionTrace) -> Evidence | None:
        entry = compute_entry(transaction)
        if self._taken[entry] > self._rare_calls:
            return None
        grown = [
            (min(MOST_TIMES, moved // smallest), token, smallest, moved)
            for token, moved in self._movements(transaction).items()
            if (rehearsal := self._rehearsals.get((entry, token))) is not None
            and transaction.block_number - rehearsal[0] <= self._blocks
            for smallest in (rehearsal[1],)
        ]
        times, token, smallest, moved = max(grown, default=(0, Token(Account("")), 0, 0))
        if times < self._least_times:
            return None
        return self.found(
            times,
            f"{', '.join(entry)}, which {self._taken[entry]} transactions called before, moved {smallest} of "
            f"token {shown(token)} and now {moved}: {times} times as much",
        )

    def learn(self, transaction: TransactionTrace) -> None:
        self._taken[compute_entry(transaction)] += 1

    def follow(self, transaction: TransactionTrace) -> None:
        self._watched.update(dict.fromkeys(transaction.watched))
        entry = compute_entry(transaction)
        for token, moved in self._movements(transaction).items():
            known = self._rehearsals.get((entry, token))
            is_old = known is None or transaction.block_number - known[0] > self._blocks
            if known is None or is_old or moved < known[1]:
                self._rehearsals[(entry, token)] = (transaction.block_number, moved)
        if self._taken[entry] > self._rare_calls:
            for token in self._movements(transaction):
                del self._rehearsals[(entry, token)]

    def state(self) -> State:
        return {
            "taken": [[list(entry), taken] for entry, taken in sorted(self._taken.items())],
            "watched": sorted(self._watched),
            "rehearsals": [
                [list(entry), token, *known] for (entry, token), known in sorted(self._rehearsals.items())
            ],
        }

    def restore(self, state: object) -> None:
        parsed: _State = parse(state, _State)
        self._watched = dict.fromkeys(Account(each) for each in parsed["watched"])
        self._taken.update({tuple(entry): taken for entry, taken in parsed["taken"]})
        for entry, token, block_number, moved in parsed["rehearsals"]:
            self._rehearsals[(tuple(entry), Token(Account(token)))] = (BlockNumber(block_number), moved)

    def _movements(self, transaction: TransactionTrace) -> dict[Token, int]:
        """The largest movement of each token into or out of a watched contract, where there is one."""
        largest: dict[Token, int] = {}
        for gross in (transaction.came, transaction.left):
            for (token, holder), moved in gross.items():
                if moved and (holder in self._watched or holder in transaction.watched):
                    largest[token] = max(largest.get(token, 0), moved)
        return largest


def compute_entry(transaction: TransactionTrace) -> Entry:
    """The functions through which the watched contracts were entered."""
    return tuple(sorted({frame.selector for frame in transaction.outermost_frames}))
