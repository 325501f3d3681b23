"""Whatever a stranger sends, a decoder gives a value back or refuses by name; none is left out here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.decoders import DECODERS, OURS, Decoder
from tests.fuzz.mutations import MOST_BYTES, nearly, nearly_json

REPOSITORY = Path(__file__).resolve().parents[2]
ROOMS = (
    "consensus",
    "node/gossip",
    "node/chain/parse.py",
    "node/chain/body.py",
    "node/evaluate/policy.py",
    "node/detect/policy.py",
    "node/observe",
)
NAMES = ("decode", "parse", "from_bytes", "from_xy_bytes", "from_chain")
TAKES = ("bytes", "Json", "Any")
"""What the first parameter of a decoder is annotated with."""

BY_NAME = pytest.mark.parametrize("decoder", DECODERS, ids=lambda decoder: decoder.name)


def hold(decoder: Decoder, data: bytes) -> None:
    """The property: a value or a named refusal; and one form for a value where the format has one."""
    with suppress(*decoder.refusals):
        value = decoder.decode(data)
        if decoder.encode is not None:
            assert decoder.encode(value) == data


@BY_NAME
def test_a_seed_is_taken_and_comes_back_the_same(decoder: Decoder) -> None:
    assert decoder.seeds
    for seed in decoder.seeds:
        value = decoder.decode(seed)

        assert decoder.encode is None or decoder.encode(value) == seed


@BY_NAME
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_bytes_that_are_nearly_right_are_taken_or_refused_by_name(
    decoder: Decoder, data: st.DataObject
) -> None:
    hold(decoder, data.draw(nearly(decoder.seeds)))


@pytest.mark.parametrize(
    "decoder", [each for each in DECODERS if each.is_json], ids=lambda decoder: decoder.name
)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_answers_with_a_value_exchanged_are_taken_or_refused_by_name(
    decoder: Decoder, data: st.DataObject
) -> None:
    hold(decoder, data.draw(nearly_json(decoder.seeds)))


@BY_NAME
@settings(max_examples=10, deadline=None)
@given(data=st.binary(max_size=MOST_BYTES))
def test_any_bytes_are_taken_or_refused_by_name(decoder: Decoder, data: bytes) -> None:
    hold(decoder, data)


def test_the_property_fails_for_a_decoder_that_raises_something_else() -> None:
    careless = Decoder(
        name="careless", covers=(), decode=lambda data: data.decode(), seeds=(b"a",), refusals=(KeyError,)
    )

    with pytest.raises(UnicodeDecodeError):
        hold(careless, b"\xff")


def test_the_property_fails_for_a_value_with_two_forms() -> None:
    lax = Decoder(name="lax", covers=(), decode=int, encode=lambda value: str(value).encode(), seeds=(b"1",))

    with pytest.raises(AssertionError):
        hold(lax, b"01")


# --- the list is whole


def files() -> Iterator[Path]:
    for room in ROOMS:
        path = REPOSITORY / room
        yield from sorted(path.glob("**/*.py")) if path.is_dir() else [path]


def decoders_in(path: Path) -> Iterator[str]:
    """Public functions and class methods that are named like a decoder and take a stranger's value first."""
    module = path.relative_to(REPOSITORY).with_suffix("").as_posix().replace("/", ".")
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            if is_decoder(node, skip=0) or node.name.endswith("_parser"):
                yield f"{module}.{node.name}"
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from (
                f"{module}.{node.name}.{method.name}"
                for method in node.body
                if isinstance(method, ast.FunctionDef)
                and any(
                    isinstance(each, ast.Name) and each.id == "classmethod" for each in method.decorator_list
                )
                and is_decoder(method, skip=1)
            )


def is_decoder(node: ast.FunctionDef, *, skip: int) -> bool:
    if node.name.startswith("_") or not node.name.startswith(NAMES):
        return False
    parameters = node.args.args[skip:]
    return bool(parameters) and any(
        name in ast.unparse(parameters[0].annotation or ast.Constant("Any")) for name in TAKES
    )


def test_every_decoder_in_the_code_is_in_the_list() -> None:
    found = {name for path in files() for name in decoders_in(path)}
    listed = {name for decoder in DECODERS for name in decoder.covers}

    assert {"consensus.attestation.decode", "node.chain.parse.block_parser"} <= found, (
        "the search finds nothing"
    )
    assert found - listed - set(OURS) == set(), "add these to tests/fuzz/decoders.py"


def test_nothing_is_listed_that_is_not_in_the_code() -> None:
    found = {name for path in files() for name in decoders_in(path)}
    listed = {name for decoder in DECODERS for name in decoder.covers}

    by_construction = {
        "consensus.bls.PublicKey",
        "consensus.bls.Signature",
    }  # a point is parsed when it is built
    assert listed - found == by_construction
    assert set(OURS) <= found
