"""The order of the suite: whole networks of processes last, when forge, which runs beside, has finished."""

from __future__ import annotations

from pathlib import Path

import pytest

WHOLE_NETWORKS = Path(__file__).parent / "e2e"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Stable: within both parts the order stays."""
    items.sort(key=lambda item: WHOLE_NETWORKS in item.path.parents)
