"""Decoding what contracts return: an integer, or no value; never a guess."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.errors import Reason
from consensus.types import Address
from node.evaluate.expressions import Undefined
from node.evaluate.signals import CallSignal, parse_call
from tests.evaluate.policies import POOL


def make_signal(types: str, *, position: int = 0) -> CallSignal:
    call = parse_call(f"pool.f()({types})")
    return CallSignal(
        name="x",
        contract="pool",
        call=call.canonical(),
        to=Address(POOL),
        calldata=b"",
        return_types=call.return_types,
        position=position,
    )


@pytest.mark.parametrize(
    ("abi_type", "value", "expected"),
    [
        ("uint256", 2**256 - 1, 2**256 - 1),
        ("int256", -(2**255), -(2**255)),
        ("int8", -1, -1),
        ("bool", True, 1),
        ("address", POOL, int(POOL, 16)),
        ("bytes4", b"\x01\x02\x03\x04", 0x01020304),
    ],
)
def test_each_type_of_one_word_is_an_integer(abi_type: str, value: object, expected: int) -> None:
    decoded = make_signal(abi_type).decode(encode([abi_type], [value]))

    assert decoded == expected
    assert type(decoded) is int


def test_returns_picks_one_of_several_values() -> None:
    returned = encode(["uint256", "uint256", "uint8"], [1, 2, 3])

    assert make_signal("uint256,uint256,uint8", position=1).decode(returned) == 2


@pytest.mark.parametrize(
    ("types", "returned"),
    [
        ("uint256", b""),
        ("uint256", bytes(31)),
        ("uint256,uint256", bytes(32)),
        ("uint8", (256).to_bytes(32, "big")),
        ("bool", (2).to_bytes(32, "big")),
        ("address", b"\x01" + bytes(31)),
        ("bytes4", bytes(31) + b"\x01"),
    ],
)
def test_what_is_not_of_the_declared_types_has_no_value(types: str, returned: bytes) -> None:
    decoded = make_signal(types).decode(returned)

    assert isinstance(decoded, Undefined)
    assert decoded.reason is Reason.SIGNAL_UNDEFINED


@settings(deadline=None)
@given(
    st.binary(max_size=200), st.sampled_from(["uint256", "int8", "bool", "address", "bytes4", "uint8,int16"])
)
def test_no_answer_raises(returned: bytes, types: str) -> None:
    assert isinstance(make_signal(types).decode(returned), int | Undefined)
