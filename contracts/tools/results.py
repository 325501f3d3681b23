"""What the long runs found, as JSON in .prove/, each with the sources that it is about."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONTRACTS = Path(__file__).resolve().parent.parent
REPOSITORY = CONTRACTS.parent
RESULTS = REPOSITORY / ".prove"


@dataclass(frozen=True, slots=True)
class Result:
    """`tree` is git's short name of contracts/src, with a + where files differed from it."""

    tree: str
    figures: Any


def git(*arguments: str) -> str:
    finished = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return finished.stdout.strip()


def save(name: str, figures: Any) -> None:
    """Keeps figures that are JSON under a name, in place of older ones."""
    RESULTS.mkdir(exist_ok=True)
    tree = git("rev-parse", "--short", "HEAD:contracts/src")
    if git("status", "--porcelain", "contracts/src"):
        tree += "+"
    text = json.dumps({"tree": tree, "figures": figures}, indent=1)
    (RESULTS / f"{name}.json").write_text(text + "\n")


def read(name: str) -> Result | None:
    """What was kept last under the name; None where nothing was."""
    path = RESULTS / f"{name}.json"
    return Result(**json.loads(path.read_text())) if path.exists() else None
