"""How a history is split, before the first transaction is learned from.

      first half            second half
    ├─────────────────┼───────────────────────────┬──────────────┬─────────►
      learned            benign: every alarm        set aside      exploit, and what follows it
                         here is a false one        as attack

An attack does not begin with the transaction that gave it its name: contracts are deployed and first steps
tried some blocks before. The rows of the exploit's block and of the `QUARANTINE_BLOCKS` before it are
therefore judged, but are not benign; nor is anything after the exploit. Transactions of which nothing was
recorded are left out.

With learned state from a file nothing more is learned: what it learned from is skipped, the rest is judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from consensus.errors import Reason, Refused
from consensus.types import BlockNumber
from node.detect.learned import Learned, RowsHash
from node.observe.history import RecordedHistory, Row
from node.trace import TransactionTrace

# Ten minutes of Ethereum; chosen before any history was scored, and the same for all.
QUARANTINE_BLOCKS: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How many transactions, in order, are skipped, learned from and scored."""

    to_skip: int
    """Learned from already: they stand in the file of learned state."""
    to_learn: int
    to_score: int
    exploit_hash: str | None
    exploit_block: BlockNumber | None

    @property
    def total(self) -> int:
        """All of them."""
        return self.to_skip + self.to_learn + self.to_score

    def is_attack(self, transaction: TransactionTrace) -> bool:
        """Whether it belongs to the attack, or comes after it."""
        first = None if self.exploit_block is None else self.exploit_block - QUARANTINE_BLOCKS
        return first is not None and transaction.block_number >= first


def make_plan(history: RecordedHistory, exploit_hash: str | None, *, learned: Learned | None = None) -> Plan:
    """Split a history in the middle of its transactions, or where `learned` ends.

    Raises `Refused` (HISTORY_INVALID; LABEL_INVALID where the exploit is not in the history, or in what is
    learned from; OUT_OF_ORDER where the history goes back behind the end of `learned` with other transactions
    than those, or not beyond it).
    """
    exploit_hash = None if exploit_hash is None else exploit_hash.lower()
    rows = [row for row in history.outline() if not row.is_empty]
    exploit_block = _find(rows, exploit_hash, history.name)
    if learned is None:
        to_skip, to_learn = 0, len(rows) // 2
        last_learned = rows[to_learn - 1].block_number if to_learn else None
    else:
        to_skip, to_learn = _count_learned(rows, learned, history.name), 0
        last_learned = BlockNumber(learned.last_position[0])
    _require_unlearned(exploit_block, last_learned)
    return Plan(
        to_skip=to_skip,
        to_learn=to_learn,
        to_score=len(rows) - to_skip - to_learn,
        exploit_hash=exploit_hash,
        exploit_block=exploit_block,
    )


def count_span(history: RecordedHistory, until_block: int | None) -> tuple[int, bytes]:
    """How many transactions a training span has, and the hash over them: those up to a block, or half of all.

    Raises `Refused` (HISTORY_INVALID; OUT_OF_RANGE where there are none).
    """
    rows = [row for row in history.outline() if not row.is_empty]
    count = len(rows) // 2
    if until_block is not None:
        count = sum(row.block_number <= until_block for row in rows)
    if not count:
        first = f"begins at block {rows[0].block_number}" if rows else "is empty"
        raise Refused(
            Reason.OUT_OF_RANGE,
            f"there is no transaction to learn from: {history.name} {first}; choose a later end",
        )
    return count, _hash_of(rows[:count])


def _find(rows: Sequence[Row], exploit_hash: str | None, name: str) -> BlockNumber | None:
    if exploit_hash is None:
        return None
    block = next((row.block_number for row in reversed(rows) if row.hash == exploit_hash), None)
    if block is None:
        raise Refused(
            Reason.LABEL_INVALID,
            f"{name} recorded nothing of a transaction {exploit_hash[:80]!r}; give the hash as it stands in "
            "the history",
        )
    return block


def _count_learned(rows: Sequence[Row], learned: Learned, name: str) -> int:
    """How many rows at the start are those that were learned from: all of them, or none."""
    last_block = learned.last_position[0]
    if rows and rows[0].block_number > last_block:
        return 0
    if _hash_of(rows[: learned.transactions]) != learned.rows:
        raise Refused(
            Reason.OUT_OF_ORDER,
            f"{name} begins at or before block {last_block}, up to which {learned.history} was learned from, "
            "and does not begin with those transactions; give that history, or one that begins later",
        )
    if len(rows) == learned.transactions:
        raise Refused(
            Reason.OUT_OF_ORDER,
            f"all {len(rows)} transactions of {name} were learned from, and what was learned from is not "
            "scored; learn with an earlier --until-block, or give a longer history",
        )
    return learned.transactions


def _hash_of(rows: Sequence[Row]) -> bytes:
    running = RowsHash()
    for row in rows:
        running.add(row.hash, row.block_number)
    return running.digest()


def _require_unlearned(exploit_block: BlockNumber | None, last_learned: BlockNumber | None) -> None:
    if exploit_block is None or last_learned is None or last_learned < exploit_block - QUARANTINE_BLOCKS:
        return
    raise Refused(
        Reason.LABEL_INVALID,
        f"the exploit's block {exploit_block}, or one of the {QUARANTINE_BLOCKS} before it, lies in the "
        "half that is learned from, and what was learned from is not scored; give a longer history, or learn "
        "from a shorter span",
    )
