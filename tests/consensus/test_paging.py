"""Key pages, placements and the certificates that point at them: layout by hand, and pages chosen well."""

import json
from collections.abc import Callable, Iterable

import pytest
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.bls import PUBLIC_KEY_BYTES
from consensus.certificate import encode_certificate
from consensus.errors import Reason, Refused
from consensus.paging import (
    KEYS_PER_PAGE,
    MAX_PAGES,
    KeyPage,
    PagedMode,
    Place,
    choose_pages,
    encode_paged_certificate,
    encode_paged_certificate_as,
    place_keys,
)
from consensus.types import Weight
from tests.consensus.factories import make_operator_set, make_public_key
from tests.vectors.generate import render
from tests.vectors.generate_paged import PATH, build, make_certificate, make_page


def reason_of(action: Callable[[], object]) -> Reason:
    with pytest.raises(Refused) as refused:
        action()
    return refused.value.reason


def make_key(number: int) -> bytes:
    """192 bytes that stand for a key; a page takes any."""
    return number.to_bytes(PUBLIC_KEY_BYTES, "big")


def make_keys(numbers: Iterable[int]) -> list[bytes]:
    return [make_key(number) for number in numbers]


def make_raw_page(numbers: Iterable[int]) -> KeyPage:
    return KeyPage(b"".join(make_keys(numbers)))


def test_file_is_what_the_generator_writes() -> None:
    assert PATH.read_text() == render(build()), "run python -m tests.vectors.generate_paged and commit"


# --- pages


def test_a_page_is_named_by_the_code_that_creates_it() -> None:
    keys = make_public_key(3).to_bytes() + make_public_key(1).to_bytes()

    # PUSH2 385, DUP1, PUSH1 10, RETURNDATASIZE, CODECOPY, RETURNDATASIZE, RETURN, STOP
    assert KeyPage(keys).id() == keccak(bytes.fromhex("61018180600a3d393df300") + keys)


def test_other_keys_or_another_order_are_another_page() -> None:
    ids = {make_raw_page(numbers).id() for numbers in [(1,), (1, 2), (2, 1), (1, 2, 3)]}

    assert len(ids) == 4


@pytest.mark.parametrize("length", [0, 191, 193, (KEYS_PER_PAGE + 1) * PUBLIC_KEY_BYTES])
def test_what_is_no_whole_page_is_refused(length: int) -> None:
    assert reason_of(lambda: KeyPage(bytes(length))) == Reason.WRONG_LENGTH


def test_the_longest_page_fits_into_a_contract() -> None:
    longest = KeyPage(bytes(KEYS_PER_PAGE * PUBLIC_KEY_BYTES))

    assert len(longest.keys) + 1 <= 24_576 < len(longest.keys) + PUBLIC_KEY_BYTES + 1


# --- which pages


def test_keys_that_no_page_has_get_new_pages_in_their_order() -> None:
    keys = make_keys(range(KEYS_PER_PAGE + 3))

    pages = choose_pages(keys, ())

    assert [page.keys for page in pages] == [b"".join(keys[:KEYS_PER_PAGE]), b"".join(keys[KEYS_PER_PAGE:])]


def test_known_pages_are_used_and_only_the_rest_is_written() -> None:
    old, idle, newer = make_raw_page(range(5)), make_raw_page((90, 91)), make_raw_page((5,))

    assert choose_pages(make_keys(range(6)), (idle, newer, old)) == (old, newer)
    assert choose_pages(make_keys(range(8)), (idle, newer, old)) == (old, newer, make_raw_page((6, 7)))


def test_a_page_whose_keys_others_have_is_left_out() -> None:
    whole = make_raw_page(range(6))

    assert choose_pages(make_keys(range(6)), (make_raw_page((0, 1)), whole)) == (whole,)


def test_keys_on_too_many_pages_are_written_once_more() -> None:
    scattered = [make_raw_page((number,)) for number in range(20)]

    pages = choose_pages(make_keys(range(20)), scattered)

    assert pages == (*scattered[: MAX_PAGES - 1], make_raw_page(range(MAX_PAGES - 1, 20)))


@given(
    st.integers(1, 256),
    st.lists(st.sets(st.integers(0, 300), min_size=1, max_size=KEYS_PER_PAGE), max_size=14),
)
@settings(max_examples=60, deadline=None)
def test_all_keys_are_found_on_at_most_eight_pages(count: int, known: list[set[int]]) -> None:
    pages = choose_pages(make_keys(range(count)), [make_raw_page(sorted(numbers)) for numbers in known])

    found = {key for page in pages for key in page.slots()}
    assert found.issuperset(make_keys(range(count)))
    assert len(pages) <= MAX_PAGES


