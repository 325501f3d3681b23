"""When enough endpoints said the same: pure counting, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from node.chain.request import MESSAGE_LIMIT, Json, RpcFault, RpcRequest, Unusable

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided(Generic[T]):
    """The value that enough endpoints gave."""

    value: T


class Ballot(Generic[T]):
    """The answers of several endpoints to one request, until `agreement` of them are the same.

    It is decided as soon as that many are, and impossible as soon as those that have not answered could no
    longer bring it about.
    """

    def __init__(self, request: RpcRequest[T], voters: tuple[str, ...], agreement: int) -> None:
        self._request = request
        self._agreement = agreement
        self._outstanding = set(voters)
        self._votes: dict[T, list[str]] = {}
        self._said: dict[str, str] = {}
        self.decided: Decided[T] | None = None

    @property
    def is_open(self) -> bool:
        """Whether another answer could still change the outcome."""
        return self.decided is None and self._can_be_decided()

    def admit(self, voters: tuple[str, ...]) -> None:
        """Let more endpoints answer, because those so far could not decide it."""
        self._outstanding.update(voters)

    def cast(self, voter: str, answer: Json | RpcFault) -> None:
        """Count one endpoint's answer."""
        try:
            value = self._request.parse(answer)
        except Unusable as unusable:
            self.abstain(voter, str(unusable))
            return
        self._outstanding.discard(voter)
        self._said[voter] = f"answered {_shorten(answer)}"
        self._votes.setdefault(value, []).append(voter)
        self._decide()

    def abstain(self, voter: str, said: str) -> None:
        """One endpoint gave no usable answer."""
        self._outstanding.discard(voter)
        self._said[voter] = said
        self._decide()

    def outvoted(self) -> tuple[str, ...]:
        """Who contradicts what was agreed; one that only has not got there yet does not."""
        if self.decided is None or self._is_weak(self.decided.value):
            return ()
        return tuple(
            voter
            for value, voters in self._votes.items()
            if value != self.decided.value and not self._is_weak(value)
            for voter in voters
        )

    def describe(self) -> str:
        """Who said what, by name."""
        silent = dict.fromkeys(self._outstanding, "had not answered yet")
        return "; ".join(f"{voter} {said}" for voter, said in sorted((self._said | silent).items()))

    def _decide(self) -> None:
        if self.decided is not None:
            return
        for value, voters in self._votes.items():
            counts = not self._is_weak(value) or not self._reachable(strong=True)
            if counts and len(voters) >= self._agreement:
                self.decided = Decided(value=value)
                return

    def _can_be_decided(self) -> bool:
        return self._reachable(strong=True) or self._reachable(strong=False)

    def _reachable(self, *, strong: bool) -> bool:
        counts = [len(voters) for value, voters in self._votes.items() if self._is_weak(value) != strong]
        return max(counts, default=0) + len(self._outstanding) >= self._agreement

    def _is_weak(self, value: T) -> bool:
        return self._request.is_weak(value)


def _shorten(answer: Json | RpcFault) -> str:
    text = str(answer)
    return text if len(text) <= MESSAGE_LIMIT else f"{text[:MESSAGE_LIMIT]}… ({len(text)} characters)"
