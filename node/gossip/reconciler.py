"""The third way: every few seconds peers compare what they hold, and pull what is missing.

Push and pubsub are quick and promise nothing; this one is slow and leaves nothing out. A round tells some
peers the roots of what we hold (a few dozen bytes); who holds something else answers with its inventory of
the buckets that differ; we ask it for what we lack, and nobody else for the same within two seconds. Peers
that connect are told at once. Each side only ever pulls: a peer decides for itself what it takes in.

What is asked of us is paid for from a budget; what was not asked for is refused; a useless question costs.
"""

import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import trio

from consensus import reconciliation
from consensus.errors import Reason, Refused
from consensus.reconciliation import (
    MAX_ENTRIES,
    Entry,
    Inventory,
    Signatures,
    Summary,
    Want,
    compute_bits,
    compute_bucket,
    compute_summary,
)
from consensus.types import Digest, Seconds, Signers
from node.gossip.asked import Asked
from node.gossip.budgets import Bucket, Rate
from node.gossip.frames import Kind
from node.gossip.holdings import Holdings
from node.gossip.transport import PeerId, Received

ROUND_SECONDS = 2.0
JITTER = 0.25
"""A round begins 1.5 to 2.5 seconds after the one before, so that a fleet does not ask in step."""
PEERS_PER_ROUND = 16
"""Everybody in a small network; in a large one news still doubles with every round."""
INVENTORIES_PER_SUMMARY = 4
MAX_INVENTORIES_AWAITED = 32
INVENTORY_SECONDS = 60.0
LOOK_SECONDS = 0.5
"""How old what we say we hold may be: a look at a full tally costs some ten milliseconds."""
MAX_PEERS = 512
"""Twice the largest set: who left is forgotten, oldest first."""

QUESTIONS = Rate(messages_per_second=4, message_burst=32, bytes_per_second=64 * 1024, byte_burst=256 * 1024)
"""Summaries and wants of one peer. An honest one sends a summary each round, and a want to each inventory."""
ANSWERS = Rate(messages_per_second=50, message_burst=400, bytes_per_second=256 * 1024, byte_burst=1024 * 1024)
"""What one peer is answered: half of what it lets through its own door (budgets.Limits.author)."""

