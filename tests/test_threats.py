"""Every threat has named tests that exist, or an argument: the table in docs/network.md, read by machine."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = REPOSITORY / "docs" / "network.md"
THREATS = [f"T{number}" for number in range(1, 22)]

ROW = re.compile(r"^\| (T\d+) \| (.+) \| (.+) \| (.+) \|$", re.MULTILINE)
TEST = re.compile(r"`([\w./-]+\.(?:py|sol))::(\w+)`")
TEST_LIKE = ("test", "testFuzz_", "check_", "invariant_")


def rows() -> dict[str, str]:
    """The last cell of each threat: its tests, and what is argued."""
    return {threat: cell for threat, _, _, cell in ROW.findall(PAGE.read_text())}


def named_tests() -> list[tuple[str, str, str]]:
    return [(threat, path, name) for threat, cell in rows().items() for path, name in TEST.findall(cell)]


def test_the_table_names_each_threat_once_and_in_order() -> None:
    assert [threat for threat, *_ in ROW.findall(PAGE.read_text())] == THREATS


@pytest.mark.parametrize("threat", THREATS)
def test_every_threat_has_a_test_or_an_argument(threat: str) -> None:
    cell = rows()[threat]

    assert TEST.search(cell) or "Argued: " in cell


@pytest.mark.parametrize(("threat", "path", "name"), named_tests())
def test_every_test_that_the_table_names_exists(threat: str, path: str, name: str) -> None:
    source = (REPOSITORY / path).read_text()

    assert name.startswith(TEST_LIKE), f"{threat} names {name}, which no runner would run"
    assert re.search(rf"\b(?:def|function) {name}\(", source), f"{threat} names {name}, not found in {path}"


# --- T20: the supply chain


def test_every_python_dependency_is_pinned_by_hash() -> None:
    for lock in REPOSITORY.glob("requirements*.lock"):
        entries = re.split(r"\n(?=\S)", lock.read_text().strip())
        for entry in entries:
            if not entry.startswith("#"):
                assert re.match(r"[\w.\[\]-]+==\S+", entry), f"{lock.name}: {entry[:60]!r} is not pinned"
                assert "--hash=sha256:" in entry, f"{lock.name}: {entry[:60]!r} has no hash"
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    loose = [each for each in project["dependencies"] if "==" not in each]
    assert not loose
    assert "--require-hashes" in (REPOSITORY / "deploy" / "bootstrap").read_text()


def test_no_script_of_a_package_runs_when_it_is_installed() -> None:
    settings = (REPOSITORY / "contracts" / ".npmrc").read_text().split()
    installs = re.findall(r"npm (?:install|ci)\b.*", (REPOSITORY / "deploy" / "bootstrap").read_text())

    assert "ignore-scripts=true" in settings
    assert installs
    assert all("--ignore-scripts" in each for each in installs)
