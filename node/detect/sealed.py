"""Sealed files: a format's name, a body of plain JSON values, and a hash over both; one body has one file.

    {"body": {…}, "format": "tocsin.learned.v2", "hash": "0x…"}

The bytes are canonical JSON. A file may be a stranger's: it is measured before it is read, and refused with
its path for whatever is not of this form. The hash is no signature; it tells damage, and gives people a name
to agree on.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from consensus.errors import Reason, Refused
from consensus.fields import keccak256
from node.detect.watch import canonical

MAX_SEALED_BYTES: Final = 1 << 30  # what 1 145 transactions of NowSwap teach is 28 kB


MAX_DEPTH: Final = 11  # of lists and maps within each other in a body; ours have eight


def _value_type(depth: int) -> Any:
    """Plain values nested so deep, and no deeper.

    Told to expect anything, a decoder recurses as deep as the file says, and where some library has raised
    Python's limit, that ends the interpreter. The type doubles with each level.
    """
    scalar: Any = str | int | bool | None
    value = scalar
    for _ in range(depth):
        value = scalar | list[value] | dict[str, value]  # type: ignore[valid-type]
    return value


def _body_type() -> Any:
    value = _value_type(MAX_DEPTH - 1)
    return dict[str, value]  # type: ignore[valid-type]


_HASH: Final = Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-f]{64}\Z")]
_DECODER: Final = msgspec.json.Decoder(
    msgspec.defstruct(
        "_File",
        [("format", str), ("hash", _HASH), ("body", _body_type())],
        forbid_unknown_fields=True,
        kw_only=True,
    )
)


def seal(body: dict[str, Any], file_format: str) -> bytes:
    """The content of the file."""
    return canonical({"format": file_format, "hash": compute_seal(body, file_format), "body": body})


def compute_seal(body: dict[str, Any], file_format: str) -> str:
    """keccak256 over format and body in canonical form, as 0x and 64 digits."""
    return f"0x{keccak256(canonical([file_format, body])).hex()}"


def unseal(content: bytes, file_format: str, *, most_bytes: int | None = None) -> dict[str, Any]:
    """The body. Raises `Refused` (STATE_CORRUPT; STATE_FOREIGN for another format or version)."""
    most_bytes = MAX_SEALED_BYTES if most_bytes is None else most_bytes
    if len(content) > most_bytes:
        raise _corrupt(f"more than {most_bytes} bytes; at most so many are read here")
    try:
        file: Any = _DECODER.decode(content)
        if file.format != file_format:
            raise Refused(
                Reason.STATE_FOREIGN,
                f"expected the format {file_format}, came {file.format[:40]!r}; make the file anew with "
                "this version",
            )
        is_whole = compute_seal(file.body, file_format) == file.hash
        is_canonical = is_whole and seal(file.body, file_format) == content
    except ValueError as error:
        raise _corrupt(f"expected {file_format}: {str(error)[:200]}") from None
    if not is_whole:
        raise _corrupt(f"its content does not come to the hash {file.hash} that it names; make the file anew")
    if not is_canonical:
        raise _corrupt("expected canonical JSON, came another form; make the file anew")
    body: dict[str, Any] = file.body
    return body


def read_sealed(path: Path, file_format: str, *, most_bytes: int | None = None) -> dict[str, Any]:
    """The body of a file. Raises as `unseal` does; the message starts with the path."""
    most_bytes = MAX_SEALED_BYTES if most_bytes is None else most_bytes
    try:
        with path.open("rb") as file:
            content = file.read(most_bytes + 1)
    except OSError as error:
        raise _corrupt(f"{path}: cannot be read: {error.strerror}") from None
    try:
        return unseal(content, file_format, most_bytes=most_bytes)
    except Refused as refused:
        raise Refused(refused.reason, f"{path}: {refused.message}") from None


def write_sealed(path: Path, content: bytes) -> None:
    """Write the file whole or not at all: whoever is killed meanwhile leaves the one before.

    Raises `Refused` (STATE_CORRUPT) where it cannot be written.
    """
    beside = path.with_name(f"{path.name}.part")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise _corrupt(f"{path}: cannot be written: {error.strerror}; choose another place") from None


def _corrupt(message: str) -> Refused:
    return Refused(Reason.STATE_CORRUPT, message)
