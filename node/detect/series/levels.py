"""What a series policy made of each recent block, by its hash: a number that rules look up.

The level that a rule of the series policy newly reached at the block, or the highest of all its rules, as
`block_levels.py` counts it. `node/live/series.py` fills it. With a file of learned state the number is a
function of that file and of the chain after it, the same for all watchers: the file's hash is part of the
policy's, and rules over the number may ask for whatever the series policy's signals may. Without one each
watcher has learned something else, and rules may lead to an alert alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from consensus.alert import Level
from consensus.errors import Reason, Refused
from consensus.types import ChainId
from node.detect.block_levels import BlockLevels
from node.detect.series.finding import RuleJudgement
from node.detect.series.learned import SeriesLearned, read_series_learned
from node.detect.series.policy import SeriesPolicy
from node.detect.series.vocabulary import Each
from node.detect.series.watch import SeriesWatch
from node.evaluate.signals import Signal

MAX_LEARNED_BYTES: Final = 64 << 20
"""Of a file of learned state that a policy names; two signals with a week of minutes come to 93 kB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesDetection:
    """A series policy that a rule policy names."""

    policy: SeriesPolicy

    @property
    def series(self) -> tuple[str, ...]:
        """The names of all series that its signals are shown, sorted."""
        rules = self.policy.rules.values()
        shown = {
            name
            for signals in rules
            for each in signals.values()
            for names in each.series.values()
            for name in names
        }
        return tuple(sorted(shown))

    def make_values(
        self,
        *,
        chain_id: ChainId,
        rule: str | None,
        sources: Mapping[str, Signal],
        learned: Path | None,
        to_learn: int,
    ) -> SeriesLevels:
        """Nothing known yet; `sources` has a signal for each of `series`. Raises `Refused` (STATE_CORRUPT;
        STATE_FOREIGN where what was learned is of another policy or chain; BAD_CONFIG where the policy cannot
        be followed, or has no such rule)."""
        known = None if learned is None else read_series_learned(learned, most_bytes=MAX_LEARNED_BYTES)
        try:
            return SeriesLevels(
                policy=self.policy,
                chain_id=chain_id,
                rule=rule,
                sources=sources,
                learned=known,
                to_learn=to_learn,
            )
        except Refused as refused:
            place = "" if learned is None else f"{learned}: "
            raise Refused(refused.reason, f"{place}{refused.message}") from None


class SeriesLevels(BlockLevels):
    """The level that a series policy's rules reached at each recent block."""

    def __init__(
        self,
        *,
        policy: SeriesPolicy,
        chain_id: ChainId,
        rule: str | None,
        sources: Mapping[str, Signal],
        learned: SeriesLearned | None,
        to_learn: int,
    ) -> None:
        """`to_learn` points are learned first where nothing is `learned`. Raises `Refused` (BAD_CONFIG,
        STATE_FOREIGN, STATE_CORRUPT)."""
        super().__init__(
            who=policy.name,
            topic="series",
            learned_until=None if learned is None else learned.last_block,
        )
        _require_live(policy, rule)
        self.policy = policy if learned is None else policy.with_learned(learned.state_hash)
        self.chain_id = chain_id
        self.sources = dict(sources)
        self.learned = learned
        self.to_learn = 0 if learned else to_learn
        self._rule = rule
        if learned is not None:
            _require_fitting(learned, chain_id)
            learned.make_watch(self.policy)

    @property
    def hardest(self) -> Level:
        """The hardest level that a rule over these numbers may ask for."""
        if self.learned is None:
            return Level.ALERT
        rules = self.policy.rules
        chosen = rules.values() if self._rule is None else (rules[self._rule],)
        return max(each.most for signals in chosen for each in signals.values())

    @property
    def remedy(self) -> str:
        """What to do so that a rule may ask for more."""
        if self.learned is not None:
            return "raise `most` of a signal in the series policy"
        return (
            "without learned state each watcher sees something else: record the series with `tocsin series "
            "record`, learn from that with `tocsin series learn`, and write `learned: FILE` beside `series`"
        )

    def make_watch(self) -> SeriesWatch:
        """A watch at the end of what was learned, or at the beginning of all."""
        return SeriesWatch(self.policy) if self.learned is None else self.learned.make_watch(self.policy)

    def level_of(self, judgements: tuple[RuleJudgement, ...]) -> int:
        """The number of a block of which the rules say this."""
        chosen = [each.level for each in judgements if self._rule in (None, each.rule)]
        return max((level + 1 for level in chosen if level is not None), default=0)

    def form(self) -> dict[str, object]:
        """What enters the policy's hash."""
        what: dict[str, object] = {"series": f"0x{self.policy.rules_hash.hex()}"}
        if self._rule is not None:
            what["rule"] = self._rule
        return what | ({"learn": self.to_learn} if self.learned is None else {"learned": self.learned.hash()})


def _require_live(policy: SeriesPolicy, rule: str | None) -> None:
    if policy.each is not Each.BLOCK:
        raise Refused(
            Reason.BAD_CONFIG,
            f"the points of {policy.name} are periods, and a rule is judged at blocks; write `each: block`, "
            "with the seconds that blocks are apart",
        )
    if rule is not None and rule not in policy.rules:
        raise Refused(
            Reason.BAD_CONFIG,
            f"{policy.name} has no rule {rule[:48]!r}; its rules are {', '.join(policy.rules)}",
        )


def _require_fitting(learned: SeriesLearned, chain_id: ChainId) -> None:
    if learned.chain_id is None or learned.last_hash is None:
        raise Refused(
            Reason.STATE_FOREIGN,
            f"what was learned of {learned.series[:80]} does not say of which chain and last block; record "
            "with `tocsin series record`, and learn with --chain-id",
        )
    if learned.chain_id != chain_id:
        raise Refused(
            Reason.STATE_FOREIGN,
            f"learned on chain {learned.chain_id}, and the policy watches chain {chain_id}; learn from a "
            "recording of that",
        )
