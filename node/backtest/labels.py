"""Which exploit belongs to which history: by hashes alone, or by a file of labels.

The file: `{"<history's name>": {"exploit_tx": "0x…" | null}, …}`; null names a control. Labels of histories
that are not played are left alone, so that one file can serve a whole collection.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from consensus.errors import Reason, Refused
from node.observe.history import RecordedHistory

MAX_LABEL_BYTES: Final = 16 * 1024 * 1024


class _Label(msgspec.Struct, forbid_unknown_fields=True):
    exploit_tx: str | None


def read_labels(path: Path, histories: Sequence[RecordedHistory]) -> list[str | None]:
    """The exploit's hash for each history, None for a control. Raises `Refused` (LABEL_INVALID)."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_LABEL_BYTES + 1)
        if len(content) > MAX_LABEL_BYTES:
            raise _refusal(f"{path}: more than {MAX_LABEL_BYTES} bytes of labels")
        labels = msgspec.json.decode(content, type=dict[str, _Label])
    except OSError as error:
        raise _refusal(f"{path}: cannot be read: {error.strerror}") from None
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _refusal(
            f'{path}: expected {{"name": {{"exploit_tx": "0x…" or null}}}}: {str(error)[:200]}'
        ) from None
    for history in histories:
        if history.name not in labels:
            raise _refusal(
                f"{path}: nothing is said of {history.name!r}; write its exploit_tx, or null for a control"
            )
    return [labels[history.name].exploit_tx for history in histories]


def find_exploits(hashes: Sequence[str], histories: Sequence[RecordedHistory]) -> list[str | None]:
    """The exploit's hash for each history, found by looking where each hash was recorded; None where none
    was.

    Raises `Refused` (LABEL_INVALID) for a hash that no history has, or several, and for a history with two.
    """
    if len(histories) == 1 and len(hashes) <= 1:
        return [hashes[0] if hashes else None]  # whether it is there is found out when the history is planned
    wanted = [each.lower() for each in hashes]
    found: dict[str, list[int]] = {each: [] for each in wanted}
    for place, history in enumerate(histories):
        recorded = {row.hash for row in history.outline() if not row.is_empty and row.hash in found}
        for each in recorded:
            found[each].append(place)
    exploits: list[str | None] = [None] * len(histories)
    for each, places in found.items():
        if len(places) != 1:
            raise _refusal(
                f"the transaction {each[:80]!r} is recorded in {len(places)} of the histories, and must be "
                "in one; give each hash as it stands in its history"
            )
        if exploits[places[0]] is not None:
            raise _refusal(
                f"{histories[places[0]].name} has two exploits; give the first one's hash, the rest is set "
                f"aside"
            )
        exploits[places[0]] = each
    return exploits


def _refusal(message: str) -> Refused:
    return Refused(Reason.LABEL_INVALID, message)
