"""The package, packed and installed once for all tests that use it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contracts.foreign_project import install, pack


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `npm publish` would send."""
    return pack(tmp_path_factory.mktemp("archive"))


@pytest.fixture(scope="session")
def project(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stranger's Foundry project that has installed it."""
    folder = tmp_path_factory.mktemp("project")
    install(archive, folder)
    return folder
