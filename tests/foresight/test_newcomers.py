"""New contracts whose functions are run before anybody calls them: which drain, and what is silent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import pytest
import structlog.testing

from consensus.errors import Unavailable
from consensus.fields import address_from_hex
from consensus.types import Address
from node.chain.reader import ChainReader
from node.chain.rpc import open_pool
from node.chain.types import BlockRef, Endpoint
from node.detect.entry_points import DRAIN_POINTS
from node.detect.new_contract import ADDRESS_POINTS
from node.devnet.anvil import running_anvil
from node.devnet.deployer import Deployer, open_deployer
from node.foresight import newcomers as module
from node.foresight.eyes import open_eyes
from node.foresight.newcomers import Newcomers
from node.observe.traces import Creation, TraceReader
from tests.detect.test_new_contract import LOAN, code_of, selector
from tests.foresight.test_room import BANK, PAY_ONE, make_policy, until
from tests.foresight.test_room import staged as staged_room
from tests.live.chains import MemoryChain
from tests.simulate.worlds import ETHER, PAY_ALL, assemble, call

RULES = make_policy().pending_rules


def calling_bank(*answers: str, owner: Address | None = None) -> bytes:
    """Functions that call the bank, for the owner alone where there is one."""
    guard = "" if owner is None else f"{owner} CALLER SUB 0x00 JUMPI"  # no place to jump to: it fails
    return code_of(*answers)[:-1] + assemble(f"{guard} {call(BANK)} STOP")


def deploying(runtime: bytes) -> str:
    return f"0x61{len(runtime):04x}80600a5f395ff3{runtime.hex()}"


@dataclass(slots=True)
class Stage:
    chain: Deployer
    reader: ChainReader
    newcomers: Newcomers
    pool: Any

    async def put(self, bank: bytes) -> None:
        await self.pool.call("anvil_setCode", (BANK, f"0x{bank.hex()}"))
        await self.chain.fund(address_from_hex(BANK), 7 * ETHER)

    async def created(self, runtime: bytes, sender: Address) -> BlockRef:
        await self.pool.call("evm_setAutomine", (False,))
        await self.chain.submit({"from": sender, "gas": hex(3_000_000), "data": deploying(runtime)})
        await self.chain.mine()
        return await self.reader.latest()


@asynccontextmanager
async def staged() -> AsyncIterator[Stage]:
    async with running_anvil() as anvil, open_deployer(anvil) as chain:
        endpoint = Endpoint(name="anvil", http=anvil.http)
        async with (
            open_pool(anvil.chain_id, (endpoint,), agreement=1, timeout_seconds=10) as pool,
            open_eyes(pool, (), RULES, timeout_seconds=10) as eyes,
        ):
            yield Stage(chain, ChainReader(pool), eyes.newcomers, pool)


async def test_a_function_that_drains_for_who_deployed_it_is_found_before_it_is_called() -> None:
    async with staged() as stage:
        thief, other = stage.chain.accounts[4], stage.chain.accounts[5]
        await stage.put(PAY_ALL)

        (found,) = await stage.newcomers.look(
            await stage.created(calling_bank("go()", owner=thief), sender=thief)
        )
        nothing = await stage.newcomers.look(
            await stage.created(calling_bank("go()", owner=other), sender=thief)
        )
        callback = await stage.newcomers.look(await stage.created(calling_bank(LOAN), sender=thief))
        await stage.put(PAY_ONE)
        honest = await stage.newcomers.look(await stage.created(calling_bank("go()"), sender=thief))

        assert found.score == ADDRESS_POINTS + DRAIN_POINTS
        assert f"function 0x{selector('go()')} of new contract" in found.summary
        assert "breaks rule foreseen" in found.summary
        assert f"would take {7 * ETHER} of the {7 * ETHER} that 0xc1c1c1c1…c1c1 holds" in found.summary
        assert (nothing, callback, honest) == ((), (), ())
        counted = stage.newcomers.statistics()
        assert (counted.run, counted.drains, counted.unknown, counted.unseen) == (3, 1, 0, 0)


async def test_a_drain_is_told_to_a_person_when_its_block_comes() -> None:
    async with staged_room() as stage:
        ada = stage.watchers["ada"]
        await stage.put(PAY_ALL)
        data = deploying(calling_bank("go()"))
        await stage.deployer.submit({"from": stage.deployer.accounts[4], "gas": hex(3_000_000), "data": data})
        head = await stage.mine()
        with structlog.testing.capture_logs() as lines:
            ada.room.head(head)
            await until(lambda: any(each["event"] == "new_contract.drains" for each in lines))

        (line,) = [each for each in lines if each["event"] == "new_contract.drains"]
        assert (line["log_level"], line["block_number"]) == ("error", head.number)
        assert line["score"] == ADDRESS_POINTS + DRAIN_POINTS
        counted = ada.room.statistics()
        assert (counted.entry_points, counted.entry_points_drain) == (1, 1)
        assert ada.raised() == [], "nothing is signed about a call that nobody has sent"


SENDER = address_from_hex("0x" + "ee" * 20)


class Blind:
    """A runner that cannot tell, of a block with these codes."""

    def __init__(self, *codes: bytes) -> None:
        self.codes = dict(zip(range(1, 99), codes, strict=False))
        self.senders: dict[int, Address] = {}
        self.asked: list[str] = []
        self.newcomers = Newcomers(RULES, cast(ChainReader, self), cast(TraceReader, self), cast(Any, self))

    async def read_creations(self, ref: BlockRef) -> tuple[Creation, ...]:
        return tuple(
            Creation(
                sender=self.senders.get(number, SENDER),
                creator=SENDER,
                contract=address_from_hex(f"0x{number:040x}"),
            )
            for number in self.codes
        )

    async def read_each(self, reads: Any, at: BlockRef) -> list[bytes]:
        return [self.codes.get(int(each.account, 16), b"") for each in reads]

    async def run(self, transaction: Any, anchor: BlockRef, *, block_seconds: int) -> Any:
        self.asked.append(transaction.to)
        raise Unavailable("no endpoint tells")


async def test_what_cannot_be_run_adds_nothing_and_is_counted() -> None:
    blind = Blind(calling_bank("go()"))

    assert await blind.newcomers.look(MemoryChain().head) == ()
    assert (blind.newcomers.statistics().run, blind.newcomers.statistics().unknown) == (1, 1)


async def test_contracts_beyond_the_bound_are_counted_and_the_highest_go_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_PROBED", 1)
    blind = Blind(code_of("go()"), calling_bank("go()"), calling_bank("go()", LOAN))

    await blind.newcomers.look(MemoryChain().head)

    assert [int(each, 16) for each in blind.asked] == [3]
    assert blind.newcomers.statistics().unseen == 1


async def test_the_same_code_is_tried_once_for_each_who_deployed_it() -> None:
    blind = Blind(*[calling_bank("go()")] * 3)
    blind.senders[3] = address_from_hex("0x" + "dd" * 20)

    await blind.newcomers.look(MemoryChain().head)

    assert [int(each, 16) for each in blind.asked] == [1, 3]


async def test_contracts_whose_code_is_not_read_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_READ", 1)
    blind = Blind(calling_bank("go()"), calling_bank("come()"))

    await blind.newcomers.look(MemoryChain().head)

    assert [int(each, 16) for each in blind.asked] == [1]
    assert blind.newcomers.statistics().unseen == 1


def test_blocks_that_come_faster_than_they_are_looked_at_are_counted() -> None:
    blind = Blind()
    for _ in range(module.MAX_WAITING + 2):
        blind.newcomers.head(MemoryChain().head)

    assert blind.newcomers.statistics().unseen == 2
