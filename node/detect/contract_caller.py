"""Contract caller: a function that only accounts without code called is called by a contract.

The strongest guard of Trace2Inv (`onlyEOA`, 15 of 27 hacks at 0.2 % false alarms), as evidence and not as a
ban. Score 1: this function had at least `least_direct_calls` direct calls and none by a contract. Score 2:
so had the whole protocol. Cost: one look-up for each outermost frame. Misses: protocols that contracts use
daily, and attacks by accounts without code.
"""

from __future__ import annotations

from collections import Counter
from typing import ClassVar, TypedDict

from node.detect.detector import Detector, State, shown
from node.detect.evidence import Evidence, Family
from node.detect.parameter import Parameter, count
from node.detect.shape import Count, Selector, parse
from node.trace import CallFrame, CallKind, TransactionTrace


class _State(TypedDict):
    direct: dict[Selector, Count]
    by_contract: dict[Selector, Count]


class ContractCaller(Detector):
    """Counts direct calls and calls by contracts, for each function and in all."""

    name: ClassVar[str] = "contract_caller"
    family: ClassVar[Family] = Family.FLOW
    parameters: ClassVar[tuple[Parameter, ...]] = (count("least_direct_calls"),)

    def __init__(self, *, least_direct_calls: int) -> None:
        self._least = least_direct_calls
        self._direct: Counter[str] = Counter()
        self._by_contract: Counter[str] = Counter()

    def judge(self, transaction: TransactionTrace) -> Evidence | None:
        for frame in _entries_by_contract(transaction):
            calls = self._direct[frame.selector]
            if self._direct.total() >= self._least and not self._by_contract:
                return self.found(
                    2,
                    f"a contract calls {frame.selector} of {shown(frame.contract)}; "
                    f"none called anything here in {self._direct.total()} direct calls",
                )
            if calls >= self._least and not self._by_contract[frame.selector]:
                return self.found(
                    1,
                    f"a contract calls {frame.selector} of {shown(frame.contract)}; "
                    f"none did in {calls} direct calls",
                )
        return None

    def learn(self, transaction: TransactionTrace) -> None:
        self._by_contract.update(frame.selector for frame in _entries_by_contract(transaction))
        self._direct.update(
            frame.selector
            for frame in transaction.outermost_frames
            if frame.kind is CallKind.FIRST_CALL and frame.writes_storage
        )

    def state(self) -> State:
        return {"direct": dict(self._direct), "by_contract": dict(self._by_contract)}

    def restore(self, state: object) -> None:
        parsed = parse(state, _State)
        self._direct.update(parsed["direct"])
        self._by_contract.update(parsed["by_contract"])


def _entries_by_contract(transaction: TransactionTrace) -> list[CallFrame]:
    return [
        frame
        for frame in transaction.outermost_frames
        if frame.kind is CallKind.CALL and frame.writes_storage
    ]
