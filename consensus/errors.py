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
    EVIDENCE_INVALID = "evidence_invalid", "two statements that are no proof of equivocation"
    OVERLAPPING = "overlapping", "partial certificates that share a signer, which would count twice"
    WRONG_ALERT = "wrong_alert", "a part over another alert than the one that is merged"

    # --- certificates
    ENTRIES_INVALID = (
        "entries_invalid",
        "a certificate's entries are not strictly increasing, or beyond the set",
    )
    MODE_INVALID = "mode_invalid", "a certificate's mode byte is unknown, or not the one for no entries"
    LEAF_MISMATCH = "leaf_mismatch", "an entry of a certificate does not hash to its leaf"
    THRESHOLD_NOT_MET = "threshold_not_met", "the signed weight does not pass the threshold"

    # --- handovers
    EPOCH_NOT_NEXT = "epoch_not_next", "a set that does not follow the chain's current one directly"
    PREVIOUS_MISMATCH = "previous_mismatch", "a set whose prevHeaderHash is not that of the set before it"
    CAPTURED_TOO_EARLY = "captured_too_early", "a set captured too soon after the one before it"
    SET_FROM_FUTURE = "set_from_future", "a set captured later than now"
    HANDOVER_CONFLICT = "handover_conflict", "another set for an epoch that has one already"

    # --- policies and their evaluation
    POLICY_INVALID = "policy_invalid", "a policy file that breaks the format, at the line named"
    EXPRESSION_INVALID = "expression_invalid", "an expression outside the language, at the column named"
    SIGNAL_UNDEFINED = "signal_undefined", "a signal's call reverted or returned another type"
    PRICE_UNUSABLE = "price_unusable", "a price that is stale, not positive, or of an empty pool"
    ARITHMETIC_UNDEFINED = "arithmetic_undefined", "a division by zero, or a value above 2**512"
    HISTORY_TOO_SHORT = "history_too_short", "a rule looks further back than the chain is long"
    SOURCE_UNAVAILABLE = "source_unavailable", "no checkable answer; evaluating the block again may help"
    WRONG_CHAIN = "wrong_chain", "a block of another chain than the policy's source chain"
    WRONG_POLICY = "wrong_policy", "a question about another policy than this engine evaluates"
    UNKNOWN_RULE = "unknown_rule", "a rule that the policy does not have"
    ANCHOR_ORPHANED = "anchor_orphaned", "the alert's block is not of its chain any more, by our own view"
    ANCHOR_MISMATCH = "anchor_mismatch", "the block at the anchor's hash is not the one that was named"

    # --- recorded histories and what detectors learn from them
    HISTORY_INVALID = "history_invalid", "a recorded history that breaks its form, at the place named"
    OUT_OF_ORDER = "out_of_order", "a transaction at or before one that was already learned from or judged"
    PLUGIN_INVALID = "plugin_invalid", "a detector of another package that cannot be imported or is none"
    LABEL_INVALID = "label_invalid", "a labelled exploit that the history does not have, or has too early"
    RECORDING_CONFLICT = (
        "recording_conflict",
        "a recording's file that is there already, is another's, or cannot be kept",
    )
    STATE_CORRUPT = (
        "state_corrupt",
        "a file of learned state, or a checkpoint, that cannot be read or written, or breaks its form or "
        "hash",
    )
    STATE_FOREIGN = (
        "state_foreign",
        "learned state, or a checkpoint, of another policy, history or version than the one asked for",
    )
    EXTRA_MISSING = "extra_missing", "what was asked for needs libraries that are not installed"

    # --- bridges and pending transactions
    EVENT_INVALID = "event_invalid", "a log of a bridge that does not decode as the policy's event"
    PENDING_INVALID = (
        "pending_invalid",
        "a pending transaction that is malformed, or that this block's state does not let in",
    )
    PENDING_UNREAD = (
        "pending_unread",
        "a pending transaction of a type that is not run: it carries blobs, or sets code",
    )
    UNASKED_EVIDENCE = (
        "unasked_evidence",
        "a pending transaction that a member sent and nobody here asked for",
    )
    GENESIS_INVALID = "genesis_invalid", "a genesis file that breaks its form, at the place named"

    # --- journal and keys
    SLOT_ALREADY_SIGNED = "slot_already_signed", "our own key has signed another alert for this slot"
    HANDOVER_ALREADY_SIGNED = (
        "handover_already_signed",
        "our own key has signed another successor of this epoch",
    )
    BELOW_WATERMARK = (
        "below_watermark",
        "a block at or below which this journal, moved or restored, may lack rows",
    )
    SIGNED_ELSEWHERE = "signed_elsewhere", "our own key has signed what our journal did not know of"
    STORE_MISSING = "store_missing", "a store that must exist does not"
    STORE_EXISTS = "store_exists", "a store or keystore is already there and is not overwritten"
    STORE_LOCKED = "store_locked", "another process has the store open"
    STORE_CORRUPT = "store_corrupt", "the store's file is damaged, or no database at all"
    STORE_FOREIGN = "store_foreign", "the store belongs to another room, version or key"
    INTERCHANGE_INVALID = "interchange_invalid", "a file that is no whole export of a signing journal"
    PAIRING_INVALID = "pairing_invalid", "a file that does not pair a watcher with its signer"
    PEER_UNPROVEN = "peer_unproven", "who is at the signer's socket does not hold the paired key"
    FILE_EXPOSED = "file_exposed", "a secret's file can be read by other users"
    PASSWORD_INVALID = "password_invalid", "the password file is empty, too long, or not UTF-8"
    KEYSTORE_INVALID = "keystore_invalid", "a keystore that is no keystore of the expected kind"
    KEYSTORE_LOCKED = "keystore_locked", "the password does not open the keystore"
    WRONG_KEY = "wrong_key", "a keystore or journal that belongs to another key"

    # --- gossip (node/gossip): what was not sent, not taken, or not let in
    NOT_CONNECTED = (
        "not_connected",
        "no open stream to the operator now; open attestations follow when it is back",
    )
    SEND_QUEUE_FULL = "send_queue_full", "the peer reads more slowly than we write; the oldest payload went"
    PUBSUB_BACKLOG_FULL = (
        "pubsub_backlog_full",
        "more was published than pubsub takes; the oldest payload went",
    )
    INBOX_FULL = "inbox_full", "the room behind does not keep up; a stranger's message is refused"
    STALLED_FRAME = "stalled_frame", "a frame was begun and not finished in time"
    FORGED_AUTHOR = "forged_author", "a pubsub message that its author did not sign; who forwarded it answers"
    STRANGER_AUTHOR = "stranger_author", "a message whose author is no registered operator"
    FORGED_ANNOUNCEMENT = "forged_announcement", "addresses that the peer they are of did not sign"
    ADDRESS_INVALID = "address_invalid", "a multiaddr that is no host and TCP port that can be dialed"
    RELAY_SPOKE = "relay_spoke", "a peer that is let in to pull only has said something else"
    WRONG_TOPIC = "wrong_topic", "a pubsub message or subscription for a topic that is not served"
    LINK_OVER_BUDGET = "link_over_budget", "the neighbour's traffic passed its budget"
    AUTHOR_OVER_BUDGET = "author_over_budget", "the operator's own messages passed its budget"
    VERIFICATION_OVER_BUDGET = (
        "verification_over_budget",
        "checking the operator's signatures would take more time than its budget; they were not checked",
    )
    PEER_BANNED = "peer_banned", "the operator is banned for now, for faults counted before"
    CRASHED_HANDLER = "crashed_handler", "handling this peer's input raised; its stream was reset"
    UNREGISTERED_PEER = "unregistered_peer", "a proven peer id that no operator registered, or that is banned"
    TOO_MANY_HANDSHAKES = "too_many_handshakes", "one address keeps too many handshakes open"
    TOO_MANY_CONNECTIONS = "too_many_connections", "one address connects more often than its budget"
    TOO_MANY_STREAMS = "too_many_streams", "one peer keeps too many streams open"
    NOT_ITS_OWN = "not_its_own", "an attestation that came from another peer than the operator that it names"
    UNASKED = "unasked", "an inventory or signatures of others that answer no question of ours"
    USELESS_WANT = "useless_want", "a peer asked for signatures of which we hold none"
    QUESTIONS_OVER_BUDGET = (
        "questions_over_budget",
        "a peer compares or asks more often than its budget",
    )
    UNKNOWN_KIND = "unknown_kind", "a frame of a kind that its wire version does not have"
    UNSERVED_KIND = "unserved_kind", "a frame of a kind that this watcher has no use for"
    NOT_IN_ITS_VERSION = (
        "not_in_its_version",
        "the peer speaks an older wire version, which has no words for this frame",
    )

    # --- chains (node/chain)
    BAD_ENDPOINTS = "bad_endpoints", "fewer endpoints than must agree, or two with one name"
    CALL_REVERTED = "call_reverted", "the contract reverts this call at this block, for everybody alike"
    FEE_CAP_REACHED = "fee_cap_reached", "the fee that the chain asks for lies above the configured cap"
    TRANSACTION_REFUSED = (
        "transaction_refused",
        "every endpoint refuses the transaction; the message says why",
    )
    CONTRACT_MISMATCH = "contract_mismatch", "the contract at this address does not answer as its ABI says"

    # --- configuration and responses
    BAD_CONFIG = (
        "bad_config",
        "a configuration that cannot work; the message names the place and what to write",
    )
    TOO_MANY_INCIDENTS = (
        "too_many_incidents",
        "as many certificates are being answered as one watcher keeps open",
    )
    UNKNOWN_ACTION = "unknown_action", "an action that the guardian's owner never set, or has removed"


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
