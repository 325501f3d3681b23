"""The only holder of the BLS key: it signs what the journal holds already, and never anything else."""

from __future__ import annotations

from consensus.alert import Alert
from consensus.attestation import Attestation, attest
from consensus.bls import PublicKey, Purpose, SecretKey, Signature, sign, verify
from consensus.errors import Reason, Refused
from consensus.handover import Handover
from consensus.partial import Contribution
from consensus.types import BlockNumber, Digest, OperatorIndex
from node.attest.journal import Entry, Journal


class Signer:
    """The door to the key where that is in this process. The journal must be the key's own."""

    def __init__(self, secret: SecretKey, journal: Journal) -> None:
        self._secret = secret
        self._journal = journal
        self._public_key = secret.public_key()
        if journal.public_key != self._public_key:
            raise Refused(
                Reason.WRONG_KEY,
                f"the journal is that of key {journal.public_key.to_bytes().hex()[:16]}…, the signer "
                f"holds {self._public_key.to_bytes().hex()[:16]}…; open the journal of this key",
            )

    @property
    def public_key(self) -> PublicKey:
        return self._public_key

    async def attest(self, alert: Alert, operator_index: OperatorIndex, *, since: BlockNumber) -> Attestation:
        """The alert, signed. Signing the same alert again gives the same bytes.

        Raises `Refused` (SLOT_ALREADY_SIGNED, BELOW_WATERMARK), `Unavailable` without space for the row, and
        `Broken` when the journal cannot be written at all.
        """
        # The order is the whole point: a signature that exists before its row is durable can be made twice.
        await self._journal.record(
            alert.digest(), network_id=alert.network_id, epoch=alert.epoch, slot=alert.slot, since=since
        )
        return attest(alert, operator_index, self._secret)

    async def hand_over(self, handover: Handover) -> Signature:
        """The handover, signed. Raises `Refused` (HANDOVER_ALREADY_SIGNED), and else as `attest` does."""
        digest = handover.digest()
        await self._journal.record_handover(digest, network_id=handover.network_id, epoch=handover.epoch)
        return sign(self._secret, Purpose.HANDOVER, digest)

    async def witness(self, contribution: Contribution) -> None:
        """Look at a signature in our name. One alone that is not this key's is nobody's, and passes.

        Raises `Refused` (SIGNED_ELSEWHERE) after the journal has taken the row in.
        """
        alert, digest = contribution.alert, contribution.digest()
        if contribution.signers.bit_count() == 1 and not verify(
            self._public_key, Purpose.ALERT, digest, contribution.signature
        ):
            return
        try:
            entry = await self._journal.adopt(
                digest, network_id=alert.network_id, epoch=alert.epoch, slot=alert.slot
            )
        except Refused as refused:
            raise _signed_elsewhere(digest, f"which contradicts it: {refused.message}") from refused
        if entry is Entry.NEW:
            raise _signed_elsewhere(digest, "which did not know of it, and holds it now")

    def __repr__(self) -> str:
        return f"Signer({self._public_key.to_bytes().hex()[:16]}…)"


def _signed_elsewhere(digest: Digest, how: str) -> Refused:
    return Refused(
        Reason.SIGNED_ELSEWHERE,
        f"digest 0x{digest.hex()} carries this key's signature, but not by this journal, "
        f"{how}. Either another process signs with this key: stop it for good; or this journal is an "
        "old copy. Then start again",
    )
