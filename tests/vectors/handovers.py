"""The cases of handovers.json: what both sets sign, and pairs of certificates, good and bad."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from consensus.bls import (
    GROUP_ORDER,
    Purpose,
    SecretKey,
    Signature,
    aggregate_signatures,
    sign,
)
from consensus.certificate import EntryMode, encode_signatures
from consensus.fields import keccak256
from consensus.handover import HANDOVER_TYPEHASH, Handover, HandoverProof, compute_handover
from consensus.operators import OperatorSet
from consensus.types import Digest, Epoch, HeaderHash, NetworkId
from tests.consensus.factories import (
    LIFETIME,
    MIN_EPOCH_INTERVAL,
    NETWORK_ID,
    make_bytes32,
    make_operator_set,
    make_secret,
    make_signatures,
    make_successor,
)
from tests.vectors.raw import flip_bit, raw_certificate, replace_bytes, to_hex

Json = dict[str, Any]

SIX = (100,) * 6  # four of them are exactly two thirds
APK_AT = 110
FIRST = make_operator_set(SIX, epoch=4, first_key=4_000)
SECOND = make_successor(FIRST)
NOW = SECOND.capture_time + 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A proof that comes to a chain which is at `current`; `reason` is empty where it is taken."""

    name: str
    proof: HandoverProof
    reason: str = ""
    installs: bool = True
    current: OperatorSet = FIRST
    now: int = NOW
    handover: Handover = field(default_factory=lambda: compute_handover(NETWORK_ID, FIRST, SECOND))


def build_handovers() -> Json:
    """The whole file."""
    digests, cases = list(_digests()), [_describe(each) for each in (*_good(), *_bad())]
    return {
        "tag": Purpose.HANDOVER.value.decode(),
        "handoverTypehash": to_hex(HANDOVER_TYPEHASH),
        "networkId": to_hex(NETWORK_ID),
        "minEpochInterval": MIN_EPOCH_INTERVAL,
        "digestCount": len(digests),
        "digests": digests,
        "count": len(cases),
        "cases": cases,
    }


def _digests() -> Iterable[Json]:
    handovers = [
        Handover(
            network_id=NetworkId(make_bytes32(f"network {number % 5}")),
            epoch=Epoch(int.from_bytes(make_bytes32(f"epoch {number}")[: number % 5], "big")),
            set_hash=HeaderHash(make_bytes32(f"set {number}")),
            next_set_hash=HeaderHash(make_bytes32(f"next set {number}")),
        )
        for number in range(20)
    ]
    zero, ones = HeaderHash(bytes(32)), HeaderHash(b"\xff" * 32)
    handovers += [
        Handover(network_id=NetworkId(bytes(32)), epoch=Epoch(0), set_hash=zero, next_set_hash=zero),
        Handover(network_id=NetworkId(ones), epoch=Epoch(2**32 - 1), set_hash=ones, next_set_hash=ones),
    ]
    for handover in handovers:
        yield {
            "networkId": to_hex(handover.network_id),
            "epoch": handover.epoch,
            "setHash": to_hex(handover.set_hash),
            "nextSetHash": to_hex(handover.next_set_hash),
            "digest": to_hex(handover.digest()),
        }


