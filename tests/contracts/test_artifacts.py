"""The package data that the node ships is that of the contracts in this checkout.

Needs the compiler: `make contracts` installs it. Compiles when a source is newer than forge's cache.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

CONTRACTS = Path(__file__).resolve().parents[2] / "contracts"
FORGE = CONTRACTS / "tools" / "forge"
BUILD_SECONDS = 600


def load_exporter() -> ModuleType:
    """`tools/export-artifacts`, which has no suffix, as a module."""
    path = str(CONTRACTS / "tools" / "export-artifacts")
    loader = importlib.machinery.SourceFileLoader("export_artifacts", path)
    spec = importlib.util.spec_from_loader("export_artifacts", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def exporter() -> ModuleType:
    """The exporter, over sources that were just compiled."""
    subprocess.run(
        [FORGE, "build", "--quiet", "--skip", "test/**"],
        cwd=CONTRACTS,
        env=os.environ | {"FOUNDRY_PROFILE": "release"},
        check=True,
        timeout=BUILD_SECONDS,
    )
    return load_exporter()


def test_package_data_is_that_of_the_sources(exporter: ModuleType) -> None:
    assert exporter.main(["--check"]) == 0, "run `make contracts` and commit node/chain/abi"


def test_stale_missing_and_left_over_files_are_found(
    exporter: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(exporter, "PACKAGE_DATA", tmp_path)
    assert exporter.main([]) == 0
    assert exporter.main(["--check"]) == 0

    (tmp_path / "Guardian.json").write_text("{}")
    (tmp_path / "Vault.json").unlink()
    (tmp_path / "Gone.json").write_text("{}")

    assert exporter.main(["--check"]) == 1
    assert [line.split()[0] for line in capsys.readouterr().err.splitlines()] == [
        "Gone.json",
        "Guardian.json",
        "Vault.json",
    ]


def test_a_failing_forge_is_seen() -> None:
    """npm's launcher of forge ends with 0 whatever happens; a red test would look green."""
    assert (
        subprocess.run([FORGE, "test", "--no-such-flag"], cwd=CONTRACTS, capture_output=True).returncode != 0
    )
