"""The stand-in for the curve obeys the same laws, and lets no false signature through."""

from collections.abc import Iterator
from hashlib import sha256

import pytest

from consensus.bls import (
    PublicKey,
    Purpose,
    SecretKey,
    Signature,
    aggregate_signatures,
    sign,
    subtract_signatures,
    verify,
    verify_aggregate,
    verify_batch,
)
from consensus.errors import Refused
from consensus.types import Digest
from tests.simulation.ideal_bls import ideal_curve

DIGEST, OTHER = (Digest(sha256(label).digest()) for label in (b"one", b"other"))


@pytest.fixture(autouse=True, params=["ideal", "real"])
def _curve(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each law, of both curves."""
    if request.param == "real":
        yield
        return
    with ideal_curve():
        yield


def keys() -> tuple[SecretKey, ...]:
    return tuple(SecretKey(1_000 + number) for number in range(5))


def test_a_signature_holds_for_its_key_digest_and_purpose_alone() -> None:
    one, other, *_ = keys()
    signature = sign(one, Purpose.ALERT, DIGEST)

    assert verify(one.public_key(), Purpose.ALERT, DIGEST, signature)
    assert not verify(other.public_key(), Purpose.ALERT, DIGEST, signature)
    assert not verify(one.public_key(), Purpose.ALERT, OTHER, signature)
    assert not verify(one.public_key(), Purpose.HANDOVER, DIGEST, signature)


def test_sums_hold_for_exactly_their_signers() -> None:
    signatures = [sign(key, Purpose.ALERT, DIGEST) for key in keys()]
    public = [key.public_key() for key in keys()]
    total = aggregate_signatures(signatures)

    assert verify_aggregate(public, Purpose.ALERT, DIGEST, total)
    assert not verify_aggregate(public[1:], Purpose.ALERT, DIGEST, total)
    assert subtract_signatures(total, signatures[:4]) == signatures[4]


def test_bad_ones_are_found_in_a_batch_even_where_they_cancel() -> None:
    signed = [(key.public_key(), sign(key, Purpose.ALERT, DIGEST)) for key in keys()]
    signed[1], signed[3] = (signed[1][0], signed[3][1]), (signed[3][0], signed[1][1])

    assert verify_batch(DIGEST, Purpose.ALERT, signed) == (1, 3)


def test_bytes_survive_a_round_trip_and_rubbish_is_no_point() -> None:
    key = keys()[0]
    signature = sign(key, Purpose.ALERT, DIGEST)

    assert Signature(signature.compressed) == signature == Signature.from_xy_bytes(signature.to_xy_bytes())
    assert PublicKey(key.public_key().raw) == key.public_key()
    with pytest.raises(Refused):
        Signature(b"\x9f" + b"\xff" * 47)
    with pytest.raises(Refused):
        PublicKey(b"\x01" * 192)
