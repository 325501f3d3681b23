"""BLS: equal to py_ecc, and every malformed or hostile input refused."""

import hashlib
import pickle
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from py_arkworks_bls12381 import GT, G1Point, G2Point, Scalar
from py_ecc.bls.hash_to_curve import hash_to_G1
from py_ecc.optimized_bls12_381 import G2, Z1, Z2, add, multiply, neg, normalize, pairing

from consensus.bls import (
    FIELD_PRIME,
    GROUP_ORDER,
    PublicKey,
    Purpose,
    SecretKey,
    Signature,
    _batch_coefficients,
    aggregate_public_keys,
    aggregate_signatures,
    sign,
    subtract_public_keys,
    verify,
    verify_aggregate,
    verify_batch,
    verify_batches,
)
from consensus.errors import Reason, Refused
from consensus.types import Digest
from tests.consensus.factories import make_bytes32, make_public_key, make_secret, make_signature

DIGEST = Digest(make_bytes32("digest"))
OTHER_DIGEST = Digest(make_bytes32("other digest"))


def scalar_of(number: int) -> int:
    return int.from_bytes(make_secret(number).to_bytes(), "big")


def g1_bytes(point: object) -> bytes:
    x, y = normalize(point)
    return x.n.to_bytes(48, "big") + y.n.to_bytes(48, "big")


def g2_bytes(point: object) -> bytes:
    x, y = normalize(point)
    return b"".join(int(part).to_bytes(48, "big") for part in (*x.coeffs, *y.coeffs))


def reason_of(action: Callable[[], object]) -> Reason:
    with pytest.raises(Refused) as refused:
        action()
    return refused.value.reason


def sign_many(numbers: Sequence[int], digest: Digest = DIGEST) -> list[tuple[PublicKey, Signature]]:
    return [(make_public_key(number), make_signature(number, digest)) for number in numbers]


# --- against py_ecc


@pytest.mark.parametrize("purpose", list(Purpose))
def test_signatures_equal_those_of_py_ecc(purpose: Purpose) -> None:
    expected = multiply(hash_to_G1(DIGEST, purpose.value, hashlib.sha256), scalar_of(3))

    assert sign(make_secret(3), purpose, DIGEST).to_xy_bytes() == g1_bytes(expected)


def test_public_keys_equal_those_of_py_ecc() -> None:
    assert make_public_key(3).to_bytes() == g2_bytes(multiply(G2, scalar_of(3)))


def test_aggregates_equal_those_of_py_ecc() -> None:
    numbers = (0, 1, 2, 5)
    message = hash_to_G1(DIGEST, Purpose.ALERT.value, hashlib.sha256)
    key, signature = Z2, Z1
    for number in numbers:
        key = add(key, multiply(G2, scalar_of(number)))
        signature = add(signature, multiply(message, scalar_of(number)))

    assert aggregate_public_keys([make_public_key(each) for each in numbers]).to_bytes() == g2_bytes(key)
    assert aggregate_signatures([make_signature(each, DIGEST) for each in numbers]).to_xy_bytes() == g1_bytes(
        signature
    )


def test_our_pairing_equation_holds_in_py_ecc() -> None:
    signature = sign(make_secret(3), Purpose.ALERT, DIGEST)
    ours = multiply(hash_to_G1(DIGEST, Purpose.ALERT.value, hashlib.sha256), scalar_of(3))
    message = hash_to_G1(DIGEST, Purpose.ALERT.value, hashlib.sha256)

    product = pairing(neg(G2), ours) * pairing(multiply(G2, scalar_of(3)), message)

    assert product == type(product).one()
    assert verify(make_public_key(3), Purpose.ALERT, DIGEST, signature)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, GROUP_ORDER - 1), st.binary(min_size=32, max_size=32))
def test_what_a_key_signs_verifies_under_that_key_and_parses_back(scalar: int, raw: bytes) -> None:
    secret, digest = SecretKey(scalar), Digest(raw)
    signature = sign(secret, Purpose.ALERT, digest)

    assert verify(secret.public_key(), Purpose.ALERT, digest, signature)
    assert Signature(signature.to_bytes()) == signature
    assert Signature.from_xy_bytes(signature.to_xy_bytes()) == signature
    assert PublicKey(secret.public_key().to_bytes()) == secret.public_key()
    assert SecretKey.from_bytes(secret.to_bytes()).public_key() == secret.public_key()


# --- what does not verify


