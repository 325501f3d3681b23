"""What trace detectors made of each recent block, by its hash: a number that rules look up.

0 nothing, 1 alert, 2 limit, 3 freeze, 4 pause: the highest level that any transaction of the block reached.
`node/live` fills it. With a file of learned state the number is a function of that file and of the chain
after it, the same for all watchers: the file's hash is part of the policy's, and rules over the number may
ask for any level. Without one each watcher has learned something else, and rules may lead to an alert alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from consensus.alert import Level
from consensus.errors import Reason, Refused, Unavailable
from consensus.types import Address, ChainId
from node.detect.block_levels import BlockLevels
from node.detect.evidence import Family, Judgement
from node.detect.learned import Learned, read_learned
from node.detect.policy import DetectionPolicy
from node.detect.watch import Watch
from node.evaluate.views import Block
from node.trace import Account, TransactionTrace

MAX_LEARNED_BYTES: Final = 16 << 20
"""Of a file of learned state that a policy names; what 1,145 transactions teach is 28 kB."""


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


class Levels(BlockLevels):
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
        super().__init__(
            who=f"the trace detectors of {policy.name}",
            topic="detection",
            learned_until=None
            if learned is None or learned.recorded is None
            else learned.recorded.until_block,
        )
        self.policy = policy
        self.chain_id = chain_id
        self.contracts = dict(contracts)
        self.learned = learned
        self.to_learn = 0 if learned else to_learn
        self._standing: tuple[Block, Watch] | None = None
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

    def stand_at(self, block: Block, watch: Watch) -> None:
        """This watch has judged the chain up to this block; that holds until `move_on`."""
        self._standing = (block, watch)

    def move_on(self) -> None:
        """The watch is about to take in another block."""
        self._standing = None

    def stands_at(self, block: Block) -> bool:
        """Whether `preview` has an answer at this block now."""
        return self._standing is not None and self._standing[0].hash == block.hash

    def preview(self, transaction: TransactionTrace, at: Block) -> Judgement:
        """What the detectors would say of a transaction right after this block; nothing is learned from it.

        Raises `Unavailable` where the watch does not stand at this block: it has not come there, it has gone
        on, or it is learning.
        """
        if self._standing is None or not self.stands_at(at):
            where = "at no block" if self._standing is None else f"at block {self._standing[0].number}"
            raise Unavailable(
                f"{self._who} can be asked at block {at.number} 0x{at.hash.hex()} only while they stand "
                f"there; they stand {where}"
            )
        return self._standing[1].preview(transaction, tuple(Family))

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
