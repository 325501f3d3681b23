"""What this watcher has to offer to peers that compare: the verified signatures that its tally holds."""

from collections.abc import Iterable
from typing import Protocol

from consensus.partial import compute_signers, encode_partial, indices_of
from consensus.reconciliation import Entry, compute_answers, encode_signatures
from consensus.tally import Tally
from consensus.types import Digest, Seconds, Signers
from node.gossip.frames import Kind


class Holdings(Protocol):
    """Where the reconciler looks what is held, and gets what peers ask for."""

    def held(self) -> Iterable[tuple[Seconds, Entry]]:
        """Every open digest with its signers, and when its alert was observed."""
        ...

    def signers(self, digest: Digest) -> Signers:
        """Whose signatures over it are held; none for an unknown one."""
        ...

    def answer(self, digest: Digest, wanted: Signers) -> Iterable[tuple[Kind, bytes]]:
        """Frames that together carry the wanted signatures, as far as they are held."""
        ...


class TallyHoldings:
    """The tally's own; what it holds it has verified, so nobody is handed what we would be blamed for."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def held(self) -> Iterable[tuple[Seconds, Entry]]:
        for digest in self._tally.open_digests():
            alert, signers = self._tally.alert(digest), self.signers(digest)
            if alert is not None and signers:
                yield alert.observed_at, Entry(digest=digest, signers=signers)

    def signers(self, digest: Digest) -> Signers:
        return self._tally.covered(digest)

    def answer(self, digest: Digest, wanted: Signers) -> Iterable[tuple[Kind, bytes]]:
        """Single signatures where we have them; for the others the sum that they are part of."""
        indices = frozenset(indices_of(wanted))
        singles = [each for each in self._tally.attestations(digest) if each.operator_index in indices]
        for answer in compute_answers(singles):
            yield Kind.SIGNATURES, encode_signatures(answer)
        rest = wanted & self.signers(digest) & ~compute_signers(each.operator_index for each in singles)
        merged = self._tally.merged(digest) if rest else None
        if merged is not None:
            yield Kind.PARTIAL_CERTIFICATE, encode_partial(merged)
