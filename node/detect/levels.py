"""What trace detectors made of each recent block, by its hash: a number that rules look up.

0 nothing, 1 alert, 2 limit, 3 freeze, 4 pause: the highest level that any transaction of the block reached.
`node/live` fills it. With a file of learned state the number is a function of that file and of the chain
after it, the same for all watchers: the file's hash is part of the policy's, and rules over the number may
ask for any level. Without one each watcher has learned something else, and rules may lead to an alert alone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from consensus.alert import Level
from consensus.errors import Reason, Refused, Unavailable
from consensus.types import Address, BlockHash, ChainId
from node.detect.learned import Learned, read_learned
from node.detect.policy import DetectionPolicy
from node.detect.watch import Watch
from node.evaluate.expressions import Undefined
from node.evaluate.views import Block, View
from node.trace import Account

KEPT_BLOCKS: Final = 4_096
"""More than the deepest look-back and the longest cooldown of a rule come to, on several branches."""
MAX_LEARNED_BYTES: Final = 16 << 20
"""Of a file of learned state that a policy names; what 1,145 transactions teach is 28 kB."""
HIGHEST: Final = Level.PAUSE + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """A detection policy that a rule policy names."""

    policy: DetectionPolicy

    def make_values(
        self, *, chain_id: ChainId, contracts: Mapping[str, Address], learned: Path | None, to_learn: int
    ) -> Levels:
        """Nothing known yet. Raises `Refused` (STATE_CORRUPT; STATE_FOREIGN where what was learned is of
        another policy, chain or set of contracts, or ends within a block)."""
        known = None if learned is None else read_learned(learned, most_bytes=MAX_LEARNED_BYTES)
        try:
            return Levels(
                policy=self.policy, chain_id=chain_id, contracts=contracts, learned=known, to_learn=to_learn
            )
        except Refused as refused:
            place = "" if learned is None else f"{learned}: "
            raise Refused(refused.reason, f"{place}{refused.message}") from None


class Levels:
    """The level that each recent block of these contracts reached under a detection policy."""

    def __init__(
        self,
        *,
        policy: DetectionPolicy,
        chain_id: ChainId,
        contracts: Mapping[str, Address],
        learned: Learned | None,
        to_learn: int,
    ) -> None:
        """`to_learn` transactions are learned first where nothing is `learned`. Raises `Refused`
        (STATE_FOREIGN, STATE_CORRUPT) where what was learned does not fit."""
        self.policy = policy
        self.chain_id = chain_id
        self.contracts = dict(contracts)
        self.learned = learned
        self.to_learn = 0 if learned else to_learn
        self._levels: OrderedDict[BlockHash, int] = OrderedDict()
        # of blocks up to this one, what they hold was learned from or came before that: none has a number
        self._not_judged_until = (
            -1 if learned is None or learned.recorded is None else learned.recorded.until_block
        )
        if learned is not None:
            self._require_fitting(learned)
            learned.make_watch(policy)

    @property
    def watched(self) -> tuple[Account, ...]:
        """The contracts, sorted."""
        return tuple(sorted(Account(each.lower()) for each in self.contracts.values()))

    @property
    def hardest(self) -> Level:
        """The hardest level that a rule over these numbers may ask for."""
        return Level.ALERT if self.learned is None else Level.PAUSE

    @property
    def remedy(self) -> str:
        """What to do so that a rule may ask for more."""
        return (
            "without learned state each watcher sees something else: record the chain with `tocsin record`, "
            "learn from that with `tocsin learn`, and write `learned: FILE` beside `detection`"
        )

    def make_watch(self) -> Watch:
        """A watch at the end of what was learned, or at the beginning of all."""
        return Watch(self.policy) if self.learned is None else self.learned.make_watch(self.policy)

    def put(self, block: Block, level: int) -> bool:
        """Keep a block's number; the oldest makes room. Whether the block is new here."""
        if self.learned is None and not self._levels:
            self._not_judged_until = block.number - 1
        is_new = block.hash not in self._levels
        self._levels[block.hash] = level
        self._levels.move_to_end(block.hash)
        while len(self._levels) > KEPT_BLOCKS:
            self._levels.popitem(last=False)
        return is_new

    def knows(self, block: Block) -> bool:
        """Whether there is an answer for this block now."""
        return block.hash in self._levels or block.number <= self._not_judged_until

    async def read(self, view: View) -> int | Undefined:
        """The number of the view's block, as `at` gives it."""
        return self.at(view.ref)

    def at(self, block: Block) -> int | Undefined:
        """The number of this block; undefined up to the end of what was learned. Raises `Unavailable` where
        it was not judged here."""
        level = self._levels.get(block.hash)
        if level is not None:
            return level
        if block.number <= self._not_judged_until:
            return Undefined(
                Reason.HISTORY_TOO_SHORT,
                f"up to block {self._not_judged_until} blocks were learned from, which is not judged; came "
                f"block {block.number}",
            )
        raise Unavailable(
            f"no trace detector of {self.policy.name} judged block {block.number} 0x{block.hash.hex()} here; "
            "the log says from where on they do (detection.*)"
        )

    def form(self) -> dict[str, object]:
        """What enters the policy's hash."""
        what: dict[str, object] = {
            "detection": f"0x{self.policy.hash.hex()}",
            "contracts": sorted(self.contracts),
        }
        return what | ({"learn": self.to_learn} if self.learned is None else {"learned": self.learned.hash()})

    def _require_fitting(self, learned: Learned) -> None:
        recorded = learned.recorded
        if recorded is None:
            raise _foreign(
                f"what was learned of {learned.history[:80]} does not say of which chain and contracts, or "
                "ends within a block; record with `tocsin record`, and learn with --until-block"
            )
        if recorded.chain_id != self.chain_id:
            raise _foreign(
                f"learned on chain {recorded.chain_id}, and the policy watches chain {self.chain_id}; learn "
                "from a recording of that"
            )
        if recorded.contracts != self.watched:
            raise _foreign(
                f"learned of the contracts {', '.join(recorded.contracts)}, and the signal names "
                f"{', '.join(self.watched)}; record exactly those, and learn anew"
            )


def _foreign(message: str) -> Refused:
    return Refused(Reason.STATE_FOREIGN, message)
