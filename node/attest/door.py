"""The door to the key: whoever wants a signature asks here, and never sees what makes it.

Behind it is the key with its journal: in this process (`Signer`), or in one of its own (`RemoteSigner`).
"""

from __future__ import annotations

from typing import Protocol

from consensus.alert import Alert
from consensus.attestation import Attestation
from consensus.bls import PublicKey, Signature
from consensus.handover import Handover
from consensus.partial import Contribution
from consensus.types import BlockNumber, OperatorIndex


class SigningDoor(Protocol):
    """What signs with one BLS key. It signs one digest for a slot, and one handover for an epoch.

    Each request raises `Refused` when it may not be signed, for ever, and `Unavailable` when it could not be
    signed now: there is no space for its row, or the process with the key does not answer. Then nothing was
    signed, and asking again is right.
    """

    @property
    def public_key(self) -> PublicKey:
        """The key that signs. Raises `Unavailable` before the process that holds it was first reached."""
        ...

    async def attest(self, alert: Alert, operator_index: OperatorIndex, *, since: BlockNumber) -> Attestation:
        """The alert, signed; the same bytes however often it is asked.

        `since` is the head that this watcher began with on the alert's source chain. After the journal was
        moved or restored, nothing at or below it is signed that the journal does not hold.
        """
        ...

    async def hand_over(self, handover: Handover) -> Signature:
        """The handover, signed under its own tag; the same bytes however often it is asked."""
        ...

    async def witness(self, contribution: Contribution) -> None:
        """Look at a signature in our name that came from elsewhere, alone or merged with others'.

        Raises `Refused` (SIGNED_ELSEWHERE) when it is this key's and the journal does not know of it: the key
        is used by another process, or the journal is an old copy. The row is taken into the journal first. A
        merged signature cannot be checked by one key: the tally has done so.
        """
        ...
