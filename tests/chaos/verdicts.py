"""What must hold, whatever befell the network: each property a function from evidence to violations.

Pure, and recomputed from what cannot be talked away: the chain's events, the journals, and every signed
message that anybody received. A checker that finds nothing wrong returns an empty list.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

RESIDENT_BOUND_BYTES = 256 * 2**20
"""A quiet watcher has about 130 MiB, most of it libraries; what faults may add is less than as much again."""

RECOVERY_TARGET_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A property that did not hold, and what shows it."""

    property: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What a guardian did, by its event: for which alert, on how much weight."""

    digest: str
    signed_weight: int
    block_number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalRow:
    """One row of a signing journal."""

    slot_id: str
    digest: str


def check_equivocation(
    honest: Collection[str],
    *,
    signed: Mapping[str, Mapping[str, Collection[str]]],
    journals: Mapping[str, Sequence[JournalRow]],
) -> list[Violation]:
    """No honest watcher signed two alerts for one slot, and each that it signed stands in its journal.

    `signed` is watcher → slot → digests, by the word of anybody who received them; `journals` may lack
    watchers whose journal is in use.
    """
    found = []
    for watcher in sorted(honest):
        by_slot = {slot: set(digests) for slot, digests in signed.get(watcher, {}).items()}
        for slot, digests in sorted(by_slot.items()):
            if len(digests) > 1:
                found.append(
                    Violation(
                        property="no honest equivocation",
                        detail=f"{watcher} signed {sorted(digests)} for slot {slot}",
                    )
                )
        if watcher in journals:
            recorded = {(row.slot_id, row.digest) for row in journals[watcher]}
            for slot, digest in sorted(
                (slot, digest) for slot, digests in by_slot.items() for digest in digests
            ):
                if (slot, digest) not in recorded:
                    found.append(
                        Violation(
                            property="every signature is recorded",
                            detail=f"{watcher} signed {digest} for slot {slot}, its journal has no such row",
                        )
                    )
    return found


def check_proofs(
    honest: Collection[str], *, proven: Collection[tuple[str, int]], index_of: Mapping[str, int]
) -> list[Violation]:
    """Nobody holds proof of equivocation against an honest watcher.

    `proven` are slots and operator indices, `index_of` the watchers' own.
    """
    return [
        Violation(property="no honest equivocation", detail=f"somebody can prove it of {name} in slot {slot}")
        for name in sorted(honest)
        for slot, index in sorted(proven)
        if index_of.get(name) == index
    ]


def check_thresholds(
    acts: Sequence[Act],
    *,
    signed: Mapping[str, Mapping[str, Collection[str]]],
    names: Sequence[str],
    honest: Collection[str],
    total_weight: int,
) -> list[Violation]:
    """Every act had more than two thirds behind it: by its event, and by who can have signed at all.

    All operators weigh the same here. The honest ones behind an act are those from whom anybody has its
    digest; of the others the worst is taken, which is that all signed.
    """
    found = []
    for act in acts:
        if not 3 * act.signed_weight > 2 * total_weight:
            found.append(
                Violation(
                    property="no action without true threshold",
                    detail=f"{act.digest} acted at block {act.block_number} on {act.signed_weight} of "
                    f"{total_weight}",
                )
            )
        behind = {
            name
            for name in names
            if name not in honest or any(act.digest in digests for digests in signed.get(name, {}).values())
        }
        if not 3 * len(behind) > 2 * len(names):
            found.append(
                Violation(
                    property="no action without true threshold",
                    detail=f"{act.digest} acted at block {act.block_number}; only {sorted(behind)} of "
                    f"{len(names)} can have signed it",
                )
            )
    return found


def check_memory(
    resident_bytes: Mapping[str, int], bound_bytes: int = RESIDENT_BOUND_BYTES
) -> list[Violation]:
    """No process is larger than the bound."""
    return [
        Violation(property="memory bounded", detail=f"{name} has {size} bytes, at most {bound_bytes} are due")
        for name, size in sorted(resident_bytes.items())
        if size > bound_bytes
    ]
