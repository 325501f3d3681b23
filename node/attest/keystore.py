"""Keys at rest: the BLS key in an EIP-2335 keystore, transaction key and p2p identity in v3 keystores.

Three keys that are never derived from one another: who takes the p2p identity or the transaction key cannot
sign alerts. Passwords come from files, never from arguments or variables that other processes can read.
Neither a key nor a password stands in a message, a repr, or the cause of an error.

The key derivation takes about a second; call these functions in a worker thread.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any, Final

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_keyfile.exceptions import EthKeyfileValueError
from eth_keyfile.keyfile import create_keyfile_json, decode_keyfile_json

from consensus.bls import PublicKey, SecretKey
from consensus.errors import Reason, Refused
from consensus.types import Address
from node.nesting import bound_nesting
from node.private_files import PRIVATE_FILE_MODE, require_private

SCRYPT_WORK_FACTOR: Final = 262_144
"""EIP-2335's own; 256 MiB and about a second."""

MAX_SCRYPT_WORK_FACTOR: Final = 2**19
MAX_KEYSTORE_BYTES: Final = 16 * 1024
MAX_PASSWORD_BYTES: Final = 1_024
SEED_BYTES: Final = 32

_BLS_VERSION: Final = 4
_V3_VERSION: Final = 3
_BLS_DESCRIPTION: Final = "tocsin alert key: BLS12-381 min-sig, pubkey is the raw point of G2"


class IdentitySeed:
    """The 32 bytes that the p2p identity is made from. Never shown."""

    __slots__ = ("_seed",)

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise Refused(Reason.WRONG_LENGTH, f"an identity seed has {SEED_BYTES} bytes, came {len(seed)}")
        self._seed = seed

    def to_bytes(self) -> bytes:
        return self._seed

    def __repr__(self) -> str:
        return "IdentitySeed(<redacted>)"


def read_password(path: Path) -> str:
    """The first line of a password file that only its owner can read.

    Raises `Refused`: FILE_EXPOSED, or PASSWORD_INVALID when it is missing, empty, too long or not UTF-8.
    """
    content = _read_private(path, most=MAX_PASSWORD_BYTES, reason=Reason.PASSWORD_INVALID)
    try:
        password = content.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise Refused(Reason.PASSWORD_INVALID, f"{path} is not UTF-8; write the password as text") from None
    if not password or "\n" in password:
        raise Refused(Reason.PASSWORD_INVALID, f"{path} must hold the password on one line, and nothing else")
    return password


def create_bls_keystore(
    path: Path, password: str, secret: SecretKey, *, work_factor: int = SCRYPT_WORK_FACTOR
) -> PublicKey:
    """Write the BLS key to a new EIP-2335 keystore. Raises `Refused` (STORE_EXISTS)."""
    keystore = create_keyfile_json(
        secret.to_bytes(),
        password.encode(),
        version=_BLS_VERSION,
        kdf="scrypt",
        iterations=work_factor,
        description=_BLS_DESCRIPTION,
    )
    # The library writes the key's G1 form, as validators use it; ours are the points that the registry holds.
    public_key = secret.public_key()
    keystore["pubkey"] = public_key.to_bytes().hex()
    _write_new(path, keystore)
    return public_key


def load_bls_keystore(path: Path, password: str) -> SecretKey:
    """The BLS key. Raises `Refused` (WRONG_KEY) when the keystore's public key is not that of the key inside.

    A keystore whose public key lies would bind a journal to the wrong key, and the slots of this one would go
    unguarded (a bug that another signer had).
    """
    keystore = _read_keystore(path, version=_BLS_VERSION)
    named = keystore.get("pubkey")
    raw = _decrypt(path, keystore, password)
    try:
        secret = SecretKey.from_bytes(raw)
    except Refused as error:
        raise _not_a_keystore(path, f"what it holds is no BLS key ({error.reason})") from None
    if named != secret.public_key().to_bytes().hex():
        raise Refused(
            Reason.WRONG_KEY,
            f"{path} names public key {str(named)[:16]}…, the key inside has "
            f"{secret.public_key().to_bytes().hex()[:16]}…; restore the keystore, do not edit it",
        )
    return secret


def create_transaction_keystore(
    path: Path, password: str, *, work_factor: int = SCRYPT_WORK_FACTOR
) -> Address:
    """Make a transaction key and write it to a new v3 keystore. Raises `Refused` (STORE_EXISTS)."""
    account: LocalAccount = Account.create()
    _write_new(path, _seal_v3(bytes(account.key), password, work_factor=work_factor))
    return Address(account.address)


def load_transaction_keystore(path: Path, password: str) -> LocalAccount:
    """The account that pays for transactions. Raises `Refused`."""
    account: LocalAccount = Account.from_key(_open_v3(path, password))
    return account


