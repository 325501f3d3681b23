"""The only holder of the BLS key: it signs an alert after the journal holds it, and never otherwise."""

from __future__ import annotations

from consensus.alert import Alert
from consensus.attestation import Attestation, attest
from consensus.bls import PublicKey, SecretKey
from consensus.errors import Reason, Refused
from consensus.types import OperatorIndex
from node.attest.journal import Journal


class Signer:
    """Signs alerts as one operator. The journal must be the key's own."""

    def __init__(self, secret: SecretKey, journal: Journal) -> None:
        self._secret = secret
        self._journal = journal
        self.public_key: PublicKey = secret.public_key()
        if journal.public_key != self.public_key:
            raise Refused(
                Reason.WRONG_KEY,
                f"the journal is that of key {journal.public_key.to_bytes().hex()[:16]}…, the signer "
                f"holds {self.public_key.to_bytes().hex()[:16]}…; open the journal of this key",
            )

    async def attest(self, alert: Alert, operator_index: OperatorIndex) -> Attestation:
        """The alert, signed. Signing the same alert again gives the same bytes.

        Raises `Refused` (SLOT_ALREADY_SIGNED) when the slot was signed with another digest, and `Broken`
        when the journal cannot be written.
        """
        # The order is the whole point: a signature that exists before its row is durable can be made twice.
        await self._journal.record(
            alert.digest(), network_id=alert.network_id, epoch=alert.epoch, slot_id=alert.slot_id()
        )
        return attest(alert, operator_index, self._secret)

    def __repr__(self) -> str:
        return f"Signer({self.public_key.to_bytes().hex()[:16]}…)"
