"""One signer from its files to its socket: the whole process behind `tocsin signer run`."""

from __future__ import annotations

from pathlib import Path

import structlog
import trio

from consensus.bls import SecretKey
from node.attest.journal import open_journal
from node.attest.keystore import load_bls_keystore, read_password
from node.attest.pairing import Role, read_pair
from node.attest.service import SignerService, listening
from node.attest.signer import Signer

_log = structlog.get_logger("signer")


async def run_signer(*, keystore: Path, password_file: Path, journal: Path, socket: Path, pair: Path) -> None:
    """Serve signatures until cancelled.

    Raises `Refused` for what is missing, exposed, locked or of another key, and `Broken` when the journal
    does not write any more.
    """
    pairing = await trio.to_thread.run_sync(lambda: read_pair(pair, Role.SIGNER))

    def load() -> SecretKey:
        return load_bls_keystore(keystore, read_password(password_file))

    secret = await trio.to_thread.run_sync(load)
    async with open_journal(journal, secret.public_key()) as opened, listening(socket) as listener:
        for cause in await opened.causes():
            _log.warning("journal.armed", detail=cause)
        _log.info(
            "signer.ready", public_key=secret.public_key().to_bytes()[:8], rows=opened.statistics().rows
        )
        await SignerService(Signer(secret, opened), opened, pairing).run(listener)