def create_identity_keystore(
    path: Path, password: str, *, work_factor: int = SCRYPT_WORK_FACTOR
) -> IdentitySeed:
    """Make a p2p identity and write it to a new v3 keystore. Raises `Refused` (STORE_EXISTS)."""
    # The v3 format takes secp256k1 keys only; that these bytes are one has no meaning for the identity.
    seed = bytes(Account.create(secrets.token_hex(SEED_BYTES)).key)
    _write_new(path, _seal_v3(seed, password, work_factor=work_factor))
    return IdentitySeed(seed)


def load_identity_keystore(path: Path, password: str) -> IdentitySeed:
    """The seed of the p2p identity. Raises `Refused`."""
    return IdentitySeed(_open_v3(path, password))


def _seal_v3(secret: bytes, password: str, *, work_factor: int) -> dict[str, Any]:
    keystore: dict[str, Any] = create_keyfile_json(
        secret, password.encode(), version=_V3_VERSION, kdf="scrypt", iterations=work_factor
    )
    return keystore


def _open_v3(path: Path, password: str) -> bytes:
    keystore = _read_keystore(path, version=_V3_VERSION)
    secret = _decrypt(path, keystore, password)
    try:
        address = Account.from_key(secret).address
    except Exception:  # noqa: BLE001 - the library's errors hold the key that they refuse
        raise _not_a_keystore(path, "what it holds is no key") from None
    named = str(keystore.get("address", "")).lower().removeprefix("0x")
    if named != address.lower().removeprefix("0x"):
        raise Refused(
            Reason.WRONG_KEY,
            f"{path} names address 0x{named[:40]}, the key inside has {address}; restore the keystore",
        )
    return secret


def _decrypt(path: Path, keystore: dict[str, Any], password: str) -> bytes:
    try:
        return bytes(decode_keyfile_json(keystore, password.encode()))
    except EthKeyfileValueError:
        raise Refused(
            Reason.KEYSTORE_LOCKED,
            f"the password does not open {path}; point to the password file made with it",
        ) from None
    except Exception:  # noqa: BLE001 - the library parses unchecked: whatever it raises, the file is at fault
        raise _not_a_keystore(path, "fields are missing or of another type") from None


def _read_keystore(path: Path, *, version: int) -> dict[str, Any]:
    content = _read_private(path, most=MAX_KEYSTORE_BYTES, reason=Reason.KEYSTORE_INVALID)
    bound_nesting()
    try:
        keystore = json.loads(content)
    except (ValueError, RecursionError):
        raise _not_a_keystore(path, "it is not JSON") from None
    if not isinstance(keystore, dict) or keystore.get("version") != version:
        raise _not_a_keystore(path, f"expected version {version}")
    _require_bounded_work(path, keystore)
    return keystore


def _require_bounded_work(path: Path, keystore: dict[str, Any]) -> None:
    """Refuse a keystore whose derivation would take the machine's memory."""
    crypto = keystore.get("crypto")
    kdf = crypto.get("kdf") if isinstance(crypto, dict) else None
    # EIP-2335 keeps {function, params} in `kdf`; v3 keeps the name there and the parameters beside it.
    function, params = (
        (kdf.get("function"), kdf.get("params"))
        if isinstance(kdf, dict)
        else (kdf, crypto.get("kdfparams") if isinstance(crypto, dict) else None)
    )
    if function != "scrypt" or not isinstance(params, dict):
        raise _not_a_keystore(path, "expected the key derivation scrypt")
    work = [params.get(name) for name in ("n", "r", "p", "dklen")]
    limits = (MAX_SCRYPT_WORK_FACTOR, 8, 8, 32)
    if any(
        type(value) is not int or not 1 <= value <= limit for value, limit in zip(work, limits, strict=True)
    ):
        raise _not_a_keystore(path, f"scrypt's n, r, p, dklen may be up to {limits}")


def _read_private(path: Path, *, most: int, reason: Reason) -> bytes:
    try:
        require_private(path)
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise Refused(reason, f"{path} cannot be read: {error.strerror}") from None
    if len(content) > most:
        raise Refused(reason, f"{path} has more than {most} bytes")
    return content


def _write_new(path: Path, keystore: dict[str, Any]) -> None:
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE_MODE)
    except FileExistsError:
        raise Refused(
            Reason.STORE_EXISTS,
            f"{path} exists and is not overwritten; a key that is lost cannot be made again",
        ) from None
    except OSError as error:
        raise Refused(
            Reason.STORE_MISSING,
            f"{path} cannot be created ({error.strerror}); make its directory, owned by this user",
        ) from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(json.dumps(keystore, indent=2).encode())
        file.flush()
        os.fsync(file.fileno())


def _not_a_keystore(path: Path, finding: str) -> Refused:
    return Refused(
        Reason.KEYSTORE_INVALID,
        f"{path} is not a keystore of the expected kind: {finding}; restore it from a copy",
    )
