"""MessagePack as peers speak it: within hard limits, in one form, with nothing left over.

What is common to the codecs of every message; each says itself what its fields mean.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgpack  # type: ignore[import-untyped]

from consensus.alert import MAX_ACTIONS, MAX_PARAMS_BYTES
from consensus.errors import Reason, Refused


def pack(value: object) -> bytes:
    """The shortest MessagePack form of integers, bytes and lists of them."""
    return bytes(msgpack.packb(value, use_bin_type=True))


def pack_head(count: int) -> bytes:
    """The head of an array of so many values."""
    return bytes(msgpack.Packer().pack_array_header(count))


@contextmanager
def reading(what: str, data: bytes, *, max_bytes: int = MAX_PARAMS_BYTES) -> Iterator[Any]:
    """A parser over a stranger's bytes within hard limits; every byte must have been read at the end.
    `max_bytes` is the longest string of bytes within.

    Raises Refused: TRUNCATED, MALFORMED or TRAILING_BYTES. The caller has checked the length.
    """
    unpacker = msgpack.Unpacker(
        use_list=True,
        raw=False,
        strict_map_key=True,
        max_buffer_size=max(1, len(data)),
        max_str_len=0,
        max_bin_len=max_bytes,
        max_array_len=MAX_ACTIONS,
        max_map_len=0,
        max_ext_len=0,
    )
    try:
        unpacker.feed(data)
        yield unpacker
    except msgpack.OutOfData:
        raise Refused(Reason.TRUNCATED, f"{what} ends early, after {len(data)} bytes") from None
    except (ValueError, msgpack.UnpackException) as error:
        raise Refused(Reason.MALFORMED, f"{what} must be MessagePack within limits, is not") from error
    if unpacker.tell() != len(data):
        raise Refused(Reason.TRAILING_BYTES, f"{what} ends at byte {unpacker.tell()}, came {len(data)} bytes")


def read_field_count(unpacker: Any, what: str, expected: int) -> None:
    """Step over an array's head. Raises Refused (WRONG_LENGTH) unless it has so many values."""
    require_field_count(what, unpacker.read_array_header(), expected)


def require_field_count(what: str, count: int, expected: int) -> None:
    """Raises Refused (WRONG_LENGTH) unless there are so many fields."""
    if count != expected:
        raise Refused(Reason.WRONG_LENGTH, f"{what} has {expected} fields, came {count}")


def fields_of(what: str, value: Any, expected: int) -> list[Any]:
    """The fields of a parsed array. Raises Refused: WRONG_TYPE or WRONG_LENGTH."""
    fields = list_of(what, value)
    require_field_count(what, len(fields), expected)
    return fields


def list_of(what: str, value: Any) -> list[Any]:
    """A parsed array. Raises Refused (WRONG_TYPE)."""
    if not isinstance(value, list):
        raise Refused(Reason.WRONG_TYPE, f"{what} must be an array, came {type(value).__name__}")
    return value


def require_size(what: str, data: bytes, most: int) -> None:
    """Raises Refused (OVERSIZED) for more bytes than `most`; before anything is parsed."""
    if len(data) > most:
        raise Refused(Reason.OVERSIZED, f"{what} may have {most} bytes, came {len(data)}")


def require_canonical(what: str, data: bytes, encoded: bytes) -> None:
    """Raises Refused (NOT_CANONICAL) unless what came is how we would have written it."""
    if encoded != data:
        raise Refused(
            Reason.NOT_CANONICAL, f"{what} must be in the shortest MessagePack form, is in a longer"
        )
