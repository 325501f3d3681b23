"""New contracts as a signal: the highest score of any contract that a block created.

A function of the block alone: which contracts it created, within other contracts too, their code at the
block, and the code of the protected contracts there; and of who sent the creating transactions the nonce and
coin at the block, and the coin `FRESH_BLOCKS` before. Nothing is learned. Senders are looked up only where
the code makes them count; no other block needs the state of a block before. `new_contract.py` says what a
score counts, and why it calls a person and does no more. A block with more different codes or senders than
are looked into is undefined, which is logged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import trio

from consensus.alert import Level
from consensus.errors import Reason
from consensus.types import Address
from node.detect.new_contract import FRESH_BLOCKS, LEVEL, MAX_CODE_BYTES, Deployer, NewContractDetector
from node.evaluate.expressions import Undefined
from node.evaluate.views import Block, View
from node.trace import Account

MAX_CREATIONS: Final = 4_096  # of one block; each costs 32,000 gas and more
MAX_CODES: Final = 256  # different ones that are looked into; a factory's clones have one
MAX_DEPLOYERS: Final = 256  # whose contracts borrow and name a victim
READ_AT_ONCE: Final = 64


class NewContractScores:
    """Scores the contracts that are created against the code of the protected ones."""

    hardest: Level = LEVEL
    remedy: str = "anybody can deploy what looks like an attack; leave the brake to a rule that sees one"

    def __init__(self, contracts: Mapping[str, Address]) -> None:
        self.contracts = dict(contracts)

    def knows(self, block: Block) -> bool:
        """Always: nothing has to come before."""
        return True

    async def read(self, view: View) -> int | Undefined:
        """The highest score, 0 for none. Raises `Unavailable`."""
        created = await view.creations()
        if len(created) > MAX_CREATIONS:
            return _too_many(f"{len(created)} contracts", MAX_CREATIONS, view)
        if not created:
            return 0
        protected = {Account(each.lower()): await view.code(each) for each in sorted(self.contracts.values())}
        detector = NewContractDetector(protected, least_score=1)
        senders: dict[bytes, set[Address]] = {}
        for place, each in enumerate(created):
            if place % READ_AT_ONCE == 0:
                await view.prefetch_codes([near.contract for near in created[place : place + READ_AT_ONCE]])
            code = await view.code(each.contract)
            if len(code) <= MAX_CODE_BYTES:  # chains take less
                senders.setdefault(code, set()).add(each.sender)
            if len(senders) > MAX_CODES:
                return _too_many("different codes", MAX_CODES, view)
        marked = []
        for code, of_code in senders.items():
            marked.append((detector.find_marks(code), of_code))
            await trio.lowlevel.checkpoint()
        counting = {each for marks, of_code in marked if marks.borrows_and_names_a_victim for each in of_code}
        if len(counting) > MAX_DEPLOYERS:
            return _too_many(f"contracts that count of {len(counting)} senders", MAX_DEPLOYERS, view)
        deployers = await _read_deployers(view, sorted(counting))
        scores = (
            marks.score_of(deployers[each]) if each in deployers else marks.score
            for marks, of_code in marked
            for each in of_code
        )
        return max(scores, default=0)

    def form(self) -> dict[str, object]:
        """What enters the policy's hash."""
        return {"new_contracts": sorted(self.contracts)}


async def _read_deployers(view: View, senders: list[Address]) -> dict[Address, Deployer]:
    """What state tells of them, in three round trips for each `READ_AT_ONCE`. Raises `Unavailable`."""
    if not senders:
        return {}
    before = await view.ancestor(min(FRESH_BLOCKS, view.ref.number))
    deployers = {}
    for start in range(0, len(senders), READ_AT_ONCE):
        some = senders[start : start + READ_AT_ONCE]
        await view.prefetch_nonces(some)
        for each in (view, before):
            await each.prefetch((), balances=some)
        for sender in some:
            deployers[sender] = Deployer(
                sent=await view.nonce(sender),
                coin=await view.balance(sender),
                coin_before=await before.balance(sender),
            )
    return deployers


def _too_many(what: str, most: int, view: View) -> Undefined:
    return Undefined(
        Reason.SIGNAL_UNDEFINED, f"block {view.ref.number} created {what}; at most {most} are looked into"
    )