def test_a_signature_holds_for_no_other_key_digest_or_purpose() -> None:
    signature = sign(make_secret(0), Purpose.ALERT, DIGEST)

    assert not verify(make_public_key(1), Purpose.ALERT, DIGEST, signature)
    assert not verify(make_public_key(0), Purpose.ALERT, OTHER_DIGEST, signature)
    assert not verify(make_public_key(0), Purpose.HANDOVER, DIGEST, signature)
    assert not verify(make_public_key(0), Purpose.POSSESSION, DIGEST, signature)


def test_an_aggregate_holds_for_exactly_its_signers() -> None:
    keys = [make_public_key(number) for number in range(4)]
    signature = aggregate_signatures([make_signature(number, DIGEST) for number in range(4)])

    assert verify_aggregate(keys, Purpose.ALERT, DIGEST, signature)
    assert not verify_aggregate(keys[:3], Purpose.ALERT, DIGEST, signature)
    assert not verify_aggregate([*keys, make_public_key(4)], Purpose.ALERT, DIGEST, signature)


def test_subtracting_the_absent_leaves_the_signers() -> None:
    everybody = aggregate_public_keys([make_public_key(number) for number in range(4)])
    signers = aggregate_public_keys([make_public_key(0), make_public_key(2)])

    assert subtract_public_keys(everybody, [make_public_key(1), make_public_key(3)]) == signers


# --- refusals


@pytest.mark.parametrize("length", [0, 47, 49, 96])
def test_a_signature_of_another_length_is_refused(length: int) -> None:
    assert reason_of(lambda: Signature(b"\x80" * length)) == Reason.WRONG_LENGTH


def test_a_signature_at_infinity_is_refused_in_every_spelling() -> None:
    assert reason_of(lambda: Signature(b"\xc0" + bytes(47))) == Reason.POINT_AT_INFINITY
    assert reason_of(lambda: Signature(b"\xe0" + bytes(47))) == Reason.POINT_AT_INFINITY
    assert reason_of(lambda: Signature(b"\xc0" + bytes(46) + b"\x01")) == Reason.POINT_AT_INFINITY
    assert reason_of(lambda: Signature.from_xy_bytes(bytes(96))) == Reason.POINT_AT_INFINITY


def test_a_signature_without_the_compression_flag_is_refused() -> None:
    good = make_signature(0, DIGEST).to_bytes()

    assert reason_of(lambda: Signature(bytes([good[0] & 0x7F]) + good[1:])) == Reason.POINT_NOT_CANONICAL


def test_a_signature_whose_x_is_not_reduced_is_refused() -> None:
    x, y = small_g1_point()
    compressed = (x + FIELD_PRIME | 1 << 383).to_bytes(48, "big")

    assert reason_of(lambda: Signature(compressed)) == Reason.POINT_NOT_CANONICAL
    assert reason_of(lambda: Signature.from_xy_bytes(xy(x + FIELD_PRIME, y))) == Reason.POINT_NOT_CANONICAL
    assert reason_of(lambda: Signature.from_xy_bytes(xy(x, y + FIELD_PRIME))) == Reason.POINT_NOT_CANONICAL


