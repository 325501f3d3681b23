"""The wheel that an operator installs: everything the node reads, and nothing of the workshop."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
BUILD_SECONDS = 120


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of this checkout, built without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run(
        [*command, "--no-index", "--wheel-dir", str(folder), str(REPOSITORY)],
        check=True,
        timeout=BUILD_SECONDS,
        capture_output=True,
    )
    (built,) = folder.glob("tocsin-*.whl")
    return zipfile.ZipFile(built)


def test_the_contracts_that_the_node_reads_are_in_it(wheel: zipfile.ZipFile) -> None:
    here = {f"node/chain/abi/{path.name}" for path in (REPOSITORY / "node" / "chain" / "abi").glob("*.json")}

    assert "node/chain/abi/Guardian.json" in here
    assert here <= set(wheel.namelist())


def test_every_module_is_in_it_with_the_mark_of_a_typed_package(wheel: zipfile.ZipFile) -> None:
    ours = {
        str(path.relative_to(REPOSITORY))
        for package in ("node", "consensus")
        for path in (REPOSITORY / package).rglob("*.py")
    }

    assert ours | {"node/py.typed", "consensus/py.typed"} <= set(wheel.namelist())


def test_nothing_of_the_workshop_is_in_it(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}

    assert {top for top in tops if not top.endswith(".dist-info")} == {"node", "consensus"}
    assert not [name for name in wheel.namelist() if name.endswith((".sol", ".pyc", ".sqlite"))]


def test_it_brings_the_command_and_its_licence(wheel: zipfile.ZipFile) -> None:
    (entry_points,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))

    assert "tocsin = node.cli:main" in wheel.read(entry_points).decode()
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())