def _good() -> Iterable[Case]:
    yield _fit("signed by all of both", SECOND)
    yield _fit("five of six on either side", SECOND, old_signers=range(5), new_signers=range(1, 6))
    heavy = make_successor(FIRST, weights=(1, 1, 1, 10_000, 1, 1))
    yield _fit("one signer listed", heavy, new_signers=(3,))
    yield _fit("the same operators again", make_successor(FIRST, first_key=4_000))
    fifty = make_successor(FIRST, weights=tuple(1_000 + 37 * index for index in range(50)))
    present = [each for each in range(50) if each not in (3, 11, 19, 40, 49)]
    yield _fit("six to fifty, five absent", fifty, new_signers=present)
    yield _fit("six to one of the widest weight", make_successor(FIRST, weights=(2**96 - 1,)))
    late = FIRST.valid_until
    last = make_successor(FIRST, capture_time=late, valid_until=late + 1)
    yield _fit("in the last second of the old set", last, now=late)
    yield _fit("captured in this very second", make_successor(FIRST, capture_time=NOW))
    before_last = make_operator_set(SIX, epoch=2**32 - 2, first_key=4_000)
    final = make_successor(before_last, first_key=5_000)
    yield _fit("into the last epoch that there is", final, current=before_last)
    done = _prove(FIRST, SECOND)
    yield Case(name="there already", proof=done, current=SECOND, installs=False)
    yield Case(
        name="there already, and ended since",
        proof=done,
        current=make_successor(SECOND, capture_time=NOW, valid_until=NOW + 10 * LIFETIME),
        now=NOW + 2 * LIFETIME,
        installs=False,
    )


def _fit(
    name: str,
    incoming: OperatorSet,
    *,
    current: OperatorSet = FIRST,
    now: int = NOW,
    old_signers: Sequence[int] | None = None,
    new_signers: Sequence[int] | None = None,
) -> Case:
    """Follows the current set, and is taken."""
    return Case(
        name=name,
        proof=_prove(current, incoming, old_signers, new_signers),
        current=current,
        now=now,
        handover=compute_handover(NETWORK_ID, current, incoming),
    )


def _bad() -> Iterable[Case]:
    yield from _bad_signers()
    yield from _bad_order()
    yield from _bad_times()
    yield from _bad_bytes()


def _bad_signers() -> Iterable[Case]:
    digest = compute_handover(NETWORK_ID, FIRST, SECOND).digest()
    done = _prove(FIRST, SECOND)
    by_old, by_new = _sum_of(FIRST, digest), _sum_of(SECOND, digest)

    def case(
        name: str, reason: str, *, outgoing: bytes = done.outgoing, incoming: bytes = done.incoming
    ) -> Case:
        return Case(name=name, reason=reason, proof=HandoverProof(outgoing=outgoing, incoming=incoming))

    yield case("signed by the old set alone", "bad_signature", incoming=_raw(SECOND, by_old))
    yield case("signed by the new set alone", "bad_signature", outgoing=_raw(FIRST, by_new))
    everybody = raw_certificate(SECOND, by_old.to_xy_bytes(), EntryMode.ABSENT, range(6))
    yield case("accepted by nobody", "threshold_not_met", incoming=everybody)
    yield Case(
        name="exactly two thirds of the old set",
        reason="threshold_not_met",
        proof=_prove(FIRST, SECOND, range(4), range(6)),
    )
    yield Case(
        name="exactly two thirds of the new set",
        reason="threshold_not_met",
        proof=_prove(FIRST, SECOND, range(6), range(4)),
    )
    for purpose in (Purpose.ALERT, Purpose.POSSESSION):
        name = purpose.name.lower()
        other = _sum_of(FIRST, digest, purpose)
        yield case(f"old set under the tag of {name}", "bad_signature", outgoing=_raw(FIRST, other))
        other = _sum_of(SECOND, digest, purpose)
        yield case(f"new set under the tag of {name}", "bad_signature", incoming=_raw(SECOND, other))
    elsewhere = compute_handover(NetworkId(make_bytes32("another network")), FIRST, SECOND)
    yield Case(
        name="for another network",
        reason="bad_signature",
        proof=_prove_digest(elsewhere.digest()),
        handover=elsewhere,
    )
    rival = make_successor(FIRST, first_key=7_000)
    other_digest = compute_handover(NETWORK_ID, FIRST, rival).digest()
    yield Case(name="to another set", reason="bad_signature", proof=_prove_digest(other_digest))
    yield _rogue_key()


