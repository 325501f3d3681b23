"""Choosing aggregates that share no signer: the heaviest, whatever the order, within a bounded search."""

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.cover import choose_disjoint
from consensus.types import Signers

bitmaps = st.lists(st.integers(1, 2**8 - 1).map(Signers), max_size=7, unique=True)


def weigh(signers: Signers) -> int:
    return sum(10 + place for place in range(8) if signers >> place & 1)


def heaviest_by_trying_all(candidates: list[Signers]) -> int:
    best = 0
    for count in range(1, len(candidates) + 1):
        for chosen in combinations(candidates, count):
            if sum(each.bit_count() for each in chosen) == union_of(chosen).bit_count():
                best = max(best, sum(map(weigh, chosen)))
    return best


def union_of(chosen: tuple[Signers, ...]) -> int:
    union = 0
    for each in chosen:
        union |= each
    return union


@settings(max_examples=150, deadline=None)
@given(bitmaps)
def test_the_choice_is_disjoint_and_no_other_is_heavier(candidates: list[Signers]) -> None:
    chosen = choose_disjoint(candidates, weigh)

    assert set(chosen) <= set(candidates)
    assert sum(each.bit_count() for each in chosen) == union_of(chosen).bit_count()
    assert sum(map(weigh, chosen)) == heaviest_by_trying_all(candidates)


@settings(max_examples=100, deadline=None)
@given(bitmaps.flatmap(lambda each: st.tuples(st.just(each), st.permutations(each))))
def test_the_order_of_the_candidates_changes_nothing(orders: tuple[list[Signers], list[Signers]]) -> None:
    one, other = orders

    assert choose_disjoint(one, weigh) == choose_disjoint(other, weigh)


def test_among_equal_weights_the_smaller_bitmap_is_chosen() -> None:
    candidates = [Signers(0b0110), Signers(0b0011), Signers(0b1100), Signers(0b0001)]

    assert choose_disjoint(candidates, lambda signers: signers.bit_count()) == (0b0011, 0b1100)
    assert choose_disjoint(candidates[:2], lambda signers: signers.bit_count()) == (0b0011,)


def test_a_candidate_without_weight_is_left_out() -> None:
    assert choose_disjoint([Signers(0b01), Signers(0b10)], lambda signers: signers - 1) == (0b10,)


def test_a_hostile_tangle_ends_the_search_and_still_gives_a_disjoint_choice() -> None:
    tangle = [Signers(1 << left | 1 << right) for left in range(16) for right in range(16, 40)]

    chosen = choose_disjoint(tangle, lambda signers: signers.bit_count())

    assert sum(each.bit_count() for each in chosen) == union_of(chosen).bit_count() == 32
