"""Our own attestations that may still be wanted, and when to publish each of them again.

Gossip promises no delivery, so each is published again with growing pauses until the caller calls its alert
settled. A settled one is no longer repeated, but still told to peers that connect late, until it expires.
Pure: both clocks come from outside.
"""

from dataclasses import dataclass

from consensus.types import Digest, Seconds


@dataclass(slots=True)
class _Open:
    payload: bytes
    expires_at: Seconds
    due_at: float
    pause_seconds: float
    is_settled: bool = False


class OpenAttestations:
    """Payloads by digest, bounded: when full, the oldest goes.

    Args:
        max_open: how many are kept; an operator signs one per slot, and slots expire within a day.
        first_pause_seconds: from the first publication to the second; each further pause is twice as long.
        longest_pause_seconds: where the doubling ends.
    """

    def __init__(self, *, max_open: int, first_pause_seconds: float, longest_pause_seconds: float) -> None:
        self._max_open = max_open
        self._first_pause_seconds = first_pause_seconds
        self._longest_pause_seconds = longest_pause_seconds
        self._open: dict[Digest, _Open] = {}

    def __len__(self) -> int:
        return sum(not entry.is_settled for entry in self._open.values())

    def add(self, digest: Digest, payload: bytes, *, expires_at: Seconds, at: float) -> None:
        """Remember one that was published at this monotonic time."""
        self._open[digest] = _Open(
            payload=payload,
            expires_at=expires_at,
            due_at=at + self._first_pause_seconds,
            pause_seconds=self._first_pause_seconds,
        )
        if len(self._open) > self._max_open:
            del self._open[next(iter(self._open))]

    def settle(self, digest: Digest) -> None:
        """Stop repeating this one; unknown digests are other operators' and pass."""
        entry = self._open.get(digest)
        if entry is not None:
            entry.is_settled = True

    def prune(self, now: Seconds) -> None:
        """Forget those that no guardian would take any more."""
        self._open = {digest: entry for digest, entry in self._open.items() if entry.expires_at >= now}

    def take_due(self, *, at: float, max_payloads: int) -> tuple[bytes, ...]:
        """At most `max_payloads` whose pause is over, the longest waiting first; their next pause begins."""
        due = [entry for entry in self._open.values() if not entry.is_settled and entry.due_at <= at]
        due.sort(key=lambda entry: entry.due_at)
        for entry in due[:max_payloads]:
            entry.pause_seconds = min(self._longest_pause_seconds, 2 * entry.pause_seconds)
            entry.due_at = at + entry.pause_seconds
        return tuple(entry.payload for entry in due[:max_payloads])

    def payloads(self) -> tuple[bytes, ...]:
        """All that a peer which was away may lack."""
        return tuple(entry.payload for entry in self._open.values())
