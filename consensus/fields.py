"""Bounds of single fields: widths of integers, lengths of byte strings, the form of addresses.

Every frozen type calls these in `__post_init__`, so that no value out of its Solidity type's range exists.
"""

from functools import lru_cache

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from consensus.errors import Reason, Refused
from consensus.types import Address

WORD_BYTES = 32
ADDRESS_BYTES = 20


def require_uint(name: str, value: object, bits: int) -> None:
    """Raise Refused unless `value` is an int (no bool) of at most `bits` bits."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise Refused(Reason.WRONG_TYPE, f"{name} must be an integer, came {type(value).__name__}")
    if not 0 <= value < 1 << bits:
        raise Refused(Reason.OUT_OF_RANGE, f"{name} must fit uint{bits}, came {value}")


def require_bytes(name: str, value: object, length: int) -> None:
    """Raise Refused unless `value` is `bytes` of exactly `length`."""
    if not isinstance(value, bytes):
        raise Refused(Reason.WRONG_TYPE, f"{name} must be bytes, came {type(value).__name__}")
    if len(value) != length:
        raise Refused(Reason.WRONG_LENGTH, f"{name} must have {length} bytes, came {len(value)}")


def require_address(name: str, value: object) -> None:
    """Raise Refused unless `value` is an EIP-55 checksummed address."""
    if not isinstance(value, str):
        raise Refused(Reason.WRONG_TYPE, f"{name} must be a checksummed address, came {type(value).__name__}")
    if len(value) != 2 + 2 * ADDRESS_BYTES:
        raise Refused(Reason.WRONG_LENGTH, f"{name} must have 42 characters, came {len(value)}")
    try:
        expected = address_from_bytes(bytes.fromhex(value[2:]))
    except ValueError:
        raise Refused(Reason.WRONG_TYPE, f"{name} must be hexadecimal, came {value!r}") from None
    if value != expected:
        raise Refused(Reason.NOT_CHECKSUMMED, f"{name} must be {expected} (EIP-55), came {value}")


@lru_cache(maxsize=4096)  # one keccak per address otherwise; alerts name the same guardians again and again
def address_from_bytes(raw: bytes) -> Address:
    """The EIP-55 form of 20 raw bytes."""
    require_bytes("address", raw, ADDRESS_BYTES)
    return Address(str(to_checksum_address(raw)))


def address_from_hex(text: str) -> Address:
    """The EIP-55 form of an address in hexadecimal with 0x, whatever its case."""
    return address_from_bytes(bytes.fromhex(text[2:]))


def address_to_bytes(address: Address) -> bytes:
    """The 20 raw bytes of an address."""
    return bytes.fromhex(address[2:])


def keccak256(data: bytes) -> bytes:
    """Keccak-256 as on chain (not SHA3-256)."""
    return bytes(keccak(data))
