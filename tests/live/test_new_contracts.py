"""New contracts as a signal: what a block created, at any depth, scored against the protected ones there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import trio

from consensus.alert import Level
from consensus.errors import Reason, Refused, Unavailable
from consensus.types import Address, BlockNumber
from node.chain.reader import ChainReader
from node.chain.rpc import RpcPool
from node.chain.types import BlockRef
from node.detect import new_contract_scores
from node.detect.new_contract import (
    FRESH_BLOCKS,
    HIGHEST_CODE_SCORE,
    HIGHEST_SCORE,
    MAX_CODE_BYTES,
    YOUNG_POINTS,
    YOUNG_TRANSACTIONS,
)
from node.detect.new_contract_scores import NewContractScores
from node.devnet.anvil import running_anvil
from node.devnet.deployer import Deployer, open_deployer
from node.evaluate.expressions import Undefined
from node.evaluate.lookups import LookedUpSignal
from node.live.room import LiveRoom
from node.live.row import JudgedBlock
from node.observe.ancestry import Ancestry
from node.observe.traces import Creation, TraceReader
from node.observe.view import BlockView
from node.policies import read_policy
from tests.chain.doubles import EndpointDouble, doubles, pool_of
from tests.detect.test_new_contract import BORROW, LOAN, SEIZE, SWEEP, VICTIM, code_of
from tests.evaluate.policies import make_policy_text
from tests.live.chains import MemoryChain
from tests.observe.bytecode import REVERT as REVERTS
from tests.observe.bytecode import STOP, address, call, code, create

PROTECTED, FACTORY, FAILING, TRYING = address(0xA1), address(0xA2), address(0xA3), address(0xA4)
FRESH = address(0xF1)
NO_SUCH_METHOD = "the method does not exist/is not available"
ATTACK = code_of(LOAN, names=(BORROW, SEIZE, SWEEP), holds=(PROTECTED[2:].lower(),))
INTEGRATOR = code_of("sweepAll()", names=(BORROW,), holds=(PROTECTED[2:].lower(),))
TOKEN = code_of("transfer(address,uint256)", "balanceOf(address)")
EMPTY_CONTRACT = "60015ff3"
"""Init code of a contract whose code is one zero byte."""


def deploying(runtime: bytes) -> str:
    """Init code that returns this."""
    return f"0x61{len(runtime):04x}80600a5f395ff3{runtime.hex()}"


class Ground:
    """A chain that mines when it is told to, with a protected contract and who deploys against it."""

    def __init__(self, ada: EndpointDouble, pool: RpcPool, chain: Deployer) -> None:
        self.ada, self.pool, self.chain = ada, pool, chain
        self.old, self.young = chain.governance, chain.accounts[5]
        self.scores = NewContractScores({"victim": PROTECTED})

    async def mined(self, *transactions: dict[str, Any]) -> BlockView:
        """A block of these alone, by the old account where none is named."""
        await self.pool.call("evm_setAutomine", (False,))
        for each in transactions:
            await self.chain.submit({"from": self.old, "gas": hex(3_000_000), **each})
        await self.pool.call("evm_mine", ())
        reader = ChainReader(self.pool)
        tracer = TraceReader(self.pool, (PROTECTED,))
        return BlockView(await reader.latest(), reader, Ancestry(), tracer=tracer)

    async def score(self, *transactions: dict[str, Any]) -> int | Undefined:
        return await self.scores.read(await self.mined(*transactions))


@asynccontextmanager
async def standing() -> AsyncIterator[Ground]:
    async with (
        running_anvil() as anvil,
        doubles(anvil, "ada") as (ada,),
        pool_of(ada, agreement=1) as pool,
        open_deployer(anvil) as chain,
    ):
        await pool.call("anvil_setCode", (PROTECTED, code(VICTIM.hex())))
        await pool.call("anvil_setNonce", (chain.governance, hex(YOUNG_TRANSACTIONS)))
        yield Ground(ada, pool, chain)


async def test_a_block_has_the_highest_score_of_what_it_created() -> None:
    async with standing() as ground:
        for at, parts in {
            FACTORY: (create(EMPTY_CONTRACT), create(EMPTY_CONTRACT), STOP),
            FAILING: (create(EMPTY_CONTRACT), REVERTS),
            TRYING: (call(FAILING), create(EMPTY_CONTRACT), STOP),
        }.items():
            await ground.pool.call("anvil_setCode", (at, code(*parts)))
        attack, integrator, token = ({"data": deploying(each)} for each in (ATTACK, INTEGRATOR, TOKEN))
        assert await ground.score() == 0
        assert await ground.score(token) == 0
        assert await ground.score(integrator) == 3
        assert await ground.score(token, attack, integrator) == HIGHEST_CODE_SCORE
        assert await ground.score({"to": ground.old, "value": "0x1"}) == 0

        view = await ground.mined({"to": FACTORY}, {"to": FAILING}, {"to": TRYING})
        created = await view.creations()
        assert [each.creator for each in created] == [FACTORY, FACTORY, TRYING]
        assert {each.sender for each in created} == {ground.old}
        assert [await view.code(each.contract) for each in created] == [b"\0"] * 3

        ground.ada.refused = dict.fromkeys(("debug_traceBlockByHash", "trace_block"), NO_SUCH_METHOD)
        with pytest.raises(Unavailable, match="not_offered"):
            await ground.score(attack)


async def test_the_same_drainer_scores_higher_by_who_deployed_it() -> None:
    async with standing() as ground:
        await ground.pool.call("anvil_impersonateAccount", (FRESH,))
        await ground.mined({"to": FRESH, "value": hex(10**18)})

        async def by(sender: Address, runtime: bytes = ATTACK) -> int | Undefined:
            return await ground.score({"from": sender, "data": deploying(runtime)})

        assert await by(ground.old) == HIGHEST_CODE_SCORE
        assert await by(ground.young) == HIGHEST_CODE_SCORE + YOUNG_POINTS
        assert await by(FRESH) == HIGHEST_SCORE
        assert await by(FRESH, INTEGRATOR) == await by(ground.old, INTEGRATOR) == 3
        both = [{"from": each, "data": deploying(ATTACK)} for each in (ground.old, FRESH)]
        assert await ground.score(*both) == HIGHEST_SCORE, "one code, and the worst of those who deployed it"

        await ground.pool.call("anvil_mine", (hex(FRESH_BLOCKS),))
        assert await by(FRESH) == HIGHEST_CODE_SCORE + YOUNG_POINTS, "its coin has been there for a while"
        attack, integrator = [
            await ground.mined({"from": FRESH, "data": deploying(each)}) for each in (ATTACK, INTEGRATOR)
        ]
        ground.ada.refused = {"eth_getTransactionCount": NO_SUCH_METHOD}
        with pytest.raises(Unavailable):
            await ground.scores.read(attack)
        assert await ground.scores.read(integrator) == 3, "nothing is asked about who sent it"


class Created:
    """A view of a block that created contracts with these codes, each by another fresh account."""

    def __init__(self, *codes: bytes) -> None:
        self.ref = MemoryChain().head
        self.codes = {address(0x1000 + place): each for place, each in enumerate(codes)}

    async def creations(self) -> list[Creation]:
        return [
            Creation(sender=address(0x2000 + place), creator=FACTORY, contract=each)
            for place, each in enumerate(self.codes)
        ]

    async def ancestor(self, k: int) -> Created:
        return self

    async def prefetch_nonces(self, accounts: list[Address]) -> None:
        assert len(accounts) <= new_contract_scores.READ_AT_ONCE

    async def prefetch(self, calls: tuple[()], *, balances: list[Address]) -> None:
        assert len(balances) <= new_contract_scores.READ_AT_ONCE

    async def nonce(self, account: Address) -> int:
        return 1

    async def balance(self, account: Address) -> int:
        return 0

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


async def test_more_deployers_than_are_looked_into_are_undefined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_contract_scores, "MAX_DEPLOYERS", 2)

    assert isinstance(await read(ATTACK, ATTACK, ATTACK), Undefined)
    assert await read(ATTACK, ATTACK, TOKEN, TOKEN) == HIGHEST_SCORE


async def test_a_block_of_nothing_but_code_that_no_chain_takes_has_no_score() -> None:
    assert await read(bytes(MAX_CODE_BYTES + 1)) == 0


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
