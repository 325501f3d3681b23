"""New contracts as a signal: what a block created, at any depth, scored against the protected ones there."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import trio

from consensus.alert import Level
from consensus.errors import Reason, Refused, Unavailable
from consensus.types import Address, BlockNumber
from node.chain.reader import ChainReader
from node.chain.types import BlockRef
from node.detect import new_contract_scores
from node.detect.new_contract import HIGHEST_SCORE
from node.detect.new_contract_scores import NewContractScores
from node.devnet.anvil import running_anvil
from node.devnet.deployer import open_deployer
from node.evaluate.expressions import Undefined
from node.evaluate.lookups import LookedUpSignal
from node.live.room import LiveRoom
from node.live.row import JudgedBlock
from node.observe.ancestry import Ancestry
from node.observe.traces import TraceReader
from node.observe.view import BlockView
from node.policies import read_policy
from tests.chain.doubles import doubles, pool_of
from tests.detect.test_new_contract import BORROW, LOAN, SEIZE, SWEEP, VICTIM, code_of
from tests.evaluate.policies import make_policy_text
from tests.live.chains import MemoryChain
from tests.observe.bytecode import REVERT as REVERTS
from tests.observe.bytecode import STOP, address, call, code, create

PROTECTED, FACTORY, FAILING, TRYING = address(0xA1), address(0xA2), address(0xA3), address(0xA4)
NO_SUCH_METHOD = "the method does not exist/is not available"
ATTACK = code_of(LOAN, names=(BORROW, SEIZE, SWEEP), holds=(PROTECTED[2:].lower(),))
INTEGRATOR = code_of("sweepAll()", names=(BORROW,), holds=(PROTECTED[2:].lower(),))
TOKEN = code_of("transfer(address,uint256)", "balanceOf(address)")
EMPTY_CONTRACT = "60015ff3"
"""Init code of a contract whose code is one zero byte."""


def deploying(runtime: bytes) -> str:
    """Init code that returns this."""
    return f"0x61{len(runtime):04x}80600a5f395ff3{runtime.hex()}"


async def test_a_block_has_the_highest_score_of_what_it_created() -> None:
    async with (
        running_anvil() as anvil,
        doubles(anvil, "ada") as (ada,),
        pool_of(ada, agreement=1) as pool,
        open_deployer(anvil) as chain,
    ):
        for at, parts in {
            PROTECTED: (VICTIM.hex(),),
            FACTORY: (create(EMPTY_CONTRACT), create(EMPTY_CONTRACT), STOP),
            FAILING: (create(EMPTY_CONTRACT), REVERTS),
            TRYING: (call(FAILING), create(EMPTY_CONTRACT), STOP),
        }.items():
            await pool.call("anvil_setCode", (at, code(*parts)))
        reader, tracer = ChainReader(pool), TraceReader(pool, (PROTECTED,))
        scores = NewContractScores({"victim": PROTECTED})

        async def mined(*transactions: dict[str, Any]) -> BlockView:
            """A block of these alone."""
            await pool.call("evm_setAutomine", (False,))
            for each in transactions:
                await chain.submit({"from": chain.governance, "gas": hex(3_000_000), **each})
            await pool.call("evm_mine", ())
            return BlockView(await reader.latest(), reader, Ancestry(), tracer=tracer)

        attack, integrator, token = ({"data": deploying(each)} for each in (ATTACK, INTEGRATOR, TOKEN))
        assert await scores.read(await mined()) == 0
        assert await scores.read(await mined(token)) == 0
        assert await scores.read(await mined(integrator)) == 3
        assert await scores.read(await mined(token, attack, integrator)) == HIGHEST_SCORE
        assert await scores.read(await mined({"to": chain.governance, "value": "0x1"})) == 0

        view = await mined({"to": FACTORY}, {"to": FAILING}, {"to": TRYING})
        created = await view.creations()
        assert [creator for creator, _ in created] == [FACTORY, FACTORY, TRYING]
        assert [await view.code(contract) for _, contract in created] == [b"\0"] * 3

        ada.refused = dict.fromkeys(("debug_traceBlockByHash", "trace_block"), NO_SUCH_METHOD)
        with pytest.raises(Unavailable, match="not_offered"):
            await scores.read(await mined(attack))


class Created:
    """A view of a block that created contracts with these codes."""

    def __init__(self, *codes: bytes) -> None:
        self.ref = MemoryChain().head
        self.codes = {address(0x1000 + place): each for place, each in enumerate(codes)}

    async def creations(self) -> list[tuple[Address, Address]]:
        return [(FACTORY, each) for each in self.codes]

    async def prefetch_codes(self, accounts: list[Address]) -> None:
        assert len(accounts) <= new_contract_scores.READ_AT_ONCE

    async def code(self, account: Address) -> bytes:
        return VICTIM if account == PROTECTED else self.codes[account]


async def read(*codes: bytes) -> int | Undefined:
    return await NewContractScores({"victim": PROTECTED}).read(cast(Any, Created(*codes)))


async def test_an_attack_among_many_clones_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_contract_scores, "MAX_CODES", 2)

    assert await read(*[TOKEN] * 100, ATTACK, *[TOKEN] * 100) == HIGHEST_SCORE


async def test_more_codes_than_are_looked_into_are_undefined_and_not_zero(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(new_contract_scores, "MAX_CODES", 1)

    told = await read(TOKEN, ATTACK)

    assert isinstance(told, Undefined)
    assert told.reason is Reason.SIGNAL_UNDEFINED
    assert "at most 1 are looked into" in told.message


async def test_more_contracts_than_are_looked_into_are_undefined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_contract_scores, "MAX_CREATIONS", 1)

    assert isinstance(await read(TOKEN, TOKEN), Undefined)
    assert await read(ATTACK) == HIGHEST_SCORE


def write(folder: Path, *, actions: str, contracts: str = "[pool]") -> Path:
    rule = f"    kind: expression\n    when: fresh >= 6\n    cooldown_blocks: 0\n    actions: {actions}\n"
    text = make_policy_text(rule).replace(
        "signals:\n", f"signals:\n  fresh: {{new_contracts: {contracts}}}\n"
    )
    path = folder / "policy.yaml"
    path.write_text(
        text.replace("rules:\n", "  ring: {guardian: home, action: ring, level: alert}\nrules:\n")
    )
    return path


def test_a_rule_over_new_contracts_may_ring_and_no_more(tmp_path: Path) -> None:
    policy = read_policy(write(tmp_path, actions="[ring]"))
    (values,) = [each.values for each in policy.signals if isinstance(each, LookedUpSignal)]

    with pytest.raises(Refused, match="brake is of level limit, and fresh may lead to alert at most"):
        read_policy(write(tmp_path, actions="[ring, brake]"))

    assert values.hardest is Level.ALERT
    assert read_policy(write(tmp_path, actions="[ring]", contracts="[pool, token]")).hash != policy.hash


@pytest.mark.parametrize(
    ("contracts", "words"), [("[]", "at least one contract"), ("[pol]", "did you mean `pool`")]
)
def test_contracts_that_cannot_be_are_refused(contracts: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=words):
        read_policy(write(tmp_path, actions="[]", contracts=contracts))


async def test_a_head_is_told_at_once_where_a_rule_is_ready_and_never_held_up() -> None:
    judged_in, judged = trio.open_memory_channel[JudgedBlock](2)
    room = LiveRoom(
        values=[NewContractScores({"victim": PROTECTED})],
        pool=cast(Any, None),
        ancestry=Ancestry(),
        judged=judged_in,
        is_ready=lambda ref: ref.number != 1,
    )

    for ref in make_refs(4):
        room.see(ref)

    assert [judged.receive_nowait().ref.number for _ in range(2)] == [0, 2]
    assert room.statistics().skipped == 1


def make_refs(count: int) -> list[BlockRef]:
    chain = MemoryChain()
    chain.extend(*[()] * (count - 1))
    assert chain.head.number == BlockNumber(count - 1)
    return chain.blocks
