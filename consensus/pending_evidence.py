"""What members tell each other of a pending transaction that an alert is about: its bytes, or that they lack
them.

Wire: MessagePack, canonical: [1, subject] asks for the transaction whose hash is `subject`, [2, raw] gives
one. Nothing is believed: the hash of what comes is computed, and so is its sender.
"""

from dataclasses import dataclass
from typing import Any

from consensus.errors import Reason, Refused
from consensus.fields import require_bytes
from consensus.wire import pack, reading, require_canonical

MAX_TRANSACTION_BYTES = 131_072
"""What nodes pass on to each other; a longer one is in no mempool."""

_WANTED, _GIVEN = 1, 2
_FIELDS = 2


@dataclass(frozen=True, slots=True)
class Wanted:
    """Somebody lacks the transaction with this hash."""

    subject: bytes

    def __post_init__(self) -> None:
        require_bytes("subject", self.subject, 32)


@dataclass(frozen=True, slots=True)
class Given:
    """A transaction as its sender signed it."""

    raw: bytes

    def __post_init__(self) -> None:
        if not isinstance(self.raw, bytes):
            raise Refused(Reason.WRONG_TYPE, f"a transaction is bytes, came {type(self.raw).__name__}")
        if not 0 < len(self.raw) <= MAX_TRANSACTION_BYTES:
            raise Refused(
                Reason.OVERSIZED,
                f"a transaction has 1 to {MAX_TRANSACTION_BYTES} bytes, came {len(self.raw)}",
            )


PendingEvidence = Wanted | Given


def encode_pending_evidence(evidence: PendingEvidence) -> bytes:
    """The canonical bytes."""
    if isinstance(evidence, Wanted):
        return pack([_WANTED, evidence.subject])
    return pack([_GIVEN, evidence.raw])


def decode_pending_evidence(data: bytes) -> PendingEvidence:
    """Parse wire bytes from a stranger, whose length was checked. Raises Refused; never anything else."""
    with reading("evidence", data, max_bytes=MAX_TRANSACTION_BYTES) as unpacker:
        fields: Any = unpacker.unpack()
    if not isinstance(fields, list) or len(fields) != _FIELDS or type(fields[0]) is not int:
        raise Refused(Reason.WRONG_LENGTH, f"evidence has {_FIELDS} fields, the first a number")
    kind, value = fields
    if kind not in (_WANTED, _GIVEN):
        raise Refused(Reason.MALFORMED, f"evidence is asked for (1) or given (2), came {kind}")
    evidence = Wanted(value) if kind == _WANTED else Given(value)
    require_canonical("evidence", data, encode_pending_evidence(evidence))
    return evidence
