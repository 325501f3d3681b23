"""The levels of a large set: everybody is heard of once, in few steps, by few messages."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.partial import compute_signers, indices_of
from consensus.types import Digest, Epoch, OperatorIndex
from node.gossip.levels import RADIX, Level, compute_levels_of
from tests.consensus.factories import make_bytes32

DIGEST = Digest(make_bytes32("alert"))


def levels_of(index: int, count: int, *, radix: int = RADIX, digest: Digest = DIGEST) -> tuple[Level, ...]:
    return compute_levels_of(
        OperatorIndex(index), digest=digest, epoch=Epoch(3), operator_count=count, radix=radix
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 120), st.integers(2, 9))
def test_the_parts_of_all_levels_hold_everybody_else_once(count: int, radix: int) -> None:
    for index in range(count):
        parts = [part.members for level in levels_of(index, count, radix=radix) for part in level.parts]

        assert Counter(each for part in parts for each in indices_of(part)) == Counter(
            other for other in range(count) if other != index
        )


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 120), st.integers(2, 9))
def test_each_step_passes_on_all_that_the_steps_before_gathered(count: int, radix: int) -> None:
    levels = {index: levels_of(index, count, radix=radix) for index in range(count)}
    knows = {index: 1 << index for index in range(count)}

    for number in range(max(map(len, levels.values()))):
        before = dict(knows)
        for index in range(count):
            if number >= len(levels[index]):
                continue
            level = levels[index][number]
            assert before[index] & level.block == level.block
            for part in level.parts:
                for to in part.primary:
                    knows[to] |= level.block

    assert set(knows.values()) == {compute_signers(range(count))}


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 90))
def test_everybody_knows_who_tells_it(count: int) -> None:
    levels = {index: levels_of(index, count) for index in range(count)}
    told = {
        (index, to)
        for index in range(count)
        for level in levels[index]
        for part in level.parts
        for to in part.primary
    }

    assert told == {
        (teller, index)
        for index in range(count)
        for level in levels[index]
        for part in level.parts
        for teller in indices_of(part.tellers)
    }


@pytest.mark.parametrize(("count", "steps"), [(17, 2), (64, 2), (65, 3), (100, 3), (256, 3), (500, 3)])
def test_steps_and_messages_grow_with_the_logarithm_of_the_set(count: int, steps: int) -> None:
    levels = [levels_of(index, count) for index in range(count)]
    messages = [sum(len(part.primary) for level in each for part in level.parts) for each in levels]

    assert {len(each) for each in levels} == {steps}
    assert max(messages) <= 2 * (RADIX - 1) * steps
    assert sum(messages) <= 1.2 * (RADIX - 1) * steps * count


def test_the_order_is_another_one_for_each_alert() -> None:
    other = Digest(make_bytes32("another"))

    assert levels_of(0, 100)[0] != levels_of(0, 100, digest=other)[0]
    assert levels_of(0, 100) == levels_of(0, 100)
