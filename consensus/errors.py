"""The one tree of errors, and the one table of reasons.

    TocsinError
    ├── Refused       the input is at fault; it costs its sender; has a reason code
    ├── Unavailable   a source gave no answer that can be checked; leaves its room as an Unknown
    └── Broken        an invariant of ours fell; stop the room

A message says what was expected, what came and what to do next, and never holds a key, a token
or a URL with credentials.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why something was refused: log key `reason`, label of metrics, row of docs/reasons.md.

    The value is the code; `explanation` is one line for people. Rooms append their rows below their heading.
    """

    explanation: str

    def __new__(cls, code: str, explanation: str = "") -> "Reason":
        member = str.__new__(cls, code)
        member._value_ = code
        member.explanation = explanation
        return member

    # --- bytes and fields
    OVERSIZED = "oversized", "more bytes or elements than the limit; not parsed any further"
    TRUNCATED = "truncated", "the bytes end before the value does"
    TRAILING_BYTES = "trailing_bytes", "bytes are left over after a complete value"
    WRONG_LENGTH = "wrong_length", "a field of fixed length has another length"
    WRONG_TYPE = "wrong_type", "a field holds a value of another type or shape"
    OUT_OF_RANGE = "out_of_range", "a number lies outside its field's range"
    NOT_CANONICAL = "not_canonical", "the value has a shorter or stricter encoding than the one that came"
    MALFORMED = "malformed", "the bytes are no value of the expected format"
    UNKNOWN_VERSION = "unknown_version", "a wire version that this build does not speak"
    NOT_CHECKSUMMED = "not_checksummed", "an address that is not in EIP-55 form"

    # --- curve points, keys and signatures
    POINT_NOT_CANONICAL = (
        "point_not_canonical",
        "a coordinate at or above the field's prime, or wrong flag bits",
    )
    POINT_OFF_CURVE = "point_off_curve", "the coordinates satisfy no curve equation"
    POINT_OUTSIDE_SUBGROUP = "point_outside_subgroup", "on the curve, but not in the prime-order subgroup"
    POINT_AT_INFINITY = "point_at_infinity", "the neutral element, which signs anything"
    KEY_OUT_OF_RANGE = "key_out_of_range", "a secret key of zero, or at or above the group's order"
    EMPTY_LIST = "empty_list", "a check over no elements at all, which would hold vacuously"
    BAD_SIGNATURE = "bad_signature", "the signature is not the key's over this digest"

    # --- alerts
    WINDOW_INVALID = "window_invalid", "expiresAt is not after observedAt, or later than the longest ttl"
    CAUSE_INVALID = "cause_invalid", "a cause without depth, or a depth without cause"
    ALERT_EXPIRED = "alert_expired", "the alert's window is over"
    ALERT_FROM_FUTURE = "alert_from_future", "observedAt lies further ahead than clocks differ"

    # --- operator sets
    SET_INVALID = "set_invalid", "an operator set that breaks its own rules: empty, unordered, or with a twin"
    SET_EXPIRED = "set_expired", "the operator set is past its validUntil"
    HEADER_MISMATCH = "header_mismatch", "a header, or its hash, is not that of the epoch's operator set"
    LEAVES_MISMATCH = "leaves_mismatch", "the leaves do not hash to the header's leavesHash"
    WEIGHT_MISMATCH = "weight_mismatch", "the operators' weights do not sum to the header's total"
    AGGREGATE_KEY_MISMATCH = "aggregate_key_mismatch", "the operators' keys do not sum to the header's apk"
    UNKNOWN_EPOCH = "unknown_epoch", "an epoch whose operator set has not been seen"
    OLD_EPOCH = "old_epoch", "an epoch older than those that are still kept"
    EPOCH_NOT_ACTIVE = "epoch_not_active", "the alert was observed outside its operator set's life"
    NOT_A_MEMBER = "not_a_member", "no operator with this index in the epoch's set"
    WRONG_NETWORK = "wrong_network", "signed for another network"

    # --- tally
    EQUIVOCATION = "equivocation", "an operator that already signed two different alerts for this slot"
    QUOTA_EXCEEDED = "quota_exceeded", "an operator that opened as many slots as it may hold open"
    TALLY_FULL = "tally_full", "no room for another slot, alert or pending attestation"

    # --- certificates
    ENTRIES_INVALID = (
        "entries_invalid",
        "a certificate's entries are not strictly increasing, or beyond the set",
    )
    MODE_INVALID = "mode_invalid", "a certificate's mode byte is unknown, or not the one for no entries"
    LEAF_MISMATCH = "leaf_mismatch", "an entry of a certificate does not hash to its leaf"
    THRESHOLD_NOT_MET = "threshold_not_met", "the signed weight does not pass the threshold"


class TocsinError(Exception):
    """Base of every error that Tocsin raises on purpose."""


class Refused(TocsinError):  # noqa: N818 - the house's tree names what happened
    """The input is at fault; `reason` says in which way."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message

    def __reduce__(self) -> tuple[type["Refused"], tuple[Reason, str]]:
        return type(self), (self.reason, self.message)


class Unavailable(TocsinError):  # noqa: N818
    """A source gave no answer that can be checked: unknown, never "fine" and never "attack"."""


class Broken(TocsinError):  # noqa: N818
    """An invariant of ours fell; the room that raised it must stop."""
