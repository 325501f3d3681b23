"""The order of the suite, who runs what, and logging, which belongs to the process."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from xdist.scheduler import LoadScopeScheduling

WHOLE_NETWORKS = Path(__file__).parent / "e2e"
CONTRACTS = Path(__file__).parent / "contracts"


class Shares(LoadScopeScheduling):  # type: ignore[misc]
    """What the processes of `-n` share out: modules, so that what one sets up is set up once.

    All that build the contracts are one share, since they build in one folder; a whole network is one by
    itself.
    """

    def _split_scope(self, nodeid: str) -> str:
        module = Path(nodeid.partition("::")[0])
        if WHOLE_NETWORKS.name in module.parts:
            return nodeid
        return str(module.parent if CONTRACTS.name in module.parts else module)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Shares:
    return Shares(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole networks of processes last, when forge, which runs beside, has finished; within both parts the
    order stays."""
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
