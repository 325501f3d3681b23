"""`tocsin policy check`: every problem at its line and column, with what to write; none on sound files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.errors import Refused
from node.cli import cli
from node.evaluate.document import TextNode, read_document
from node.evaluate.policy import parse_policy
from node.evaluate.problems import MAX_PROBLEMS, DocumentRefused
from tests.detect.policies import GENERAL
from tests.detect.series import POLICY as SERIES
from tests.evaluate.policies import EXAMPLE, make_policy_text


def check(path: Path, *options: str) -> Result:
    return CliRunner().invoke(cli, ["policy", "check", str(path), *options], catch_exceptions=False)


def write(folder: Path, text: str) -> Path:
    path = folder / "policy.yaml"
    path.write_text(text)
    return path


def problems_of(path: Path) -> list[tuple[int, int, str]]:
    told = json.loads(check(path, "--json").output)
    return [(each["line"], each["column"], each["message"]) for each in told["problems"]]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (EXAMPLE, "rule"),
        (GENERAL, "detection"),
        (GENERAL.with_name("bridge.yaml"), "bridge"),
        (GENERAL.with_name("series.yaml"), "series"),
    ],
)
def test_a_wellformed_policy_is_told_by_its_kind_and_hash(path: Path, kind: str) -> None:
    told = check(path, "--json")

    assert told.exit_code == 0
    answer = json.loads(told.output)
    assert (answer["valid"], answer["kind"]) == (True, kind)
    assert answer["hash"] in check(path).output


def test_all_problems_are_told_at_once_each_with_its_caret(tmp_path: Path) -> None:
    text = make_policy_text().replace("version: 1\n", "version: one\n")
    text = text.replace("ttl_seconds: 900", "ttl_second: 900").replace("args: [pool]", "args: [pol]")
    text = text.replace("when: x > 100", "when: 1 + xs > 100 and y / 2 > z").replace(
        "brake, stop]", "brak, stop]"
    )
    path = write(tmp_path, text)

    told = check(path)

    assert told.exit_code == 2
    found = problems_of(path)
    assert [(line, column) for line, column, _ in found] == [
        (2, 1),
        (4, 10),
        (5, 1),
        (13, 57),
        (23, 15),
        (23, 28),
        (23, 36),
        (25, 26),
    ]
    assert "did you mean `ttl_seconds`" in told.output
    assert "did you mean `pool`" in told.output
    assert "did you mean `brake`" in told.output
    assert "    when: 1 + xs > 100 and y / 2 > z\n       |               ^\n" in told.output


@pytest.mark.parametrize(
    ("when", "line", "column"),
    [
        ("x > w", 23, 15),
        ("'x > w'", 23, 16),
        ('"x > w"', 23, 16),
        (">-\n      x > 1\n      and y > w", 25, 15),
        (">- # why\n      x > 1\n\n      and\n        w > 2", 27, 9),
        ("|\n      x > w\n", 24, 11),
        ("x >\n      1 and\n      w > 0", 25, 7),
        ("x > (1", 23, 15),
        ('"x\\x20> w"', 23, 11),
    ],
    ids=["plain", "single quotes", "double quotes", "folded", "header", "literal", "lines", "end", "escapes"],
)
def test_a_column_within_an_expression_is_a_place_in_the_file(
    tmp_path: Path, when: str, line: int, column: int
) -> None:
    path = write(tmp_path, make_policy_text().replace("when: x > 100", f"when: {when}"))

    ((found_line, found_column, _),) = problems_of(path)

    assert (found_line, found_column) == (line, column)


def test_what_depends_on_a_refused_entry_is_not_refused_as_well(tmp_path: Path) -> None:
    text = make_policy_text().replace('"pool.total()(uint256)"', '"pool.total()(uint)"')
    path = write(tmp_path, text.replace("x > 100", "x > y"))

    assert [line for line, _, _ in problems_of(path)] == [14]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1", "tocsin: 1"),
        ("tocsin: 1\ntocsin_detection: 1", "came rule and detection"),
        ("- a", "expected a map"),
        ("a: [", "not YAML"),
        ("", "empty"),
    ],
)
def test_what_is_neither_kind_says_how_each_begins(tmp_path: Path, text: str, message: str) -> None:
    told = check(write(tmp_path, text))

    assert told.exit_code == 2
    assert message in told.output


def test_a_missing_file_is_one_problem(tmp_path: Path) -> None:
    told = check(tmp_path / "none.yaml", "--json")

    assert told.exit_code == 2
    assert "cannot be read" in json.loads(told.output)["problems"][0]["message"]


def test_no_more_problems_are_looked_for_than_anybody_reads(tmp_path: Path) -> None:
    text = make_policy_text() + "".join(f"wrong{number}: 1\n" for number in range(1_000))

    assert len(problems_of(write(tmp_path, text))) == MAX_PROBLEMS


def test_a_refusal_of_many_problems_names_the_first_and_how_many_more() -> None:
    text = make_policy_text().replace("version: 1", "version: one").replace("x > 100", "w > 100")

    with pytest.raises(Refused, match=r"line 4: version: .* \(1 more: `tocsin policy check` lists them\)"):
        parse_policy(text.encode())


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_every_place_that_is_named_stands_in_the_file(data: st.DataObject) -> None:
    text = make_policy_text()
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        text = text[:at] + data.draw(st.text("abx:{}[],'\"\n >-#19", max_size=4)) + text[at + 2 :]
    lines = text.split("\n")

    try:
        parse_policy(text.encode())
    except DocumentRefused as refused:
        for each in refused.problems:
            assert 1 <= each.place.line <= len(lines) + 1
            assert 1 <= each.place.column <= len([*lines, ""][each.place.line - 1]) + 1


@settings(deadline=None)
@given(st.lists(st.sampled_from(["x", ">", "10", "and", "(y)"]), min_size=1, max_size=12), st.data())
def test_each_character_of_a_folded_text_is_found_where_it_stands(
    words: list[str], data: st.DataObject
) -> None:
    body = "".join(word + data.draw(st.sampled_from([" ", "\n  ", "   ", "\n\n  "])) for word in words)
    written = f"a: >-\n  {body.rstrip()}\n"

    node = read_document(written.encode()).entries()["a"]

    assert isinstance(node, TextNode)
    lines = written.split("\n")
    for offset, character in enumerate(node.value):
        if not character.isspace():
            place = node.place_of(offset)
            assert lines[place.line - 1][place.column - 1] == character


def test_all_problems_of_a_series_policy_are_told_at_once(tmp_path: Path) -> None:
    text = SERIES.replace("version: 1", "version: one").replace("warmup: 50, ", "")
    text = text.replace("detector: oracle_deviation", "detector: oracle_deviatoin")
    text = text.replace("five false alerts", "many false alerts")

    messages = [message for _, _, message in problems_of(write(tmp_path, text))]

    assert len(messages) == 4
    for message, words in zip(
        messages,
        (
            "whole number from 1",
            "expected a budget",
            "`warmup` is missing",
            "did you mean `oracle_deviation`",
        ),
        strict=True,
    ):
        assert words in message


def test_a_series_policy_in_two_files_is_one(tmp_path: Path) -> None:
    head, _, rules = SERIES.partition("rules:\n")
    (tmp_path / "rules.yaml").write_text(f"rules:\n{rules}")
    whole = json.loads(check(write(tmp_path, SERIES), "--json").output)

    cut = json.loads(check(write(tmp_path, f"{head}include: [rules.yaml]\n"), "--json").output)

    assert cut == whole
