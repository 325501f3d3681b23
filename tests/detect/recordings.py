"""Histories in the recorded form, written to a file or folder."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.detect.traces import COIN, DEPOSIT, USER, VAULT, WITHDRAW

Blocks = Mapping[int, Mapping[str, list[Any]]]


def hash_of(number: int) -> str:
    return f"0x{number:064x}"


def recorded_call(
    selector: str = DEPOSIT, *, kind: str = "firstcall", span: tuple[int, int] = (-1, 50), **changes: Any
) -> list[Any]:
    accesses = changes.get(
        "accesses", {VAULT: [["sload", "0x7", "0x1", 3, 4], ["sstore", "0x7", "0x2", 5, 6]]}
    )
    return [
        changes.get("contract", VAULT),
        selector,
        changes.get("status", "complete"),
        *span,
        kind,
        accesses,
    ]


def recorded_deposit(units: int = 100) -> list[Any]:
    return [[recorded_call(DEPOSIT)], [[COIN, USER, VAULT, units]]]


def recorded_withdrawal(units: int) -> list[Any]:
    return [[recorded_call(WITHDRAW)], [[COIN, VAULT, USER, units]]]


def recorded_theft(units: int) -> list[Any]:
    """Re-enters the withdrawal by a contract and takes `units` twice."""
    outer = recorded_call(WITHDRAW, kind="call", span=(100, 900))
    inner = recorded_call(WITHDRAW, kind="call", span=(300, 700))
    return [[outer, inner], [[COIN, VAULT, USER, units], [COIN, VAULT, USER, units]]]


def quiet_history(transactions: int) -> dict[int, dict[str, list[Any]]]:
    """Deposits of 100 and withdrawals of 10, one a block, a hundred blocks apart."""
    return {
        1_000 + 100 * n: {hash_of(n): recorded_withdrawal(10) if n % 3 == 2 else recorded_deposit()}
        for n in range(transactions)
    }


def write_zip(path: Path, blocks: Blocks, *, folder: str = "history/") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, rows in blocks.items():
            archive.writestr(f"{folder}{number}.json", json.dumps(rows))
    return path


def write_folder(path: Path, blocks: Blocks) -> Path:
    path.mkdir()
    for number, rows in blocks.items():
        (path / f"{number}.json").write_text(json.dumps(rows))
    return path