def test_a_signature_off_the_curve_is_refused() -> None:
    x = next(x for x in range(1, 100) if pow(x**3 + 4, (FIELD_PRIME - 1) // 2, FIELD_PRIME) != 1)

    assert reason_of(lambda: Signature((x | 1 << 383).to_bytes(48, "big"))) == Reason.POINT_OFF_CURVE
    assert reason_of(lambda: Signature.from_xy_bytes(xy(x, 1))) == Reason.POINT_OFF_CURVE


def test_a_signature_outside_the_subgroup_is_refused() -> None:
    x, y = small_g1_point()

    assert reason_of(lambda: Signature((x | 1 << 383).to_bytes(48, "big"))) == Reason.POINT_OUTSIDE_SUBGROUP
    assert reason_of(lambda: Signature.from_xy_bytes(xy(x, y))) == Reason.POINT_OUTSIDE_SUBGROUP


@pytest.mark.parametrize("length", [0, 96, 191, 193])
def test_a_public_key_of_another_length_is_refused(length: int) -> None:
    assert reason_of(lambda: PublicKey(b"\x01" * length)) == Reason.WRONG_LENGTH


def test_a_public_key_at_infinity_is_refused() -> None:
    assert reason_of(lambda: PublicKey(bytes(192))) == Reason.POINT_AT_INFINITY


@pytest.mark.parametrize("coordinate", range(4))
def test_a_public_key_whose_coordinate_is_not_reduced_is_refused(coordinate: int) -> None:
    raw = small_g2_point()
    start = 48 * coordinate
    raised = int.from_bytes(raw[start : start + 48], "big") + FIELD_PRIME
    forged = raw[:start] + raised.to_bytes(48, "big") + raw[start + 48 :]

    assert reason_of(lambda: PublicKey(forged)) == Reason.POINT_NOT_CANONICAL


def test_a_public_key_off_the_curve_is_refused() -> None:
    raw = make_public_key(0).to_bytes()
    swapped = raw[48:96] + raw[:48] + raw[144:] + raw[96:144]  # c1 first, as zcash and EIP-197 have it

    assert reason_of(lambda: PublicKey(raw[:-1] + bytes([raw[-1] ^ 1]))) == Reason.POINT_OFF_CURVE
    assert reason_of(lambda: PublicKey(swapped)) == Reason.POINT_OFF_CURVE


def test_a_public_key_outside_the_subgroup_is_refused() -> None:
    assert reason_of(lambda: PublicKey(small_g2_point())) == Reason.POINT_OUTSIDE_SUBGROUP


@pytest.mark.parametrize("scalar", [0, GROUP_ORDER, GROUP_ORDER + 1, -1])
def test_a_secret_key_outside_the_group_is_refused(scalar: int) -> None:
    assert reason_of(lambda: SecretKey(scalar)) == Reason.KEY_OUT_OF_RANGE


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_secret_key_of_another_length_is_refused(length: int) -> None:
    assert (
        reason_of(lambda: SecretKey.from_bytes(bytes(length - 1) + b"\x01" if length else b""))
        == Reason.WRONG_LENGTH
    )


def test_a_digest_of_another_length_is_not_signed() -> None:
    assert reason_of(lambda: sign(make_secret(0), Purpose.ALERT, Digest(b"short"))) == Reason.WRONG_LENGTH


def test_empty_lists_are_refused_though_their_empty_product_is_one() -> None:
    signature = make_signature(0, DIGEST)

    assert GT.pairing_check([], [])  # the trap that these refusals stand before
    assert reason_of(lambda: aggregate_signatures([])) == Reason.EMPTY_LIST
    assert reason_of(lambda: aggregate_public_keys([])) == Reason.EMPTY_LIST
    assert reason_of(lambda: verify_aggregate([], Purpose.ALERT, DIGEST, signature)) == Reason.EMPTY_LIST
    assert reason_of(lambda: verify_batch(DIGEST, Purpose.ALERT, [])) == Reason.EMPTY_LIST


def test_keys_that_cancel_each_other_aggregate_to_nothing() -> None:
    opposite = SecretKey(GROUP_ORDER - scalar_of(0))
    keys = [make_public_key(0), opposite.public_key()]
    signatures = [make_signature(0, DIGEST), sign(opposite, Purpose.ALERT, DIGEST)]

    assert reason_of(lambda: aggregate_public_keys(keys)) == Reason.POINT_AT_INFINITY
    assert reason_of(lambda: aggregate_signatures(signatures)) == Reason.POINT_AT_INFINITY
    assert reason_of(lambda: subtract_public_keys(keys[0], keys[:1])) == Reason.POINT_AT_INFINITY


# --- secrets stay secret


def test_a_secret_key_shows_in_no_text_and_is_not_pickled() -> None:
    secret = make_secret(0)

    assert secret.to_bytes().hex() not in f"{secret} {secret!r} {[secret]}"
    assert "redacted" in repr(secret)
    with pytest.raises(TypeError, match="keystore"):
        pickle.dumps(secret)


def test_generated_keys_differ() -> None:
    assert SecretKey.generate().to_bytes() != SecretKey.generate().to_bytes()


# --- batches


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12).flatmap(lambda size: st.tuples(st.just(size), st.sets(st.integers(0, size - 1)))))
def test_a_batch_names_exactly_its_bad_signatures(plan: tuple[int, set[int]]) -> None:
    size, bad = plan
    signed = [
        (make_public_key(each), make_signature(each, OTHER_DIGEST if each in bad else DIGEST))
        for each in range(size)
    ]

    assert verify_batch(DIGEST, Purpose.ALERT, signed) == tuple(sorted(bad))


def test_two_bad_signatures_that_cancel_each_other_are_both_found() -> None:
    (key_0, good_0), (key_1, good_1), *others = sign_many(range(4))
    shift = G1Point() * Scalar(7)
    raised = G1Point.from_xy_bytes_be(good_0.to_xy_bytes()) + shift
    lowered = G1Point.from_xy_bytes_be(good_1.to_xy_bytes()) - shift
    forged = [
        (key_0, Signature(raised.to_compressed_bytes())),
        (key_1, Signature(lowered.to_compressed_bytes())),
        *others,
    ]

    plain_sum = aggregate_signatures([signature for _, signature in forged])

    assert verify_aggregate([key for key, _ in forged], Purpose.ALERT, DIGEST, plain_sum)
    assert verify_batch(DIGEST, Purpose.ALERT, forged) == (0, 1)


