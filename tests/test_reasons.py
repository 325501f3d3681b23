"""docs/reasons.md says what the one table of reasons says."""

from pathlib import Path

import pytest

from consensus.errors import Reason
from tests.render_reasons import render_reasons

PAGE = Path(__file__).parents[1] / "docs" / "reasons.md"


def test_the_page_of_reasons_is_what_the_table_renders() -> None:
    assert PAGE.read_text() == render_reasons(), "run: python -m tests.render_reasons > docs/reasons.md"


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_is_explained_in_one_line(reason: Reason) -> None:
    assert reason.explanation
    assert not set(reason.explanation) & {"\n", "|"}, "a line break or a bar would break the page's table"
