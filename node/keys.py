"""An operator's three keys and its journal: made together once, opened together at every start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trio
from eth_account.signers.local import LocalAccount

from consensus.bls import PublicKey, SecretKey
from consensus.errors import Reason, Refused
from consensus.types import Address
from node.attest.journal import create_journal
from node.attest.keystore import (
    SCRYPT_WORK_FACTOR,
    IdentitySeed,
    create_bls_keystore,
    create_identity_keystore,
    create_transaction_keystore,
    load_bls_keystore,
    load_identity_keystore,
    load_transaction_keystore,
    read_password,
)
from node.config import Keys
from node.gossip.host import peer_id_of_seed
from node.gossip.transport import PeerId

JOURNAL_FILE = "journal.sqlite"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeKeys:
    """The keys that the network-facing process needs, in memory. None of them shows itself in a repr."""

    account: LocalAccount
    identity: IdentitySeed

    @property
    def address(self) -> Address:
        """The operator's address: that of the transaction key, which registered."""
        return Address(self.account.address)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(address={self.address})"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class OpenKeys(NodeKeys):
    """All three."""

    bls: SecretKey


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKeys:
    """What is public about keys that were just made."""

    address: Address
    public_key: PublicKey
    peer_id: PeerId


async def open_keys(keys: Keys) -> OpenKeys:
    """Open the three keystores with the password in the file. Takes seconds: scrypt. Raises `Refused`."""
    return await trio.to_thread.run_sync(_open, keys)


async def open_account(keystore: Path, password_file: Path) -> LocalAccount:
    """The account alone that pays, for who signs nothing else. Takes a second: scrypt. Raises `Refused`."""
    return await trio.to_thread.run_sync(
        lambda: load_transaction_keystore(keystore, read_password(password_file))
    )


async def open_identity(keystore: Path, password_file: Path) -> IdentitySeed:
    """The p2p identity alone. Takes a second: scrypt. Raises `Refused`."""
    return await trio.to_thread.run_sync(
        lambda: load_identity_keystore(keystore, read_password(password_file))
    )


async def make_relay_keys(
    account: Path, identity: Path, password_file: Path, *, work_factor: int = SCRYPT_WORK_FACTOR
) -> tuple[Address, PeerId]:
    """Make an account and an identity for a relay. Raises `Refused` (STORE_EXISTS) rather than overwrite."""
    return await trio.to_thread.run_sync(
        lambda: _make_relay_keys(account, identity, read_password(password_file), work_factor)
    )


def _make_relay_keys(
    account: Path, identity: Path, password: str, work_factor: int
) -> tuple[Address, PeerId]:
    for path in (account, identity):
        if path.exists():
            raise Refused(
                Reason.STORE_EXISTS, f"{path} exists and is not overwritten; choose another directory"
            )
    address = create_transaction_keystore(account, password, work_factor=work_factor)
    seed = create_identity_keystore(identity, password, work_factor=work_factor)
    return address, peer_id_of_seed(seed.to_bytes())


async def open_node_keys(keys: Keys) -> NodeKeys:
    """Open all but the BLS keystore. Raises `Refused`."""
    return await trio.to_thread.run_sync(_open_node_keys, keys)


async def open_bls_key(keystore: Path, password_file: Path) -> SecretKey:
    """Open the BLS keystore alone. Raises `Refused`."""
    return await trio.to_thread.run_sync(lambda: load_bls_keystore(keystore, read_password(password_file)))


def require_bls_keystore(keys: Keys) -> Path:
    """Where the BLS keystore is. Raises `Refused` (BAD_CONFIG) where that is left to a signer."""
    if keys.bls_keystore is None:
        raise Refused(
            Reason.BAD_CONFIG,
            "expected keys.bls_keystore, which this configuration leaves to a signer; name it for this "
            "command, where the keystore is",
        )
    return keys.bls_keystore


def _open_node_keys(keys: Keys) -> NodeKeys:
    password = read_password(keys.password_file)
    return NodeKeys(
        account=load_transaction_keystore(keys.transaction_keystore, password),
        identity=load_identity_keystore(keys.p2p_keystore, password),
    )


def _open(keys: Keys) -> OpenKeys:
    password = read_password(keys.password_file)
    return OpenKeys(
        bls=load_bls_keystore(require_bls_keystore(keys), password),
        account=load_transaction_keystore(keys.transaction_keystore, password),
        identity=load_identity_keystore(keys.p2p_keystore, password),
    )


async def make_keys(keys: Keys, data_directory: Path, *, work_factor: int = SCRYPT_WORK_FACTOR) -> NewKeys:
    """Make all three keys, and the empty journal without which the BLS key may not sign.

    Raises `Refused` (STORE_EXISTS) rather than overwrite anything.
    """
    journal = data_directory / JOURNAL_FILE
    made = await trio.to_thread.run_sync(lambda: _make(keys, journal, work_factor))
    async with create_journal(journal, made.public_key):
        return made


def _make(keys: Keys, journal: Path, work_factor: int) -> NewKeys:
    # all are looked for before the first is made: half a set of keys would block the next attempt
    bls_keystore = require_bls_keystore(keys)
    for path in (bls_keystore, keys.transaction_keystore, keys.p2p_keystore, journal):
        if path.exists():
            raise Refused(
                Reason.STORE_EXISTS, f"{path} exists and is not overwritten; choose another directory"
            )
    password = read_password(keys.password_file)
    secret = SecretKey.generate()
    public_key = create_bls_keystore(bls_keystore, password, secret, work_factor=work_factor)
    address = create_transaction_keystore(keys.transaction_keystore, password, work_factor=work_factor)
    seed = create_identity_keystore(keys.p2p_keystore, password, work_factor=work_factor)
    journal.parent.mkdir(parents=True, exist_ok=True)
    return NewKeys(address=address, public_key=public_key, peer_id=peer_id_of_seed(seed.to_bytes()))