def _rogue_key() -> Case:
    """The new set's key is X - apk_old, and X alone has signed: a sum of both keys would believe it."""
    x = make_secret(77)
    old = sum(_scalar(make_secret(4_000 + index)) for index in range(6))
    rogue = SecretKey((_scalar(x) - old) % GROUP_ORDER).public_key()
    header = replace_bytes(SECOND.header(), APK_AT, rogue.to_bytes())
    forged = compute_handover(NETWORK_ID, FIRST, SECOND)
    forged = Handover(
        network_id=NETWORK_ID,
        epoch=FIRST.epoch,
        set_hash=forged.set_hash,
        next_set_hash=HeaderHash(keccak256(header)),
    )
    sigma = sign(x, Purpose.HANDOVER, forged.digest())
    return Case(
        name="new key cancels the old set's",
        reason="bad_signature",
        proof=HandoverProof(
            outgoing=_raw(FIRST, sigma), incoming=replace_bytes(_raw(SECOND, sigma), 0, header)
        ),
        handover=forged,
    )


def _bad_order() -> Iterable[Case]:
    stray = make_successor(FIRST, prev_header_hash=make_bytes32("another header"))
    yield _unfit("another previous header", "previous_mismatch", FIRST, stray)
    yield _unfit("two epochs on", "epoch_not_next", FIRST, make_successor(FIRST, epoch=6))
    third = make_successor(SECOND)
    yield _unfit("signed by a set that is not there yet", "header_mismatch", SECOND, SECOND)
    yield _unfit("one missing in between", "epoch_not_next", SECOND, third, now=third.capture_time)
    rival = make_successor(FIRST, first_key=7_000)
    yield _unfit("another set for the current epoch", "handover_conflict", FIRST, rival, current=SECOND)
    orphaned = make_operator_set(SIX, epoch=4, first_key=8_000)
    yield _unfit("signed by a twin of the current set", "header_mismatch", orphaned, make_successor(FIRST))


def _bad_times() -> Iterable[Case]:
    early = make_successor(FIRST, capture_time=FIRST.capture_time + MIN_EPOCH_INTERVAL - 1)
    yield _unfit("captured too early", "captured_too_early", FIRST, early)
    future = make_successor(FIRST, capture_time=NOW + 1)
    yield _unfit("captured in the future", "set_from_future", FIRST, future)
    brief = make_successor(FIRST, valid_until=NOW)
    yield _unfit("new set ends now", "set_expired", FIRST, brief)
    late = FIRST.valid_until + 1
    yield _unfit(
        "old set has ended",
        "set_expired",
        FIRST,
        make_successor(FIRST, capture_time=late - 1, valid_until=late + LIFETIME),
        now=late,
    )


def _bad_bytes() -> Iterable[Case]:
    done = _prove(FIRST, SECOND)
    listed = _prove(FIRST, SECOND, range(5), range(5))

    def case(name: str, reason: str, incoming: bytes, outgoing: bytes = done.outgoing) -> Case:
        return Case(name=name, reason=reason, proof=HandoverProof(outgoing=outgoing, incoming=incoming))

    yield case("no operators", "set_invalid", replace_bytes(done.incoming, 4, bytes(2)))
    yield case("too many operators", "set_invalid", replace_bytes(done.incoming, 4, b"\x01\x01"))
    yield case("no weight", "set_invalid", replace_bytes(done.incoming, 6, bytes(16)))
    yield case("new key at infinity", "point_at_infinity", replace_bytes(done.incoming, APK_AT, bytes(192)))
    yield case("incoming cut", "truncated", done.incoming[:-1])
    yield case("outgoing cut", "truncated", done.incoming, done.outgoing[:-1])
    yield case("incoming empty", "truncated", b"")
    yield case("trailing byte", "trailing_bytes", done.incoming + b"\x00")
    yield case("trailing byte of the old set", "trailing_bytes", done.incoming, done.outgoing + b"\x00")
    yield case("leaf tampered", "leaves_mismatch", flip_bit(listed.incoming, 401), listed.outgoing)
    yield case(
        "weight of an absent tampered", "leaf_mismatch", flip_bit(listed.incoming, -193), listed.outgoing
    )
    yield case("old header tampered", "header_mismatch", done.incoming, flip_bit(done.outgoing, 21))
    yield case("new total tampered", "bad_signature", flip_bit(done.incoming, 21))
    yield case("sigma at infinity", "point_at_infinity", replace_bytes(done.incoming, 302, bytes(96)))
    yield case("sigma off the curve", "point_off_curve", flip_bit(done.incoming, 397))


