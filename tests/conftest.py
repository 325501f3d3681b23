"""The order of the suite, who runs what, and logging, which belongs to the process.

Whole networks of processes come last, when forge, which runs beside, has finished. Where several processes run
the suite (`-n`, `--dist loadgroup`), a module stays within one, so that what it sets up is set up once; so do all
that build the contracts, since they share their folder. Networks are set up by each test, and are spread.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

WHOLE_NETWORKS = Path(__file__).parent / "e2e"
CONTRACTS = Path(__file__).parent / "contracts"


@pytest.hookimpl(tryfirst=True)  # before the groups are read
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Stable: within both parts the order stays."""
    items.sort(key=lambda item: WHOLE_NETWORKS in item.path.parents)
    for item in items:
        if WHOLE_NETWORKS not in item.path.parents:
            together = CONTRACTS if CONTRACTS in item.path.parents else item.path
            item.add_marker(pytest.mark.xdist_group(str(together.relative_to(Path(__file__).parent))))


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """A command that runs within a test configures logging for the process; the next test starts without."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    if structlog.is_configured():
        structlog.reset_defaults()
        root.handlers[:], root.level = handlers, level
