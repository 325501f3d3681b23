"""What a peer may cost us: messages, bytes, time to verify; strikes for faults, and bans that expire.

Pure: the clock comes from outside, nothing waits. Two ledgers per peer, because two parties answer for one
pubsub message: the neighbour that handed it over pays for the *link*, the operator that signed it pays as its
*author*. A flooder therefore exhausts its own budgets and nobody else's.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from node.gossip.transport import PeerId

LONE_VERIFICATION_US = 4_000
"""What a signature over an alert costs that nobody here holds yet: a batch of its own (two pairings)."""
JOINED_VERIFICATION_US = 500
"""The same where it joins others over the same alert in a batch, its point read included."""

_MAX_DOUBLINGS = 32
_MAX_REMEMBERED_PEERS = 1_024  # bans of operators that left the set must not pile up without a bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A bucket's refill per second and its depth, in messages and in bytes."""

    messages_per_second: float
    message_burst: int
    bytes_per_second: float
    byte_burst: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What every registered peer is allowed.

    An author's burst holds an incident (hundreds of alerts at once) twice, as each message comes by two
    paths. A link carries what all authors say, several times over, so it is ten times as wide. Time to verify
    is charged before it is spent: a tenth of a core, and a burst of 500 alerts that nobody else has raised.
    Every further ban within a day lasts twice as long as the one before.
    """

    author: Rate = Rate(
        messages_per_second=100, message_burst=1_000, bytes_per_second=512 * 1024, byte_burst=8 * 1024 * 1024
    )
    link: Rate = Rate(
        messages_per_second=1_000,
        message_burst=10_000,
        bytes_per_second=4 * 1024 * 1024,
        byte_burst=32 * 1024 * 1024,
    )
    verification_us_per_second: float = 100_000
    verification_burst_us: float = 2_000_000
    strikes_to_ban: int = 100
    strikes_forgiven_per_second: float = 1.0
    ban_seconds: float = 300.0
    longest_ban_seconds: float = 3_600.0
    pardon_seconds: float = 86_400.0

    def __post_init__(self) -> None:
        if self.strikes_to_ban < 1 or self.ban_seconds <= 0 or self.strikes_forgiven_per_second < 0:
            raise ValueError(
                f"Limits: expected positive strikes_to_ban and ban_seconds and no negative forgiveness, got "
                f"{self.strikes_to_ban}, {self.ban_seconds}, {self.strikes_forgiven_per_second}"
            )


@dataclass(slots=True)
class Bucket:
    """Messages and bytes that are left, refilled by the time that has passed."""

    rate: Rate
    messages: float
    bytes: float
    at: float

    @classmethod
    def full(cls, rate: Rate, now: float) -> "Bucket":
        return cls(rate=rate, messages=rate.message_burst, bytes=rate.byte_burst, at=now)

    def take(self, size_bytes: int, now: float) -> bool:
        """Take one message of this size, or nothing at all when either measure is short."""
        elapsed = max(0.0, now - self.at)
        self.at = now
        self.messages = min(self.rate.message_burst, self.messages + elapsed * self.rate.messages_per_second)
        self.bytes = min(self.rate.byte_burst, self.bytes + elapsed * self.rate.bytes_per_second)
        if self.messages < 1 or self.bytes < size_bytes:
            return False
        self.messages -= 1
        self.bytes -= size_bytes
        return True


@dataclass(slots=True)
class Meter:
    """Microseconds that are left, refilled by the time that has passed."""

    per_second: float
    depth: float
    level: float
    at: float

    def take(self, amount: float, now: float) -> bool:
        """Take this much, or nothing at all where less is left."""
        self.level = min(self.depth, self.level + max(0.0, now - self.at) * self.per_second)
        self.at = now
        if self.level < amount:
            return False
        self.level -= amount
        return True


@dataclass(slots=True)
class _Account:
    author: Bucket
    link: Bucket
    verification: Meter
    strikes: float = 0.0
    struck_at: float = 0.0
    bans: int = 0
    banned_until: float = field(default=float("-inf"))


class Budgets:
    """The accounts of all registered peers.

    Args:
        limits: what each is allowed.
        clock: seconds that never run backwards (`trio.current_time` or `time.monotonic`).
    """

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._accounts: dict[PeerId, _Account] = {}

    def charge_link(self, peer_id: PeerId, size_bytes: int) -> bool:
        """Charge what a neighbour put on the wire; False when it has passed its budget."""
        return self._account(peer_id).link.take(size_bytes, self._clock())

    def charge_author(self, peer_id: PeerId, size_bytes: int) -> bool:
        """Charge an operator's own message; False when it has passed its budget."""
        return self._account(peer_id).author.take(size_bytes, self._clock())

    def charge_verification(self, peer_id: PeerId, microseconds: int) -> bool:
        """Charge the time that checking a signature will take; False when it has passed its budget."""
        return self._account(peer_id).verification.take(microseconds, self._clock())

    def strike(self, peer_id: PeerId, points: int) -> bool:
        """Count a fault; True when this one led to a ban. Strikes are forgiven as time passes."""
        now = self._clock()
        account = self._account(peer_id)
        forgiven = (now - account.struck_at) * self._limits.strikes_forgiven_per_second
        account.strikes = max(0.0, account.strikes - forgiven) + points
        account.struck_at = now
        if account.strikes < self._limits.strikes_to_ban or now < account.banned_until:
            return False
        account.strikes = 0.0
        if now - account.banned_until > self._limits.pardon_seconds:
            account.bans = 0
        account.banned_until = now + min(
            self._limits.longest_ban_seconds, self._limits.ban_seconds * 2**account.bans
        )
        account.bans = min(account.bans + 1, _MAX_DOUBLINGS)
        return True

    def is_banned(self, peer_id: PeerId) -> bool:
        account = self._accounts.get(peer_id)
        return account is not None and self._clock() < account.banned_until

    def banned(self) -> tuple[PeerId, ...]:
        now = self._clock()
        return tuple(sorted(peer for peer, account in self._accounts.items() if now < account.banned_until))

    def keep_only(self, peer_ids: Iterable[PeerId]) -> None:
        """Forget those that left the set, except peers with a ban not long ago: leaving must not pardon."""
        kept, now = frozenset(peer_ids), self._clock()
        self._accounts = {
            peer: account
            for peer, account in self._accounts.items()
            if peer in kept or now - account.banned_until <= self._limits.pardon_seconds
        }

    def _account(self, peer_id: PeerId) -> _Account:
        account = self._accounts.get(peer_id)
        if account is None:
            if len(self._accounts) >= _MAX_REMEMBERED_PEERS:
                del self._accounts[next(iter(self._accounts))]
            now = self._clock()
            account = _Account(
                author=Bucket.full(self._limits.author, now),
                link=Bucket.full(self._limits.link, now),
                verification=Meter(
                    per_second=self._limits.verification_us_per_second,
                    depth=self._limits.verification_burst_us,
                    level=self._limits.verification_burst_us,
                    at=now,
                ),
            )
            self._accounts[peer_id] = account
        return account
