"""Opens the door to the key that a configuration names: in this process, or in a signer of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
import trio

from consensus.errors import Unavailable
from node.attest.door import SigningDoor
from node.attest.journal import open_journal
from node.attest.pairing import Role, read_pair
from node.attest.remote import RemoteSigner
from node.attest.signer import Signer
from node.config import Config
from node.keys import JOURNAL_FILE, open_bls_key, require_bls_keystore

_log = structlog.get_logger("attest")


@asynccontextmanager
async def open_signing_door(config: Config) -> AsyncIterator[SigningDoor]:
    """The door, as long as the block lasts.

    Raises `Refused` for keystore, journal or pairing. A signer that is not there yet is waited for by what is
    to be signed: this watcher carries others' certificates meanwhile.
    """
    if config.signer.socket is None or config.signer.pair is None:
        secret = await open_bls_key(require_bls_keystore(config.keys), config.keys.password_file)
        async with open_journal(config.data_directory / JOURNAL_FILE, secret.public_key()) as journal:
            for cause in await journal.causes():
                _log.warning("journal.armed", detail=cause)
            yield Signer(secret, journal)
        return
    remote = RemoteSigner(config.signer.socket, read_pair(config.signer.pair, Role.WATCHER))
    try:
        await remote.greet()
    except Unavailable as error:
        _log.error("signing.unavailable", detail=str(error), waiting=0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(remote.stay_connected)
        try:
            yield remote
        finally:
            nursery.cancel_scope.cancel()
            await remote.aclose()
