"""New contracts as a signal: the highest score of any contract that a block created.

A function of the block alone: which contracts it created, within other contracts too, their code at the
block, and the code of the protected contracts there. Nothing is learned. `new_contract.py` says what a score
counts, and why it calls a person and does no more. A block with more different codes than are looked into is
undefined, which is logged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import trio

from consensus.alert import Level
from consensus.errors import Reason
from consensus.types import Address
from node.detect.new_contract import LEVEL, MAX_CODE_BYTES, NewContract, NewContractDetector
from node.evaluate.expressions import Undefined
from node.evaluate.views import Block, View
from node.trace import Account

MAX_CREATIONS: Final = 4_096  # of one block; each costs 32,000 gas and more
MAX_CODES: Final = 256  # different ones that are looked into; a factory's clones have one
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
        codes: dict[bytes, NewContract] = {}
        for place, (creator, address) in enumerate(created):
            if place % READ_AT_ONCE == 0:
                await view.prefetch_codes([each for _, each in created[place : place + READ_AT_ONCE]])
            code = await view.code(address)
            found = NewContract(address=Account(address.lower()), creator=Account(creator.lower()), code=code)
            if len(code) <= MAX_CODE_BYTES:  # chains take less
                codes.setdefault(code, found)
            if len(codes) > MAX_CODES:
                return _too_many("different codes", MAX_CODES, view)
        highest = 0
        for contract in codes.values():
            evidence = detector.judge(contract)
            highest = max(highest, 0 if evidence is None else evidence.score)
            await trio.lowlevel.checkpoint()
        return highest

    def form(self) -> dict[str, object]:
        """What enters the policy's hash."""
        return {"new_contracts": sorted(self.contracts)}


def _too_many(what: str, most: int, view: View) -> Undefined:
    return Undefined(
        Reason.SIGNAL_UNDEFINED, f"block {view.ref.number} created {what}; at most {most} are looked into"
    )