def test_swapped_signatures_are_found() -> None:
    (key_0, good_0), (key_1, good_1), *others = sign_many(range(5))

    assert verify_batch(DIGEST, Purpose.ALERT, [(key_0, good_1), (key_1, good_0), *others]) == (0, 1)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=4), min_size=1, max_size=5))
def test_batches_over_many_digests_name_exactly_their_bad_signatures(plan: list[list[bool]]) -> None:
    digests = [make_bytes32(f"digest {number}") for number in range(len(plan))]
    batches = [
        (
            Digest(digest),
            [
                (make_public_key(each), make_signature(each, Digest(digest if is_good else DIGEST)))
                for each, is_good in enumerate(row)
            ],
        )
        for digest, row in zip(digests, plan, strict=True)
    ]

    assert verify_batches(Purpose.ALERT, batches) == tuple(
        tuple(each for each, is_good in enumerate(row) if not is_good) for row in plan
    )


def test_bad_signatures_that_cancel_each_other_over_two_digests_are_both_found() -> None:
    key, good = make_public_key(0), [make_signature(0, digest) for digest in (DIGEST, OTHER_DIGEST)]
    shift = G1Point() * Scalar(7)
    first, second = (G1Point.from_xy_bytes_be(each.to_xy_bytes()) for each in good)
    forged = [
        (DIGEST, [(key, Signature((first + shift).to_compressed_bytes()))]),
        (OTHER_DIGEST, [(key, Signature((second - shift).to_compressed_bytes()))]),
    ]

    assert verify_batches(Purpose.ALERT, forged) == ((0,), (0,))


def test_four_good_digests_cost_one_pairing_check(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    class Counting:
        @staticmethod
        def pairing_check(left: list[G1Point], right: list[G2Point]) -> bool:
            sizes.append(len(left))
            return bool(GT.pairing_check(left, right))

    monkeypatch.setattr("consensus.bls.GT", Counting)
    digests = [Digest(make_bytes32(f"digest {number}")) for number in range(6)]

    found = verify_batches(
        Purpose.ALERT,
        [
            (digest, [(make_public_key(each), make_signature(each, digest)) for each in range(2)])
            for digest in digests
        ],
    )

    assert found == ((),) * 6
    assert sizes == [5, 3], "one pair a digest, and one for all signatures"


def test_changing_any_input_changes_the_coefficients_of_a_batch() -> None:
    signed = sign_many(range(3))
    variants = [
        (Purpose.ALERT, [(DIGEST, signed)]),
        (Purpose.ALERT, [(OTHER_DIGEST, signed)]),
        (Purpose.HANDOVER, [(DIGEST, signed)]),
        (Purpose.ALERT, [(DIGEST, [*signed[:2], (signed[2][0], make_signature(2, OTHER_DIGEST))])]),
        (Purpose.ALERT, [(DIGEST, [*signed[:2], (make_public_key(9), signed[2][1])])]),
        (Purpose.ALERT, [(DIGEST, signed), (OTHER_DIGEST, signed)]),
        (Purpose.ALERT, [(DIGEST, signed[:2]), (OTHER_DIGEST, signed[2:])]),
    ]

    firsts = {int(_batch_coefficients(*variant)[0]) for variant in variants}

    assert len(firsts) == len(variants)
    assert min(firsts) > 1 << 100  # 128 bits each, not a counter


# --- points that only an attacker makes


def small_g1_point() -> tuple[int, int]:
    """A point of G1's curve outside its subgroup, with an x so small that x + p still has 381 bits."""
    x = 4
    y = pow(x**3 + 4, (FIELD_PRIME + 1) // 4, FIELD_PRIME)
    return x, min(y, FIELD_PRIME - y)


def small_g2_point() -> bytes:
    """A point of G2's curve outside its subgroup, mapped there without clearing the cofactor."""
    for x0 in range(1, 200):
        compressed = bytes([0x80]) + bytes(47) + x0.to_bytes(48, "big")
        try:
            point = G2Point.from_compressed_bytes_unchecked(compressed)
        except ValueError:
            continue
        if not point.is_in_subgroup():
            return point.to_xy_bytes_be()
    raise AssertionError("no point found")


def xy(x: int, y: int) -> bytes:
    return x.to_bytes(48, "big") + y.to_bytes(48, "big")
