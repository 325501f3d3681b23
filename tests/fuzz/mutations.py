"""Bytes that are nearly right: a seed with a few of its bytes, or of its JSON values, exchanged."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st

MOST_BYTES = 4_096

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=80)
    | st.sampled_from(["0x", "0x0", "0x-1", "0x_1", "0x" + "f" * 64, "0x" + "f" * 65, "0x" + "zz", " 0x1"])
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def nearly(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """A seed, cut, with bytes exchanged, put in, taken out or repeated; up to four times."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["exchange", "insert", "remove", "cut", "repeat"])):
            case "exchange" if at < len(data):
                data[at] = draw(st.integers(0, 255) | st.sampled_from([0, 1, 0x7F, 0x80, 0xC0, 0xFF]))
            case "insert":
                data[at:at] = draw(st.binary(min_size=1, max_size=8))
            case "remove":
                del data[at : at + draw(st.integers(1, 8))]
            case "cut":
                del data[at:]
            case "repeat":
                data[at:at] = data[at : at + draw(st.integers(1, 64))]
    return bytes(data[:MOST_BYTES])


@st.composite
def nearly_json(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """A seed's JSON, with one of its values exchanged for another."""
    return msgspec.json.encode(_exchanged(draw, msgspec.json.decode(draw(st.sampled_from(seeds)))))


def _exchanged(draw: st.DrawFn, value: Any) -> Any:
    """The same value with something in it replaced, removed or repeated."""
    if not value or not isinstance(value, dict | list) or draw(st.integers(0, 4)) == 0:
        return draw(_VALUES)
    if isinstance(value, dict):
        key = draw(st.sampled_from(sorted(value)))
        if draw(st.integers(0, 4)) == 0:
            return {name: each for name, each in value.items() if name != key}
        return {**value, key: _exchanged(draw, value[key])}
    place = draw(st.integers(0, len(value) - 1))
    if draw(st.integers(0, 4)) == 0:
        return [*value, value[place]]
    return [*value[:place], _exchanged(draw, value[place]), *value[place + 1 :]]