def _unfit(
    name: str,
    reason: str,
    outgoing: OperatorSet,
    incoming: OperatorSet,
    *,
    current: OperatorSet = FIRST,
    now: int = NOW,
) -> Case:
    """Signed by all of both, and still refused."""
    handover = Handover(
        network_id=NETWORK_ID,
        epoch=outgoing.epoch,
        set_hash=outgoing.header_hash(),
        next_set_hash=incoming.header_hash(),
    )
    proof = _prove_digest(handover.digest(), outgoing=outgoing, incoming=incoming)
    return Case(name=name, reason=reason, proof=proof, current=current, now=now, handover=handover)


def _prove(
    outgoing: OperatorSet,
    incoming: OperatorSet,
    old_signers: Sequence[int] | None = None,
    new_signers: Sequence[int] | None = None,
) -> HandoverProof:
    digest = compute_handover(NETWORK_ID, outgoing, incoming).digest()
    return _prove_digest(
        digest, outgoing=outgoing, incoming=incoming, old_signers=old_signers, new_signers=new_signers
    )


def _prove_digest(
    digest: Digest,
    *,
    outgoing: OperatorSet = FIRST,
    incoming: OperatorSet = SECOND,
    old_signers: Sequence[int] | None = None,
    new_signers: Sequence[int] | None = None,
) -> HandoverProof:
    return HandoverProof(
        outgoing=_certify(outgoing, digest, old_signers), incoming=_certify(incoming, digest, new_signers)
    )


def _certify(operator_set: OperatorSet, digest: Digest, signers: Sequence[int] | None) -> bytes:
    signers = range(len(operator_set.operators)) if signers is None else signers
    return encode_signatures(
        operator_set, make_signatures(digest, signers, first_key=_first_key(operator_set))
    )


def _sum_of(operator_set: OperatorSet, digest: Digest, purpose: Purpose = Purpose.HANDOVER) -> Signature:
    places = range(len(operator_set.operators))
    signatures = make_signatures(digest, places, first_key=_first_key(operator_set), purpose=purpose)
    return aggregate_signatures(list(signatures.values()))


def _first_key(operator_set: OperatorSet) -> int:
    """Factories name peers by the number of their key."""
    return int(operator_set.operators[0].peer_id.removeprefix("peer-"))


def _raw(operator_set: OperatorSet, sigma: Signature) -> bytes:
    return raw_certificate(operator_set, sigma.to_xy_bytes(), EntryMode.ABSENT, ())


def _scalar(secret: SecretKey) -> int:
    return int.from_bytes(secret.to_bytes(), "big")


def _describe(case: Case) -> Json:
    return {
        "name": case.name,
        "valid": not case.reason,
        "installs": case.installs and not case.reason,
        "reason": case.reason,
        "now": str(case.now),
        "currentHeader": to_hex(case.current.header()),
        "captureTime": str(case.current.capture_time),
        "epoch": case.handover.epoch,
        "setHash": to_hex(case.handover.set_hash),
        "nextSetHash": to_hex(case.handover.next_set_hash),
        "digest": to_hex(case.handover.digest()),
        "outgoing": to_hex(case.proof.outgoing),
        "incoming": to_hex(case.proof.incoming),
    }
