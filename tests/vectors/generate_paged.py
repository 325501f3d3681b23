"""Writes paged.json: certificates that point at keys on pages, and what a chain must hold for them.

    python -m tests.vectors.generate_paged

Expected values come from `consensus`; tests/consensus/test_paging.py holds ids and layout against bytes put
together by hand, and the file against a new run of this module.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from consensus.certificate import Certificate, build_certificate, encode_certificate
from consensus.fields import keccak256
from consensus.operators import OperatorSet
from consensus.paging import (
    KeyPage,
    PagedMode,
    Placement,
    encode_paged_certificate,
    encode_paged_certificate_as,
    place_keys,
)
from consensus.types import OperatorIndex
from tests.consensus.factories import (
    EQUAL_WEIGHTS,
    make_alert,
    make_operator_set,
    make_public_key,
    make_signature,
)
from tests.vectors.generate import UNEQUAL_WEIGHTS, Json, render, to_hex

PATH = Path(__file__).with_name("paged.json")


def build() -> Json:
    """The file's content."""
    cases = [*build_good(), *build_bad()]
    return {"count": len(cases), "cases": cases}


def build_good() -> list[Json]:
    equal, unequal = make_operator_set(EQUAL_WEIGHTS), make_operator_set(UNEQUAL_WEIGHTS)
    widest, single = make_operator_set((2**96 - 1,) * 3), make_operator_set((1,))
    with_strangers = (make_page((50, 2, 51)), make_page((6, 4, 52)), make_page((53, 0, 1, 3, 5)))
    plans: list[tuple[str, OperatorSet, Sequence[KeyPage], Sequence[int], int]] = [
        ("two absent", equal, (), (0, 1, 2, 4, 5), 6_667),
        ("two signers", equal, (), (3, 6), 2_500),
        ("on three pages, among keys of strangers", unequal, with_strangers, (0, 1, 2, 4, 6), 6_667),
        ("a new operator on a page of its own", equal, (make_page(range(6)),), (0, 1, 2, 3, 4, 6), 6_667),
        ("widest weights", widest, (), (0, 2), 6_666),
        ("none absent", single, (), (0,), 9_999),
    ]
    cases = []
    for name, operator_set, known, signers, threshold_bps in plans:
        placement = place_keys(operator_set, known)
        certificate = make_certificate(operator_set, signers)
        encoded = encode_paged_certificate(certificate, placement.to_bytes())
        case = describe(name, certificate, placement, encoded, threshold_bps)
        signed = sum(operator_set.operators[each].weight for each in signers)
        flat = to_hex(encode_certificate(certificate))
        cases.append({**case, "valid": True, "signedWeight": str(signed), "flatCertificate": flat})
    return cases


def build_bad() -> list[Json]:
    equal = make_operator_set(EQUAL_WEIGHTS)
    placement = place_keys(equal)
    certificate = make_certificate(equal, (0, 1, 2, 4, 5))
    good = encode_paged_certificate(certificate, placement.to_bytes())
    signers_of_absent = encode_paged_certificate_as(certificate, placement.to_bytes(), PagedMode.SIGNERS)
    plans: list[tuple[str, bytes, int]] = [
        ("weight equal to the threshold", good, 10_000),
        ("repeated index", good[:-4] + b"\x00\x03\x00\x03", 0),
        ("unsorted indices", good[:-4] + b"\x00\x06\x00\x03", 0),
        ("index beyond the set", good[:-2] + b"\x00\x07", 0),
        ("another absent operator", good[:-4] + b"\x00\x02\x00\x06", 0),
        ("absent operator left out", good[:399] + b"\x00\x01" + good[401:-2], 0),
        ("absent listed as signers", good[:398] + bytes([PagedMode.SIGNERS]) + good[399:], 0),
        ("signers listed as absent", signers_of_absent[:398] + bytes([2]) + signers_of_absent[399:], 0),
        ("nobody listed", good[:399] + b"\x00\x00" + good[401:-4], 0),
        ("unknown mode", good[:398] + b"\x04" + good[399:], 0),
        ("weight of the placement altered", good[:-5] + bytes([good[-5] ^ 1]) + good[-4:], 0),
        ("one byte short", good[:-1], 0),
        ("one byte too many", good + b"\x00", 0),
    ]
    return [
        {**describe(name, certificate, placement, encoded, threshold_bps), "valid": False}
        for name, encoded, threshold_bps in plans
    ]


def describe(
    name: str, certificate: Certificate, placement: Placement, encoded: bytes, threshold_bps: int
) -> Json:
    bound = placement.to_bytes()
    return {
        "name": name,
        "epoch": certificate.alert.epoch,
        "header": to_hex(certificate.header),
        "headerHash": to_hex(certificate.alert.header_hash),
        "pages": [to_hex(page.keys) for page in placement.pages],
        "pageIds": [to_hex(page.id()) for page in placement.pages],
        "placement": to_hex(bound),
        "commitment": to_hex(keccak256(certificate.header + bound)),
        "digest": to_hex(certificate.digest()),
        "thresholdBps": threshold_bps,
        "totalWeight": str(certificate.total_weight),
        "certificate": to_hex(encoded),
    }


def make_page(numbers: Iterable[int]) -> KeyPage:
    """The keys of `make_secret(number)` on one page."""
    return KeyPage(b"".join(make_public_key(number).to_bytes() for number in numbers))


def make_certificate(operator_set: OperatorSet, signers: Sequence[int]) -> Certificate:
    alert = make_alert(operator_set)
    signatures = {OperatorIndex(each): make_signature(each, alert.digest()) for each in signers}
    return build_certificate(alert, operator_set, signatures)


if __name__ == "__main__":
    PATH.write_text(render(build()))
