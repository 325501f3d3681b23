"""How two peers find out what one of them lacks: four messages, from the shortest to the longest.

    Summary      a root for each bucket of digests: equal roots, nothing to say
    Inventory    of one bucket: each digest, and whose signatures over it are held
    Want         what of it is lacking
    Signatures   the answer: an alert once, and the signatures that were asked for

A digest belongs to the bucket that its first bits name, so both sides cut alike without a word about it.
Signers are a bitmap: bit i stands for operator i of the alert's epoch, on the wire least byte first without
zero bytes at its end. Codecs are canonical and bounded, like `consensus.attestation`'s.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from consensus.alert import Alert
from consensus.alert_codec import decode_alert, encode_alert, read_alert_bytes
from consensus.attestation import Attestation
from consensus.bls import Signature
from consensus.errors import Reason, Refused
from consensus.fields import require_bytes, require_uint
from consensus.operators import MAX_OPERATORS
from consensus.partial import compute_signers, pack_signers
from consensus.types import Digest, OperatorIndex, Signers
from consensus.wire import pack, pack_head, read_field_count, reading, require_canonical

MAX_BUCKET_BITS = 6
"""64 buckets: a tally that is full to the brim (16,384 slots) has some 256 digests in each."""
MAX_ENTRIES = 256
MAX_SIGNATURES = 64
"""In one answer: some 10 ms of reading points. More go in several."""
ROOT_BYTES = 16

_DIGEST_BYTES = 32
_SIGNATURE_BYTES = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A digest and some of its signers, at least one."""

    digest: Digest
    signers: Signers

    def __post_init__(self) -> None:
        require_bytes("digest", self.digest, _DIGEST_BYTES)
        require_uint("signers", self.signers, MAX_OPERATORS)
        if not self.signers:
            raise Refused(Reason.EMPTY_LIST, "an entry names at least one signer, names none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The roots of all 2**bits buckets, in order."""

    bits: int
    roots: tuple[bytes, ...]

    def __post_init__(self) -> None:
        _require_bits(self.bits)
        if len(self.roots) != 1 << self.bits:
            raise Refused(
                Reason.WRONG_LENGTH, f"{self.bits} bits make {1 << self.bits} roots, came {len(self.roots)}"
            )
        for root in self.roots:
            require_bytes("root", root, ROOT_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What is held in one of 2**bits buckets, in order of digests; up to MAX_ENTRIES of it."""

    bits: int
    bucket: int
    entries: tuple[Entry, ...]

    def __post_init__(self) -> None:
        _require_bits(self.bits)
        require_uint("bucket", self.bucket, MAX_BUCKET_BITS)
        _require_increasing(self.entries)
        for entry in self.entries:
            if compute_bucket(entry.digest, self.bits) != self.bucket:
                raise Refused(
                    Reason.OUT_OF_RANGE,
                    f"digest {entry.digest.hex()} is not of bucket {self.bucket} at {self.bits} bits",
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """Signatures that are asked for, in order of digests; at least one and up to MAX_ENTRIES digests."""

    entries: tuple[Entry, ...]

    def __post_init__(self) -> None:
        if not self.entries:
            raise Refused(Reason.EMPTY_LIST, "a want asks for at least one digest, asks for none")
        _require_increasing(self.entries)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signatures:
    """An alert and some operators' signatures over it, in order of their indices; at least one.

    Signatures are bytes here: to read a point costs more than all the rest, so whoever asked sees first
    whether it did (`read_attestations`).
    """

    alert: Alert
    signatures: tuple[tuple[OperatorIndex, bytes], ...]

    def __post_init__(self) -> None:
        if not self.signatures:
            raise Refused(Reason.EMPTY_LIST, "an answer holds at least one signature, holds none")
        if len(self.signatures) > MAX_SIGNATURES:
            raise Refused(
                Reason.OVERSIZED,
                f"an answer has up to {MAX_SIGNATURES} signatures, came {len(self.signatures)}",
            )
        previous = -1
        for index, signature in self.signatures:
            require_uint("operator_index", index, 16)
            require_bytes("signature", signature, _SIGNATURE_BYTES)
            if not previous < index < MAX_OPERATORS:
                raise Refused(
                    Reason.ENTRIES_INVALID,
                    f"indices must increase strictly below {MAX_OPERATORS}, came {index} after {previous}",
                )
            previous = index

    def signers(self) -> Signers:
        """Whose signatures these are said to be."""
        return compute_signers(index for index, _ in self.signatures)

    def read_attestations(self) -> tuple[Attestation, ...]:
        """The same as attestations. Raises Refused for bytes that are no point."""
        return tuple(
            Attestation(alert=self.alert, operator_index=index, signature=Signature(signature))
            for index, signature in self.signatures
        )


def compute_bucket(digest: Digest, bits: int) -> int:
    """The first `bits` bits of the digest."""
    return digest[0] >> (8 - bits)


def compute_bits(count: int) -> int:
    """How many bits keep a bucket of so many digests at half of what an inventory holds."""
    bits = 0
    while bits < MAX_BUCKET_BITS and count > (MAX_ENTRIES // 2) << bits:
        bits += 1
    return bits


def compute_summary(entries: Iterable[Entry], bits: int) -> Summary:
    """The roots over what is held: sha256 of digests and 32-byte bitmaps in order, its first 16 bytes."""
    hashes = [hashlib.sha256() for _ in range(1 << bits)]
    for entry in sorted(entries, key=lambda each: each.digest):
        hashes[compute_bucket(entry.digest, bits)].update(entry.digest + entry.signers.to_bytes(32, "little"))
    return Summary(bits=bits, roots=tuple(each.digest()[:ROOT_BYTES] for each in hashes))


def compute_answers(attestations: Sequence[Attestation]) -> tuple[Signatures, ...]:
    """Attestations over one alert, in order of their indices, as answers that fit the wire."""
    return tuple(
        Signatures(
            alert=attestations[0].alert,
            signatures=tuple(
                (each.operator_index, each.signature.compressed)
                for each in attestations[at : at + MAX_SIGNATURES]
            ),
        )
        for at in range(0, len(attestations), MAX_SIGNATURES)
    )


# --- the wire


def encode_summary(summary: Summary) -> bytes:
    """[bits, roots in one string of bytes]."""
    return pack([summary.bits, b"".join(summary.roots)])


def decode_summary(data: bytes) -> Summary:
    """Parse a stranger's bytes, at most `frames.MAX_BODY_BYTES` long. Raises Refused; never anything else."""
    with reading("a summary", data) as unpacker:
        read_field_count(unpacker, "a summary", 2)
        bits, joined = unpacker.unpack(), unpacker.unpack()
    if not isinstance(joined, bytes):
        raise Refused(Reason.WRONG_TYPE, f"roots must be bytes, came {type(joined).__name__}")
    if len(joined) % ROOT_BYTES:
        raise Refused(Reason.WRONG_LENGTH, f"roots have {ROOT_BYTES} bytes each, came {len(joined)}")
    roots = tuple(joined[at : at + ROOT_BYTES] for at in range(0, len(joined), ROOT_BYTES))
    summary = Summary(bits=bits, roots=roots)
    require_canonical("a summary", data, encode_summary(summary))
    return summary


def encode_inventory(inventory: Inventory) -> bytes:
    """[bits, bucket, digest, signers, digest, signers, …]."""
    return pack_head(2 + 2 * len(inventory.entries)) + b"".join(
        (pack(inventory.bits), pack(inventory.bucket), *map(_encode_entry, inventory.entries))
    )


def decode_inventory(data: bytes) -> Inventory:
    """Parse a stranger's bytes, at most `frames.MAX_BODY_BYTES` long. Raises Refused; never anything else."""
    with reading("an inventory", data) as unpacker:
        count = _read_pairs(unpacker, "an inventory", before=2)
        bits, bucket = unpacker.unpack(), unpacker.unpack()
        entries = tuple(_read_entry(unpacker) for _ in range(count))
    _require_bits(bits)
    inventory = Inventory(bits=bits, bucket=bucket, entries=entries)
    require_canonical("an inventory", data, encode_inventory(inventory))
    return inventory


def encode_want(want: Want) -> bytes:
    """[digest, signers, digest, signers, …]."""
    return pack_head(2 * len(want.entries)) + b"".join(map(_encode_entry, want.entries))


def decode_want(data: bytes) -> Want:
    """Parse a stranger's bytes, at most `frames.MAX_BODY_BYTES` long. Raises Refused; never anything else."""
    with reading("a want", data) as unpacker:
        count = _read_pairs(unpacker, "a want", before=0)
        entries = tuple(_read_entry(unpacker) for _ in range(count))
    want = Want(entries=entries)
    require_canonical("a want", data, encode_want(want))
    return want


def encode_signatures(answer: Signatures) -> bytes:
    """[alert, index, signature, index, signature, …]."""
    return pack_head(1 + 2 * len(answer.signatures)) + b"".join(
        (
            encode_alert(answer.alert),
            *(pack(index) + pack(signature) for index, signature in answer.signatures),
        )
    )


def decode_signatures(data: bytes) -> Signatures:
    """Parse a stranger's bytes, at most `frames.MAX_BODY_BYTES` long. Raises Refused; never anything else."""
    with reading("an answer", data) as unpacker:
        count = _read_pairs(unpacker, "an answer", before=1)
        alert_bytes = read_alert_bytes(unpacker, data)
        pairs = tuple((unpacker.unpack(), unpacker.unpack()) for _ in range(count))
    answer = Signatures(alert=decode_alert(alert_bytes), signatures=pairs)
    require_canonical("an answer", data, encode_signatures(answer))
    return answer


def _read_pairs(unpacker: Any, what: str, *, before: int) -> int:
    """How many pairs of values follow after the first `before` ones."""
    count = unpacker.read_array_header()
    if count < before or (count - before) % 2:
        raise Refused(Reason.WRONG_LENGTH, f"{what} has {before} fields and pairs after them, came {count}")
    pairs: int = (count - before) // 2
    if pairs > MAX_ENTRIES:
        raise Refused(Reason.OVERSIZED, f"{what} has up to {MAX_ENTRIES} entries, came {pairs}")
    return pairs


def _encode_entry(entry: Entry) -> bytes:
    return pack(entry.digest) + pack_signers(entry.signers)


def _read_entry(unpacker: Any) -> Entry:
    digest, bitmap = unpacker.unpack(), unpacker.unpack()
    require_bytes("digest", digest, _DIGEST_BYTES)
    if not isinstance(bitmap, bytes):
        raise Refused(Reason.WRONG_TYPE, f"signers must be bytes, came {type(bitmap).__name__}")
    return Entry(digest=Digest(digest), signers=Signers(int.from_bytes(bitmap, "little")))


def _require_bits(bits: int) -> None:
    require_uint("bits", bits, 8)
    if bits > MAX_BUCKET_BITS:
        raise Refused(Reason.OUT_OF_RANGE, f"buckets have up to {MAX_BUCKET_BITS} bits, came {bits}")


def _require_increasing(entries: tuple[Entry, ...]) -> None:
    if len(entries) > MAX_ENTRIES:
        raise Refused(Reason.OVERSIZED, f"up to {MAX_ENTRIES} entries are listed, came {len(entries)}")
    for before, after in pairwise(entries):
        if before.digest >= after.digest:
            raise Refused(Reason.ENTRIES_INVALID, "digests must increase strictly, do not")
