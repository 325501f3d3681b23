"""Everything that the watchers of a run said, boiled down to what the checkers ask about.

Who signed what, by whoever's word: a watcher's own line, a member that took its attestation, a misbehaving
one that only listened. Bounded by the alerts of a run, of which there are a few dozen.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import trio

from node.devnet.processes import Said


@dataclass(slots=True, kw_only=True)
class Record:
    """What was heard. `by_operator` and `by_peer` map an address or a peer id to the watcher's name."""

    by_operator: dict[str, str]
    by_peer: dict[str, str]
    signed: dict[str, dict[str, set[str]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(set))
    )
    """watcher → slot → digests, by anybody's word."""
    own: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """watcher → digests that it says it signed."""
    proven: set[tuple[str, int]] = field(default_factory=set)
    """Slot and operator index of every equivocation that a watcher says it can prove."""
    index_of: dict[str, int] = field(default_factory=dict)
    """watcher → its index in the operator set."""
    certified: dict[str, tuple[int, int]] = field(default_factory=dict)
    """digest → the highest weight that anybody had a certificate of, and the total."""
    ready: set[str] = field(default_factory=set)
    _changed: trio.Event = field(default_factory=trio.Event)

    def hear(self, said: Said) -> None:
        """Take one line in."""
        fields = said.fields
        match said.event:
            case "attestation.signed":
                self.own[said.watcher].add(fields["digest"])
                self.index_of[said.watcher] = int(fields["operator_index"])
                self.signed[said.watcher][fields["slot_id"]].add(fields["digest"])
            case "attestation.received":
                signer = self.by_operator.get(str(fields["operator"]))
                if signer is not None:
                    self.signed[signer][fields["slot_id"]].add(fields["digest"])
            case "attestation.heard":
                signer = self.by_peer.get(str(fields["peer_id"]))
                if signer is not None and signer != said.watcher:
                    self._hear_by_proxy(signer, fields)
            case "equivocation.proven":
                self.proven |= {(str(fields["slot_id"]), int(index)) for index in fields["operators"]}
            case "certificate.grown":
                weight, total = int(fields["weight"]), int(fields["total_weight"])
                self.certified[fields["digest"]] = max(
                    (weight, total), self.certified.get(fields["digest"], (0, total))
                )
            case "watcher.ready":
                self.ready.add(said.watcher)
        self._changed.set()
        self._changed = trio.Event()

    def _hear_by_proxy(self, signer: str, fields: Any) -> None:
        """An attestation that came from its signer's own peer; what others pass on proves nothing."""
        self.signed[signer][fields["slot_id"]].add(fields["digest"])

    async def wait_until(self, is_enough: Any, seconds: float) -> bool:
        """Whether it became true in time; looked at after every line."""
        with trio.move_on_after(seconds):
            while not is_enough():
                await self._changed.wait()
            return True
        return bool(is_enough())
