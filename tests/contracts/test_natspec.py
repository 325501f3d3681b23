"""Who calls a contract of ours, or reads its log, finds in the NatSpec what it does and in which units.

Read from the metadata of the release build: what the compiler made of the comments, inheritance included.
What OpenZeppelin and Solady brought in is theirs to document.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

CONTRACTS = Path(__file__).resolve().parents[2] / "contracts"
RELEASE = CONTRACTS / "out-release"
BUILD_SECONDS = 600

BOOKS = {"function": "methods", "event": "events", "error": "errors"}
# A number whose name says what it counts, or in which unit; any other has to be explained.
SPEAKING_NUMBER = re.compile(
    r"(^(epoch|index|position|count)|(At|Until|After|Bps|Wei|Seconds|Bytes|Gas|Id|Index|Epoch|Depth|Number))_?$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One function, event or error of one contract, with what its NatSpec says."""

    contract: str
    kind: str
    signature: str
    inputs: tuple[tuple[str, str], ...]  # type, name
    notice: str
    text: str  # everything said about it, parameters included
    parameters: frozenset[str]

    def __str__(self) -> str:
        return f"{self.contract}: {self.kind} {self.signature}"


@pytest.fixture(scope="module")
def entries() -> list[Entry]:
    """Everything of ours that can be called, logged or thrown, from sources that were just compiled."""
    subprocess.run(
        [CONTRACTS / "tools" / "forge", "build", "--quiet", "--skip", "test/**"],
        cwd=CONTRACTS,
        env=os.environ | {"FOUNDRY_PROFILE": "release"},
        check=True,
        timeout=BUILD_SECONDS,
    )
    return [
        entry for source in sorted((CONTRACTS / "src").rglob("*.sol")) for entry in read_entries(source.stem)
    ]


def read_entries(contract: str) -> Iterator[Entry]:
    """Of the contract in the file of its name; what stands beside it there is for its own use."""
    path = RELEASE / f"{contract}.sol" / f"{contract}.json"
    if not path.exists():  # a file of types and of libraries for them
        return
    built = json.loads(path.read_text())
    metadata = json.loads(built["rawMetadata"])
    theirs = {
        signature_of(each)
        for source in metadata["sources"]
        if source.startswith("node_modules/")
        for other in RELEASE.rglob(f"{Path(source).name}/*.json")
        for each in json.loads(other.read_text())["abi"]
        if each["type"] in BOOKS
    }
    for each in built["abi"]:
        if each["type"] in BOOKS and signature_of(each) not in theirs:
            yield read_entry(each, contract, metadata["output"])


def read_entry(each: dict[str, Any], contract: str, output: dict[str, Any]) -> Entry:
    signature, book = signature_of(each), BOOKS[each["type"]]
    user = output["userdoc"].get(book, {}).get(signature, {})
    developer = output["devdoc"].get(book, {}).get(signature, {})
    if book == "errors":  # a list: two libraries may declare the same error
        user, developer = (user or [{}])[0], (developer or [{}])[0]
    return Entry(
        contract=contract,
        kind=each["type"],
        signature=signature,
        inputs=tuple((parameter["type"], parameter["name"]) for parameter in each["inputs"]),
        notice=user.get("notice", ""),
        text=json.dumps([user, developer]),
        parameters=frozenset(developer.get("params", {})),
    )


def signature_of(each: dict[str, Any]) -> str:
    return f"{each['name']}({','.join(type_of(parameter) for parameter in each['inputs'])})"


def type_of(parameter: dict[str, Any]) -> str:
    written = str(parameter["type"])
    if not written.startswith("tuple"):
        return written
    return f"({','.join(type_of(part) for part in parameter['components'])}){written.removeprefix('tuple')}"


def test_every_function_and_event_says_what_it_does(entries: list[Entry]) -> None:
    assert len(entries) > 100, "the walk finds nothing any more"

    silent = [str(each) for each in entries if each.kind != "error" and not each.notice]

    assert not silent, "\n".join(["without @notice:", *silent])


def test_every_parameter_has_a_name(entries: list[Entry]) -> None:
    """Getters of mappings whose key is not named, errors like E(uint256)."""
    nameless = [str(each) for each in entries if any(not name for _, name in each.inputs)]

    assert not nameless, "\n".join(["with a parameter that has no name:", *nameless])


def test_every_number_that_is_passed_in_has_a_unit(entries: list[Entry]) -> None:
    """By its name, by @param, or in the text in backticks."""
    unitless = [
        f"{each}: {name}"
        for each in entries
        if each.kind == "function"
        for kind, name in each.inputs
        if kind.startswith(("uint", "int"))
        and not SPEAKING_NUMBER.search(name)
        and name not in each.parameters
        and f"`{name.rstrip('_')}`" not in each.text
    ]

    assert not unitless, "\n".join(["numbers without a unit:", *unitless])
