"""From what watchers say to what a person reads, and to the moments that the latency table is made of.

Pure: log lines in, happenings and moments out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from consensus.alert import Level
from consensus.types import ActionId, ChainId
from node.devnet.processes import Said
from node.devnet.timeline import Happening

STEP_WORDS = {Level.LIMIT: "more than 1/3", Level.FREEZE: "more than 1/2", Level.PAUSE: "more than 2/3"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """Who and what is called how."""

    peers: Mapping[str, str]
    chains: Mapping[ChainId, str]
    actions: Mapping[ActionId, str]


@dataclass(slots=True, kw_only=True)
class Moments:
    """When things were first seen, Unix milliseconds. None until then."""

    attack_block: int | None = None
    attack_seen: int | None = None
    fired: dict[str, int] = field(default_factory=dict)
    signed: dict[str, int] = field(default_factory=dict)
    reached: dict[Level, int] = field(default_factory=dict)
    sent: dict[ActionId, int] = field(default_factory=dict)
    in_force: dict[ActionId, tuple[int, int]] = field(default_factory=dict)
    """Per action: when it was first verified, and in which block of its chain."""


class Story:
    """Follows one incident. `weight` and `total` are the best certificate so far."""

    def __init__(self, cast: Cast, source: ChainId) -> None:
        self.cast = cast
        self.moments = Moments()
        self.weight = 0
        self.total = 1
        self._source = source
        self._heads: dict[int, int] = {}
        self._banned: set[tuple[str, str]] = set()

    def attack_began(self, block_number: int) -> None:
        """The attack's first transaction stands in this block of the source chain."""
        self.moments.attack_block = block_number
        self.moments.attack_seen = self._heads.get(block_number)

    def hear(self, said: Said) -> Happening | None:
        """Take in one line; a happening when it is news to a person."""
        teller = _TELLERS.get(said.event)
        return None if teller is None else teller(self, said)

    def _head(self, said: Said) -> None:
        if said.fields["chain_id"] == self._source:
            number = int(said.fields["block_number"])
            self._heads[number] = min(said.at_ms, self._heads.get(number, said.at_ms))
            if number == self.moments.attack_block:
                self.moments.attack_seen = self._heads[number]

    def _fired(self, said: Said) -> Happening | None:
        if said.watcher in self.moments.fired:
            return None
        self.moments.fired[said.watcher] = said.at_ms
        return _watcher(said, f"sees it: rule {said.fields['rule']} at block {said.fields['block_number']}")

    def _signed(self, said: Said) -> Happening | None:
        if said.watcher in self.moments.signed:
            return None
        self.moments.signed[said.watcher] = said.at_ms
        return _watcher(said, "writes its journal, then signs")

    def _grown(self, said: Said) -> Happening | None:
        weight, self.total = int(said.fields["weight"]), int(said.fields["total_weight"])
        if weight <= self.weight:
            return None
        self.weight = weight
        levels = [level for level in STEP_WORDS if level.name.lower() in said.fields["levels"]]
        news = [level for level in levels if level not in self.moments.reached]
        self.moments.reached.update(dict.fromkeys(news, said.at_ms))
        if not news:
            return None
        share = f"{100 * weight / self.total:.0f} % of stake"
        words = ", ".join(f"{level.name.lower()} ({STEP_WORDS[level]})" for level in news)
        return Happening(
            at_ms=said.at_ms, kind="network", who="quorum", what=f"{share} in {said.watcher}'s hands: {words}"
        )

    def _sending(self, said: Said) -> Happening:
        action = self._action(said)
        self.moments.sent.setdefault(action, said.at_ms)
        return _watcher(
            said, f"simulated it, now sends to {self._chain(said)}: {self.cast.actions.get(action, '?')}"
        )

    def _landed(self, said: Said) -> Happening:
        outcome = "lands" if said.fields["succeeded"] else "REVERTS"
        what = (
            f"{self.cast.actions.get(self._action(said), '?')} {outcome} in block "
            f"{said.fields['block_number']} of {self._chain(said)}, {int(said.fields['gas_used']):,} gas"
        )
        return Happening(at_ms=said.at_ms, kind="guardian", who="guardian", what=what)

    def _verified(self, said: Said) -> Happening | None:
        action = self._action(said)
        if action in self.moments.in_force:
            return None
        self.moments.in_force[action] = (said.at_ms, int(said.fields["block_number"]))
        return _watcher(
            said, f"reads it back from the target: in force, {self.cast.actions.get(action, '?')}"
        )

    def _was_banned(self, said: Said) -> Happening | None:
        peer = self.cast.peers.get(str(said.fields["peer_id"]), "?")
        if (said.watcher, peer) in self._banned:
            return None
        self._banned.add((said.watcher, peer))
        return _watcher(said, f"bans {peer}: {str(said.fields['reason']).replace('_', ' ')}")

    def _denied(self, said: Said) -> Happening:
        return _watcher(said, "was asked about an alert that its own view denies; does not sign")

    def _action(self, said: Said) -> ActionId:
        return ActionId(bytes.fromhex(str(said.fields["action"])[2:]))

    def _chain(self, said: Said) -> str:
        return self.cast.chains.get(ChainId(int(said.fields["chain_id"])), "?")


def _watcher(said: Said, what: str) -> Happening:
    return Happening(at_ms=said.at_ms, kind="watcher", who=said.watcher, what=what)


_TELLERS = {
    "head.seen": Story._head,
    "rule.fired": Story._fired,
    "attestation.signed": Story._signed,
    "certificate.grown": Story._grown,
    "response.sending": Story._sending,
    "response.landed": Story._landed,
    "effect.verified": Story._verified,
    "peer.banned": Story._was_banned,
    "question.denied": Story._denied,
}
