"""The picture in the docs is what the code draws."""

from __future__ import annotations

import re
from pathlib import Path

from tests.render_backtest import render_picture

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "backtest.svg"


def test_the_picture_in_the_docs_is_what_is_drawn() -> None:
    assert rounded(PICTURE.read_text()) == rounded(render_picture()), (
        "run: python -m tests.render_backtest > docs/backtest.svg"
    )


def test_the_picture_needs_nothing_but_plain_colours_on_light_and_has_others_on_dark() -> None:
    """Not everything that draws an SVG knows CSS variables."""
    svg = PICTURE.read_text()

    assert "var(" not in svg
    used = set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", svg.split("</style>", 1)[1]))
    assert len(used) >= 8
    for colour in used:
        assert f': {colour}"]' in svg.split("</style>", 1)[0]


def rounded(svg: str) -> str:
    """Without the digits in which machines may differ, and without names that are made of them."""
    return re.sub(r"\b[mp][0-9a-f]{10}\b", "name", re.sub(r"(\d+\.\d)\d+", r"\1", svg))
