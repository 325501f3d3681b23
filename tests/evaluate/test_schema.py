"""JSON Schemas: made from the parser's own tables, and refusing nothing that the parser takes."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st

from consensus.errors import Refused
from node.cli import cli
from node.commands.policy import KINDS, render_schema
from tests.detect.policies import SMALL
from tests.detect.series import POLICY as SERIES
from tests.evaluate.policies import EXAMPLE, make_policy_text

REPOSITORY = Path(__file__).resolve().parents[2]
FILES = {
    "rule": REPOSITORY / "node" / "evaluate" / "rule-policy.schema.json",
    "detection": REPOSITORY / "node" / "detect" / "detection-policy.schema.json",
    "bridge": REPOSITORY / "node" / "detect" / "bridge-policy.schema.json",
    "series": REPOSITORY / "node" / "detect" / "series" / "series-policy.schema.json",
}
POLICIES = sorted((EXAMPLE, *REPOSITORY.glob("docs/policies/**/*.yaml")))


# libyaml's parser where it is there: what differs between the loaders is what they make of a scalar
TextLoader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class EditorLoader(_SafeLoader):  # type: ignore[misc]
    """Reads as an editor does, with numbers, booleans and null; dates stay text, as in YAML 1.2."""


EditorLoader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern) for tag, pattern in resolvers if not tag.endswith((":timestamp", ":merge", ":value"))
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@cache
def validator(kind: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(FILES[kind].read_text()))


def kind_of(text: str) -> str:
    return next((kind for kind in ("detection", "series", "bridge") if f"tocsin_{kind}:" in text), "rule")


@pytest.mark.parametrize("kind", sorted(FILES))
def test_the_schema_in_the_package_is_made_from_the_parsers_tables(kind: str) -> None:
    told = CliRunner().invoke(cli, ["policy", "schema", "--kind", kind])

    assert told.output == render_schema(kind) == FILES[kind].read_text()
    jsonschema.Draft202012Validator.check_schema(json.loads(told.output))


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
@pytest.mark.parametrize("loader", [TextLoader, EditorLoader], ids=["text", "editor"])
def test_every_policy_of_the_repository_is_valid_and_names_its_schema(path: Path, loader: Any) -> None:
    text = path.read_text()

    validator(kind_of(text)).validate(yaml.load(text, loader))

    head = text.splitlines()[0].removeprefix("# yaml-language-server: $schema=")
    assert (path.parent / head).resolve() == FILES[kind_of(text)]


@pytest.mark.parametrize("kind", sorted(FILES))
def test_every_key_is_described(kind: str) -> None:
    def undescribed(schema: object, path: str) -> list[str]:
        found: list[str] = []
        if isinstance(schema, dict):
            for key, each in schema.get("properties", {}).items():
                found += [] if each.get("description") else [f"{path}.{key}"]
            for key, each in schema.items():
                found += undescribed(each, f"{path}.{key}")
        elif isinstance(schema, list):
            for each in schema:
                found += undescribed(each, path)
        return found

    assert undescribed(json.loads(FILES[kind].read_text()), "") == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("version: 1", "version: one"),
        ("ttl_seconds: 900", "ttl_second: 900"),
        ("ttl_seconds: 900", "ttl_seconds: 0"),
        ("level: limit", "level: halt"),
        ("kind: expression", "kind: drain"),
        ('call: "pool', 'calls: "pool'),
        ("  watch:", "  Watch:"),
        ("name: test\n", ""),
    ],
)
def test_an_editor_sees_these_mistakes(old: str, new: str) -> None:
    text = make_policy_text()
    assert old in text

    broken = yaml.load(text.replace(old, new, 1), EditorLoader)

    assert list(validator("rule").iter_errors(broken))
    assert not list(validator("rule").iter_errors(yaml.load(text, EditorLoader)))


EXTRA = """
  slot: {storage: pool, slot: 0x10, lowest_bit: 8, bits: 16}
  coin: {balance: pool}
  moved: {events: token, event: "Transfer(address indexed a, uint256 v)", take: sum, field: v}
  feed: {feed: pool, feed_decimals: 8, decimals: 8, max_age_seconds: 60}
  spot: {spot: pool, venue: uniswap-v2, of: token0, token_decimals: [18, 6], decimals: 8}
  mean: {twap: pool, venue: uniswap-v3, of: token1, token_decimals: [18, 6], decimals: 8, window_seconds: 600}
"""
BRIDGE = (REPOSITORY / "docs" / "policies" / "bridge.yaml").read_text()
BASES = (make_policy_text().replace("\nactions:", f"{EXTRA.rstrip()}\nactions:", 1), SMALL, SERIES, BRIDGE)
SCALARS = [
    [token for token in yaml.scan(base, TextLoader) if isinstance(token, yaml.ScalarToken)] for base in BASES
]


def is_taken(text: str) -> bool:
    from node.detect.bridge_policy import parse_bridge_policy
    from node.detect.policy import parse_detection_policy
    from node.detect.series.policy import parse_series_policy
    from node.evaluate.policy import parse_policy

    parsers = {
        "detection": parse_detection_policy,
        "series": parse_series_policy,
        "bridge": parse_bridge_policy,
        "rule": parse_policy,
    }
    try:
        parsers[kind_of(text)](text.encode())
    except Refused:
        return False
    return True


_PIECES = (
    *(
        "0",
        "1",
        "10_000",
        "1e3",
        "1.0",
        "null",
        "~",
        "true",
        "no",
        "0x1",
        '"0x"',
        "''",
        "' 1 '",
        '" pause "',
        "[]",
    ),
    *(
        "{}",
        "[1, 2]",
        "{a: 1}",
        "name",
        "x",
        "2024-01-01",
        "1:30",
        ".inf",
        "limit",
        "drain",
        "count",
        "token1",
    ),
)


@pytest.mark.parametrize("base", BASES, ids=["rule", "detection", "series", "bridge"])
def test_the_policies_that_are_mutated_are_taken_as_they_are(base: str) -> None:
    assert is_taken(base)


@settings(deadline=None, max_examples=400)
@example(0, 0, "null", False)
@given(st.integers(0, 3), st.integers(0, 200), st.sampled_from(_PIECES), st.booleans())
def test_what_a_schema_refuses_the_parser_refuses_too(base: int, at: int, piece: str, as_key: bool) -> None:
    """One scalar of a good policy, key or value, is replaced by something else."""
    text, wanted = BASES[base], SCALARS[base]
    token = wanted[(2 * at + (0 if as_key else 1)) % len(wanted)]
    text = text[: token.start_mark.index] + piece + text[token.end_mark.index :]

    refusing = [loader.__name__ for loader in (TextLoader, EditorLoader) if refuses(text, loader)]

    assert not (refusing and is_taken(text)), (
        f"the parser takes what the schema refuses ({refusing}):\n{text}"
    )


def refuses(text: str, loader: Any) -> bool:
    """Whether the schema refuses what an editor makes of a text."""
    try:
        instance = yaml.load(text, loader)
    except (yaml.YAMLError, ValueError, TypeError):
        return False
    # JSON has no keys but text; an editor reads others as text
    return _has_text_keys(instance) and not validator(kind_of(text)).is_valid(instance)


def _has_text_keys(value: object) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _has_text_keys(each) for key, each in value.items())
    return all(map(_has_text_keys, value)) if isinstance(value, list) else True


def test_both_kinds_are_known_by_the_key_at_their_head() -> None:
    assert {kind.key for kind in KINDS.values() if kind.schema} == {
        "tocsin",
        "tocsin_detection",
        "tocsin_series",
        "tocsin_bridge",
    }