T = TypeVar("T")
Push = Callable[[PeerId, Kind, bytes], Awaitable[None]]
Deliver = Callable[[Signatures, PeerId], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcilerStatistics:
    """Counts since the start; signatures in signatures, the others in frames."""

    rounds: int
    summaries_equal: int
    inventories_sent: int
    wants_sent: int
    answers_sent: int
    answers_withheld: int
    signatures_pulled: int


@dataclass(slots=True)
class _Account:
    """What one peer may still ask, be answered, and list unasked-for."""

    questions: Bucket
    answers: Bucket
    inventories: int = 0
    told_at: float = 0.0


class Reconciler:
    """Compares with peers. Its four `take_…` serve the four kinds of frames.

    Args:
        holdings: what is held here.
        push: sends one frame to one peer.
        connected: the peers that can be pushed to.
        deliver: takes signatures that were asked for; raises Refused where they cannot be used.
        clock: seconds that never run backwards.
        jitter: when rounds begin and whom they ask.
    """

    def __init__(
        self,
        *,
        holdings: Holdings,
        push: Push,
        connected: Callable[[], tuple[PeerId, ...]],
        deliver: Deliver,
        clock: Callable[[], float],
        jitter: random.Random,
    ) -> None:
        self._holdings = holdings
        self._push = push
        self._connected = connected
        self._deliver = deliver
        self._clock = clock
        self._jitter = jitter
        self._asked = Asked(clock)
        self._accounts: dict[PeerId, _Account] = {}
        self._looked_at = float("-inf")
        self._seen: list[tuple[Seconds, Entry]] = []
        self._rounds = self._equal = self._inventories = self._wants = 0
        self._answers = self._withheld = self._pulled = 0

    async def run(self) -> None:
        """Begin rounds until cancelled."""
        while True:
            await trio.sleep(ROUND_SECONDS * (1 - JITTER + 2 * JITTER * self._jitter.random()))
            peers = self._connected()
            for peer_id in self._jitter.sample(peers, min(len(peers), PEERS_PER_ROUND)):
                await self.compare_with(peer_id)
            self._rounds += 1

    async def compare_with(self, peer_id: PeerId) -> None:
        """Tell this peer what we hold; it answers where it holds something else."""
        account = self._account(peer_id)
        # where links are slower than rounds, answers to several summaries are on their way at once
        account.inventories = min(account.inventories + INVENTORIES_PER_SUMMARY, MAX_INVENTORIES_AWAITED)
        account.told_at = self._clock()
        entries = [entry for _, entry in self._look()]
        summary = compute_summary(entries, compute_bits(len(entries)))
        await self._push(peer_id, Kind.SUMMARY, reconciliation.encode_summary(summary))

    def rest(self, digest: Digest, signers: Signers) -> None:
        """Leave these alone for a minute: they came, and the tally could not use them."""
        self._asked.rest(digest, signers)

    def statistics(self) -> ReconcilerStatistics:
        return ReconcilerStatistics(
            rounds=self._rounds,
            summaries_equal=self._equal,
            inventories_sent=self._inventories,
            wants_sent=self._wants,
            answers_sent=self._answers,
            answers_withheld=self._withheld,
            signatures_pulled=self._pulled,
        )

    # --- the four kinds

    async def take_summary(self, summary: Summary, received: Received) -> None:
        """List the buckets that differ, as far as an answer goes. Raises Refused."""
        self._charge_question(received)
        held = self._look()
        ours = compute_summary((entry for _, entry in held), summary.bits)
        differing = [
            bucket
            for bucket, (here, there) in enumerate(zip(ours.roots, summary.roots, strict=True))
            if here != there
        ]
        if not differing:
            self._equal += 1
        for bucket in self._choose_buckets(differing, held, summary.bits):
            inventory = self._list(held, summary.bits, bucket)
            if inventory.entries:
                self._inventories += 1
                await self._push(received.peer_id, Kind.INVENTORY, reconciliation.encode_inventory(inventory))

    async def take_inventory(self, inventory: Inventory, received: Received) -> None:
        """Ask for what is listed and lacking here. Raises Refused."""
        account = self._account(received.peer_id)
        if account.inventories < 1 or self._clock() - account.told_at > INVENTORY_SECONDS:
            raise Refused(
                Reason.UNASKED, f"{INVENTORIES_PER_SUMMARY} inventories answer a summary; this answers none"
            )
        account.inventories -= 1
        wanted = []
        for entry in inventory.entries:
            missing = Signers(entry.signers & ~self._holdings.signers(entry.digest))
            asked = self._asked.choose(received.peer_id, entry.digest, missing)
            if asked:
                wanted.append(Entry(digest=entry.digest, signers=asked))
        if wanted:
            self._wants += 1
            want = Want(entries=tuple(wanted))
            await self._push(received.peer_id, Kind.WANT, reconciliation.encode_want(want))

    async def take_want(self, want: Want, received: Received) -> None:
        """Answer, as far as the peer's budget goes. Raises Refused, also where nothing of it is held."""
        self._charge_question(received)
        account, is_of_use = self._account(received.peer_id), False
        for entry in want.entries:
            for kind, body in self._holdings.answer(entry.digest, entry.signers):
                is_of_use = True
                if not account.answers.take(len(body), self._clock()):
                    self._withheld += 1  # no fault: who was away for long has much to ask, and asks again
                    return
                self._answers += 1
                await self._push(received.peer_id, kind, body)
        if not is_of_use:
            raise Refused(
                Reason.USELESS_WANT, "nothing of what was asked for is held; ask for what was listed"
            )

    async def take_signatures(self, answer: Signatures, received: Received) -> None:
        """Hand on what was asked for. Raises Refused."""
        self.require_asked(received.peer_id, answer.alert.digest(), answer.signers())
        self._deliver(answer, received.peer_id)
        self._pulled += len(answer.signatures)

    def require_asked(self, peer_id: PeerId, digest: Digest, signers: Signers) -> None:
        """Raises Refused unless this peer was asked for these signatures, and has not answered yet."""
        if not self._asked.answered(peer_id, digest, signers):
            raise Refused(
                Reason.UNASKED, f"peer {peer_id} was not asked for these signatures over {digest.hex()}"
            )

    # --- within

    def _look(self) -> list[tuple[Seconds, Entry]]:
        """What is held, looked at not long ago."""
        now = self._clock()
        if now - self._looked_at >= LOOK_SECONDS:
            self._seen, self._looked_at = list(self._holdings.held()), now
        return self._seen

    def _choose_buckets(
        self, differing: list[int], held: Iterable[tuple[Seconds, Entry]], bits: int
    ) -> list[int]:
        """As many as an answer may have, of those that differ."""
        newest: dict[int, Seconds] = {}
        for observed_at, entry in held:
            bucket = compute_bucket(entry.digest, bits)
            newest[bucket] = max(observed_at, newest.get(bucket, observed_at))
        differing = sorted(differing, key=lambda bucket: -newest.get(bucket, 0))
        return self._newest_and_some(differing, INVENTORIES_PER_SUMMARY)

    def _list(self, held: Iterable[tuple[Seconds, Entry]], bits: int, bucket: int) -> Inventory:
        """What is held in one bucket, or as much of it as an inventory may have."""
        inside = [each for each in held if compute_bucket(each[1].digest, bits) == bucket]
        inside.sort(key=lambda each: (-each[0], each[1].digest))
        listed = self._newest_and_some([entry for _, entry in inside], MAX_ENTRIES)
        listed.sort(key=lambda entry: entry.digest)
        return Inventory(bits=bits, bucket=bucket, entries=tuple(listed))

    def _newest_and_some(self, newest_first: list[T], limit: int) -> list[T]:
        """Half of the room for the newest, half by chance: a flood of new ones hides no old one for long."""
        if len(newest_first) <= limit:
            return newest_first
        half = limit // 2
        return newest_first[:half] + self._jitter.sample(newest_first[half:], limit - half)

    def _charge_question(self, received: Received) -> None:
        if not self._account(received.peer_id).questions.take(len(received.payload), self._clock()):
            raise Refused(
                Reason.QUESTIONS_OVER_BUDGET,
                f"a peer may ask {QUESTIONS.messages_per_second:.0f} times a second; wait",
            )

    def _account(self, peer_id: PeerId) -> _Account:
        if peer_id not in self._accounts:
            if len(self._accounts) >= MAX_PEERS:
                del self._accounts[next(iter(self._accounts))]
            now = self._clock()
            self._accounts[peer_id] = _Account(
                questions=Bucket.full(QUESTIONS, now), answers=Bucket.full(ANSWERS, now)
            )
        return self._accounts[peer_id]
