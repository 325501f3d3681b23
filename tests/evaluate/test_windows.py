"""Windows and basis points: what they come to, how far they look, and what they may cost."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.errors import Reason, Refused
from node.evaluate.expressions import MAX_BLOCKS_AGO, Read, Undefined, canonical_text, parse_condition
from node.evaluate.judging import compute_truth, reads_of
from tests.evaluate.policies import make_policy
from tests.evaluate.test_engine import fired_at

SIGNALS = ("x", "y")
PAST = [5, 9, 2, 7, 0, 3]
"""The values of x, this block's first."""


def judge(text: str, past: list[int | None] = PAST) -> bool | Undefined:
    condition = parse_condition(text, signals=SIGNALS)
    missing = Undefined(Reason.SIGNAL_UNDEFINED, "reverted")
    return compute_truth(
        condition,
        {
            read: missing if (value := past[read.blocks_ago]) is None else value
            for read in reads_of(condition)
        },
    )


@pytest.mark.parametrize(
    "text",
    [
        "sum(x, 3) == 16",
        "sum(x, 1) == 5",
        "highest(x, 6) == 9",
        "lowest(x, 4) == 2",
        "count(x > 4, 6) == 3",
        "sum(x * 2 - 1, 2) == 26",
        "highest(abs(x - prev(x, 1)), 3) == 7",
        "count(x > prev(x, 1) and x > 1, 5) == 2",
        "sum(x, 3) - sum(prev(x, 3), 3) == 6",
        "bps(1, 3) == 3_333",
        "bps(-1, 3) == -3_334",
        "bps(x, 2) == 25_000",
    ],
)
def test_windows_come_to_what_a_sum_by_hand_says(text: str) -> None:
    assert judge(text) is True


def test_a_window_reads_every_block_in_it() -> None:
    condition = parse_condition("sum(x, 3) > highest(prev(y, 2), 2)", signals=SIGNALS)

    assert reads_of(condition) == {Read("x"), Read("x", 1), Read("x", 2), Read("y", 2), Read("y", 3)}


@pytest.mark.parametrize("text", ["sum(x, 3) > 0", "count(x > 0, 3) >= 1", "lowest(x, 3) < 9"])
def test_one_block_without_value_leaves_the_window_without_one(text: str) -> None:
    said = judge(text, [1, None, 3])

    assert isinstance(said, Undefined)
    assert said.reason is Reason.SIGNAL_UNDEFINED


@pytest.mark.parametrize("text", ["bps(x, 0) > 1", "bps(x, x - x) > 1", f"sum(x * {2**511}, 3) > 0"])
def test_what_divides_by_zero_or_grows_too_large_has_no_value(text: str) -> None:
    said = judge(text)

    assert isinstance(said, Undefined)
    assert said.reason is Reason.ARITHMETIC_UNDEFINED


@pytest.mark.parametrize(
    ("text", "column", "advice"),
    [
        ("sum(x) > 1", 1, "sum(signal, 50)"),
        ("sum(x, 0) > 1", 8, "1 to 300"),
        ("sum(x, 301) > 1", 8, "1 to 300"),
        ("sum(x, y) > 1", 8, "1 to 300"),
        ("count(x, 5) > 1", 7, "compare it"),
        ("count(x > 1) > 1", 1, "count(x > 5, 50)"),
        ("highest(sum(x, 2), 2) > 1", 9, "within a window"),
        ("count(count(x > 1, 2) > 1, 2) > 1", 7, "within a window"),
        ("sum(prev(x, 300), 2) > 1", 5, "301 blocks back"),
        ("bps(x) > 1", 1, "a part and a whole"),
        ("sum > 1", 1, "sum(…)"),
        (f"sum({' + '.join(['x'] * 20)}, 300) > 1", None, "costs at most"),
        ("summ(x, 3) > 1", 1, "did you mean `sum`"),
    ],
)
def test_what_windows_may_not_do_is_refused_at_its_column(text: str, column: int | None, advice: str) -> None:
    with pytest.raises(Refused) as refusal:
        parse_condition(text, signals=SIGNALS)

    assert advice in refusal.value.message
    if column is not None:
        assert refusal.value.message.startswith(f"column {column}:")


def test_the_longest_window_is_read() -> None:
    condition = parse_condition(f"sum(x, {MAX_BLOCKS_AGO}) > 0", signals=SIGNALS)

    assert len(reads_of(condition)) == MAX_BLOCKS_AGO


@settings(deadline=None)
@given(
    st.sampled_from(["sum", "highest", "lowest"]),
    st.lists(st.integers(-(2**255), 2**256 - 1), min_size=1, max_size=40),
    st.integers(-(2**255), 2**256 - 1),
)
def test_folds_agree_with_python(function: str, past: list[int], bound: int) -> None:
    expected = {"sum": sum, "highest": max, "lowest": min}[function](past) > bound
    text = f"{function}(x, {len(past)}) > {'-' if bound < 0 else ''}{abs(bound)}"

    assert judge(text, list(past)) is expected


@pytest.mark.parametrize("text", ["sum((x + 1), 3) > bps(x, y)", "count((x > 1), 4) >= lowest(y, 9)"])
def test_the_canonical_text_of_windows_reads_back(text: str) -> None:
    condition = parse_condition(text, signals=SIGNALS)

    assert parse_condition(canonical_text(condition), signals=SIGNALS) == condition


async def test_a_rule_over_a_window_fires_on_the_kth_of_n_blocks() -> None:
    policy = make_policy("count(x > 100, 4) >= 3")

    assert await fired_at(policy, [0, 0, 0, 101, 101, 0, 101, 0, 0]) == [6]
    assert await fired_at(policy, [0, 0, 0, 101, 101, 0, 0, 101, 0]) == []