# --- placements


def test_a_placement_is_laid_out_as_the_contract_reads_it() -> None:
    operator_set = make_operator_set((10, 20, 30))
    pages = (make_page((9, 2, 0)), make_page((8, 1)))

    placement = place_keys(operator_set, pages)

    assert placement.to_bytes() == (
        b"\x02"
        + pages[0].id()
        + pages[1].id()
        + (b"\x00\x02" + (10).to_bytes(12, "big"))
        + (b"\x01\x01" + (20).to_bytes(12, "big"))
        + (b"\x00\x01" + (30).to_bytes(12, "big"))
    )


@pytest.mark.parametrize(("page", "slot", "weight"), [(256, 0, 1), (0, 256, 1), (0, 0, 2**96), (-1, 0, 1)])
def test_a_place_beyond_its_fields_is_refused(page: int, slot: int, weight: int) -> None:
    assert reason_of(lambda: Place(page=page, slot=slot, weight=Weight(weight))) == Reason.OUT_OF_RANGE


# --- certificates


def test_the_absent_are_listed_by_index_behind_the_placement() -> None:
    operator_set = make_operator_set()
    certificate = make_certificate(operator_set, (0, 1, 2, 4, 5))
    placement = place_keys(operator_set).to_bytes()

    encoded = encode_paged_certificate(certificate, placement)

    assert encoded == (
        operator_set.header()
        + certificate.signature.to_xy_bytes()
        + b"\x02\x00\x02"
        + placement
        + b"\x00\x03\x00\x06"
    )


def test_fewer_signers_than_absent_are_listed_themselves() -> None:
    operator_set = make_operator_set()
    placement = place_keys(operator_set).to_bytes()

    encoded = encode_paged_certificate(make_certificate(operator_set, (3, 6)), placement)

    assert encoded[398:401] == b"\x03\x00\x02"
    assert encoded[401:] == placement + b"\x00\x03\x00\x06"


def test_equally_long_lists_name_the_absent() -> None:
    operator_set = make_operator_set((1, 1))

    encoded = encode_paged_certificate(
        make_certificate(operator_set, (1,)), place_keys(operator_set).to_bytes()
    )

    assert encoded[398:401] == b"\x02\x00\x01"
    assert encoded[-2:] == b"\x00\x00"


def test_with_nobody_absent_the_flat_form_is_taken() -> None:
    operator_set = make_operator_set()
    certificate = make_certificate(operator_set, range(7))
    placement = place_keys(operator_set).to_bytes()

    assert encode_paged_certificate(certificate, placement) == encode_certificate(certificate)
    assert (
        reason_of(lambda: encode_paged_certificate_as(certificate, placement, PagedMode.ABSENT))
        == Reason.MODE_INVALID
    )


def test_a_hundred_operators_take_a_fifth_of_the_bytes() -> None:
    operator_set = make_operator_set((10**21,) * 100)
    certificate = make_certificate(operator_set, range(67))

    paged = encode_paged_certificate(certificate, place_keys(operator_set).to_bytes())

    assert len(paged) == 401 + 1 + 32 + 100 * 14 + 33 * 2
    assert len(paged) * 5 < len(encode_certificate(certificate))


@pytest.mark.parametrize("change", [lambda raw: b"", lambda raw: raw[:-1], lambda raw: raw + b"\0"])
def test_a_placement_of_another_length_is_refused(change: Callable[[bytes], bytes]) -> None:
    operator_set = make_operator_set()
    certificate = make_certificate(operator_set, range(5))
    placement = change(place_keys(operator_set).to_bytes())

    assert reason_of(lambda: encode_paged_certificate(certificate, placement)) == Reason.WRONG_LENGTH


def test_vectors_name_their_pages_by_hand() -> None:
    for case in json.loads(PATH.read_text())["cases"]:
        for page, page_id in zip(case["pages"], case["pageIds"], strict=True):
            code = b"\x00" + bytes.fromhex(page[2:])
            create = b"\x61" + len(code).to_bytes(2, "big") + bytes.fromhex("80600a3d393df3")
            assert keccak(create + code).hex() == page_id[2:]
