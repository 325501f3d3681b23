"""Who was asked for which signatures: what may be asked again, and what comes as an answer.

Pure: the clock comes from outside. Bounded: beyond `max_digests` the oldest question is forgotten.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from consensus.types import Digest, Signers
from node.gossip.transport import PeerId

PATIENCE_SECONDS = 2.0
"""How long a peer may take before another one is asked for the same."""
SILENCE_SECONDS = 8.0
"""How long the one that did not answer is passed over for this digest, where it has not answered in time."""
ANSWERABLE_SECONDS = 60.0
"""How long an answer is taken for one: a peer that was frozen for less than this is no liar."""
NO_SIGNERS = Signers(0)


@dataclass(slots=True)
class _Question:
    signers: Signers
    at: float


@dataclass(slots=True)
class _Open:
    """What was asked about one digest, by peer, and which signers to leave alone until when."""

    by_peer: dict[PeerId, _Question] = field(default_factory=dict)
    resting: Signers = NO_SIGNERS
    rests_until: float = 0.0


class Asked:
    """The questions that are open.

    Args:
        clock: seconds that never run backwards.
        max_digests: about how many digests questions are remembered.
    """

    def __init__(self, clock: Callable[[], float], *, max_digests: int = 8_192) -> None:
        self._clock = clock
        self._max_digests = max_digests
        self._open: OrderedDict[Digest, _Open] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def choose(self, peer_id: PeerId, digest: Digest, missing: Signers) -> Signers:
        """Which of the missing signatures to ask this peer for now; remembered as asked."""
        now, entry = self._clock(), self._open.get(digest)
        if entry is not None:
            own = entry.by_peer.get(peer_id)
            if own is not None and now - own.at < SILENCE_SECONDS:
                return NO_SIGNERS
            missing = Signers(missing & ~self._in_flight(entry, now))
        if not missing:
            return NO_SIGNERS
        entry = self._entry(digest)
        entry.by_peer = {
            peer: question
            for peer, question in entry.by_peer.items()
            if now - question.at < ANSWERABLE_SECONDS
        }
        entry.by_peer[peer_id] = _Question(missing, now)
        return missing

    def answered(self, peer_id: PeerId, digest: Digest, signers: Signers) -> bool:
        """Whether this peer was asked for all of these; each is answered once."""
        entry = self._open.get(digest)
        question = None if entry is None else entry.by_peer.get(peer_id)
        if entry is None or question is None or signers & ~question.signers:
            return False
        if self._clock() - question.at >= ANSWERABLE_SECONDS:
            return False
        question.signers = Signers(question.signers & ~signers)
        if not question.signers:
            del entry.by_peer[peer_id]
        return True

    def rest(self, digest: Digest, signers: Signers) -> None:
        """Do not ask for these for a while: they came, and could not be used."""
        entry, now = self._entry(digest), self._clock()
        entry.resting = Signers(signers | (entry.resting if now < entry.rests_until else 0))
        entry.rests_until = now + ANSWERABLE_SECONDS

    def _in_flight(self, entry: _Open, now: float) -> Signers:
        """What somebody has been asked for just now, or what is left alone."""
        found = entry.resting if now < entry.rests_until else NO_SIGNERS
        for question in entry.by_peer.values():
            if now - question.at < PATIENCE_SECONDS:
                found = Signers(found | question.signers)
        return found

    def _entry(self, digest: Digest) -> _Open:
        if digest not in self._open:
            while len(self._open) >= self._max_digests:
                self._open.popitem(last=False)
            self._open[digest] = _Open()
        return self._open[digest]
