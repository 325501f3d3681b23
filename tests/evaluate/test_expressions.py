"""The language of rules: what it means, what it refuses, and that nothing gets past it."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from consensus.errors import Reason, Refused
from node.evaluate.expressions import (
    MAX_BLOCKS_AGO,
    MAX_MAGNITUDE,
    Arithmetic,
    Choice,
    Choose,
    Compare,
    Comparison,
    Compute,
    Condition,
    Connective,
    Join,
    Literal,
    Negate,
    Not,
    Read,
    Undefined,
    canonical_text,
    parse_condition,
)
from node.evaluate.judging import compute_truth, reads_of

SIGNALS = ("x", "y", "z")


def judge(text: str, **values: int) -> bool | Undefined:
    """What `text` says where each signal has the same value at every block."""
    condition = parse_condition(text, signals=SIGNALS)
    return compute_truth(condition, {read: values[read.signal] for read in reads_of(condition)})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7 // 2 == 3", True),
        ("-7 // 2 == -4", True),
        ("-7 % 3 == 2", True),
        ("7 % -3 == -2", True),
        ("2 + 3 * 4 == 14", True),
        ("(2 + 3) * 4 == 20", True),
        ("10 - 3 - 2 == 5", True),
        ("abs(3 - 10) == 7", True),
        ("min(3, 1, 2) == 1 and max(3, 1, 2) == 3", True),
        ("1 > 2 or not 3 <= 2", True),
        ("1 < 2 and 2 < 2", False),
        ("0x10 == 16 and 1_000 == 1000", True),
        ("x >= 5", True),
        ("x > 5", False),
        ("x != 5", False),
        ("  x ==\n  5  ", True),
    ],
)
def test_expressions_mean_what_arithmetic_says(text: str, *, expected: bool) -> None:
    assert judge(text, x=5) is expected


def test_numbers_of_uint256_are_exact() -> None:
    assert judge("x * x - 1 == (x - 1) * (x + 1)", x=2**256 - 1) is True


@pytest.mark.parametrize("text", ["x // y > 1", "x % y > 1", "1 // (y - y) == 0", "x // y > 1 or x > 0"])
def test_division_by_zero_is_undefined_never_a_verdict(text: str) -> None:
    said = judge(text, x=5, y=0)

    assert isinstance(said, Undefined)
    assert said.reason is Reason.ARITHMETIC_UNDEFINED


def test_a_guard_to_the_left_protects_what_follows() -> None:
    assert judge("y != 0 and x // y > 1", x=5, y=0) is False
    assert judge("y == 0 or x // y > 1", x=5, y=0) is True


def test_a_signal_without_value_makes_the_expression_undefined() -> None:
    condition = parse_condition("x > 1", signals=SIGNALS)
    reverted = Undefined(Reason.SIGNAL_UNDEFINED, "reverted")

    assert compute_truth(condition, {Read("x"): reverted}) is reverted


def test_values_above_2_to_the_512_are_undefined() -> None:
    assert judge("x * y == 0", x=2**256, y=2**256) is False
    said = judge("x * y + 1 == 0", x=2**256, y=2**256)

    assert isinstance(said, Undefined)
    assert said.reason is Reason.ARITHMETIC_UNDEFINED


def test_prev_reads_the_same_signal_earlier() -> None:
    condition = parse_condition("x < prev(x, 3) and prev(y, 256) > 0", signals=SIGNALS)

    assert reads_of(condition) == {Read("x"), Read("x", 3), Read("y", 256)}
    assert compute_truth(condition, {Read("x"): 1, Read("x", 3): 2, Read("y", 256): 1}) is True


@pytest.mark.parametrize(
    ("text", "column", "advice"),
    [
        ("x / 2 > 1", 1, "//"),
        ("x > 1.5", 5, "basis points"),
        ("x > 1e3", 5, "not an integer"),
        ("x > 2j", 5, "not an integer"),
        ("x > 2 ** 8", 5, "10_000"),
        ("x > 1 << 8", 5, "multiplication"),
        ("(x > 1) & (y > 1)", 1, "`and`"),
        ("(x > 1) | (y > 1)", 1, "`or`"),
        ("~x > 1", 1, "`not`"),
        ("x > True", 5, "not an integer"),
        ("True", 1, "comparison"),
        ("None", 1, "not an integer"),
        ("x", 1, "compare it"),
        ("x + 1", 1, "compare it"),
        ("x and y > 1", 1, "compare it"),
        ("not x", 5, "compare it"),
        ("(x > 1) + 1 > 0", 2, "condition stands"),
        ("min(x > 1, 2) > 0", 5, "condition stands"),
        ("1 < x < 3", 9, "a < b and b < c"),
        ("x in (1, 2)", 1, "x == a or"),
        ("x is 1", 1, "=="),
        ("unknown > 1", 1, "signals:"),
        ("x.y > 1", 1, "no parts"),
        ("x[1] > 1", 1, "prev(signal, 3)"),
        ("x(1) > 1", 1, "functions are"),
        ("print(x) > 1", 1, "functions are"),
        ("pow(x, 2) > 1", 1, "functions are"),
        ("min.x(1, 2) > 1", 1, "functions are"),
        ("min(x) > 1", 1, "two or more"),
        ("min() > 1", 1, "two or more"),
        ("abs(x, y) > 1", 1, "one argument"),
        ("max(x, key=y) > 1", 1, "plain arguments"),
        ("max(*x) > 1", 1, "plain arguments"),
        ("min > 1", 1, "min(…)"),
        ("prev(x) > 1", 1, "prev(signal, 3)"),
        ("prev(x, 0) > 1", 9, "1 to 300"),
        ("prev(x, 301) > 1", 9, "1 to 300"),
        ("prev(x, -1) > 1", 9, "1 to 300"),
        ("prev(x, y) > 1", 9, "1 to 300"),
        ("prev(x, True) > 1", 9, "1 to 300"),
        ("prev(x + y, 1) > 1", 1, "prev(signal, 3)"),
        ("prev(prev(x, 1), 1) > 1", 1, "prev(signal, 3)"),
        ("prev(unknown, 1) > 1", 6, "signals:"),
        ("x if x > 1 else y", 1, "(a and b) or"),
        ("(lambda: 1)() > 1", 1, "functions are"),
        ("[x for x in y] > 1", 1, "not in the language"),
        ("(x := 1) > 1", 2, "not in the language"),
        ("x > +1", 5, "without it"),
        ("x > 'a'", 5, "not in the language"),
        ('x > "a"', 5, "not in the language"),
        ("x > 1 # and y > 1", 7, "not in the language"),
        ("x > 1; y", 6, "not in the language"),
        ("x >", 4, "does not read"),
        ("x > 1) or (y > 1", 6, "does not read"),
        ("", 1, "does not read"),
        ("x > 1 у", 7, "ASCII"),
        (f"x > {2**512 + 1}", 5, "2**512"),
        ("x > 1 and " * 300 + "x > 1", 2_049, "characters"),
        (" and ".join(["x > 1"] * 200), None, "parts"),
        ("(" * 40 + "x" + ")" * 40 + " > " + "-" * 70 + "1", None, "levels"),
        ("(" * 1_000 + "x > 1" + ")" * 1_000, None, ""),
        ("-" * 2_000 + "1 > 0", None, ""),
        ("not " * 500 + "x > 1", None, ""),
    ],
)
def test_what_is_outside_the_language_is_refused_at_its_column(
    text: str, column: int | None, advice: str
) -> None:
    with pytest.raises(Refused) as refusal:
        parse_condition(text, signals=SIGNALS)

    assert refusal.value.reason is Reason.EXPRESSION_INVALID
    assert advice in refusal.value.message
    if column is not None:
        assert refusal.value.message.startswith(f"column {column}:")


@pytest.mark.parametrize("limit", [RecursionError, MemoryError])
def test_a_limit_of_pythons_own_parser_is_a_refusal(
    monkeypatch: pytest.MonkeyPatch, limit: type[Exception]
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise limit

    monkeypatch.setattr("ast.parse", fail)

    with pytest.raises(Refused, match="nested too deeply"):
        parse_condition("x > 1", signals=SIGNALS)


@settings(deadline=None)
@given(
    st.text(max_size=200)
    | st.text(alphabet="xyz0123456789()+-*/%<>=!andortpev, .'\"[]{}:~^&|@", max_size=300)
)
@example("\x00")
@example("x" * 3_000)
@example("9" * 2_000 + " > 0")
@example("0x" + "f" * 2_000 + " > 0")
@example("\ud800")
def test_no_text_raises_anything_but_a_refusal(text: str) -> None:
    try:
        condition = parse_condition(text, signals=SIGNALS)
    except Refused:
        return
    assert type(compute_truth(condition, dict.fromkeys(reads_of(condition), 3))) in (bool, Undefined)


_reads = st.builds(Read, st.sampled_from(SIGNALS), st.integers(0, MAX_BLOCKS_AGO))
_terms: st.SearchStrategy[object] = st.recursive(
    st.builds(Literal, st.integers(0, 2**260)) | _reads,
    lambda terms: (
        st.builds(Negate, terms)
        | st.builds(Compute, st.sampled_from(Arithmetic), terms, terms)
        | st.builds(Choose, st.just(Choice.ABS), st.tuples(terms))
        | st.builds(Choose, st.sampled_from((Choice.MIN, Choice.MAX)), st.tuples(terms, terms))
    ),
    max_leaves=12,
)
_conditions = st.recursive(
    st.builds(Compare, st.sampled_from(Comparison), _terms, _terms),
    lambda conditions: (
        st.builds(Not, conditions)
        | st.builds(Join, st.sampled_from(Connective), st.tuples(conditions, conditions))
    ),
    max_leaves=5,
)


@settings(deadline=None)
@given(_conditions)
def test_the_canonical_text_reads_back_as_the_same_tree(condition: Condition) -> None:
    assert parse_condition(canonical_text(condition), signals=SIGNALS) == condition


@settings(deadline=None)
@given(_conditions, st.fixed_dictionaries({name: st.integers(-(2**256), 2**256) for name in SIGNALS}))
def test_evaluation_agrees_with_python_wherever_it_gives_a_verdict(
    condition: Condition, now: dict[str, int]
) -> None:
    def prev(value: int, _blocks: int) -> int:
        return value  # each signal has one value at all blocks here

    said = compute_truth(condition, {read: now[read.signal] for read in reads_of(condition)})

    scope = {"abs": abs, "min": min, "max": max, "prev": prev, **now}
    if isinstance(said, Undefined):
        assert said.reason is Reason.ARITHMETIC_UNDEFINED
    else:
        assert said is eval(canonical_text(condition), {"__builtins__": {}}, scope)


@settings(deadline=None)
@given(_conditions, st.integers(-(MAX_MAGNITUDE**2), MAX_MAGNITUDE**2))
def test_evaluation_of_any_value_ends_in_a_verdict_or_undefined(condition: Condition, value: int) -> None:
    said = compute_truth(condition, dict.fromkeys(reads_of(condition), value))

    assert type(said) in (bool, Undefined)
