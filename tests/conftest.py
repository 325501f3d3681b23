"""The order of the suite: whole networks of processes last, when forge, which runs beside, has finished.
And logging, which belongs to the process."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

WHOLE_NETWORKS = Path(__file__).parent / "e2e"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Stable: within both parts the order stays."""
    items.sort(key=lambda item: WHOLE_NETWORKS in item.path.parents)


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """A command that runs within a test configures logging for the process; the next test starts without."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    if structlog.is_configured():
        structlog.reset_defaults()
        root.handlers[:], root.level = handlers, level
