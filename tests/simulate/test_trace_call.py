"""A node's own trace of a pending transaction: its holdings are the process's, its trace what is mined."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from structlog.testing import capture_logs

from consensus.errors import Reason, Refused, Unavailable
from consensus.fields import address_from_hex
from consensus.types import Address, BlockNumber, Seconds
from node.chain.reader import ChainReader
from node.chain.rpc import RpcPool
from node.chain.types import BlockRef
from node.devnet.anvil import Mining, running_anvil
from node.devnet.deployer import Deployer
from node.observe.traces import TraceGap, TraceReader
from node.pending import NATIVE, PendingTransaction, Simulation
from node.simulate.fallback import FallbackSimulator
from node.simulate.simulator import Limits, NextBlock, ProcessSimulator, open_simulator
from node.simulate.state import AgreedState
from node.simulate.trace_call import TraceCallSimulator
from node.trace import Account, CallKind, Token
from tests.chain.doubles import EndpointDouble, Lie, doubles, pool_of
from tests.simulate.worlds import COUNT, ETHER, FOREVER, PAY_ALL, TARGET, assemble, call

CALLER, FAILS, HEAP = (Account("0x" + each * 20) for each in ("c2", "c3", "c4"))
SPENDER_UNITS = 1_000


@dataclass(slots=True)
class Stage:
    """A chain that mines when told, with a token, behind two endpoints; both simulators look at its head."""

    deployer: Deployer
    token: Account
    endpoints: tuple[EndpointDouble, ...]
    pool: RpcPool
    head: BlockRef
    process: ProcessSimulator

    @property
    def user(self) -> Account:
        return Account(self.deployer.governance.lower())

    @property
    def block(self) -> NextBlock:
        return NextBlock(
            chain_id=self.head.chain_id,
            number=BlockNumber(self.head.number + 1),
            timestamp=Seconds(self.head.timestamp + 12),
        )

    def node(self, **limits: Any) -> TraceCallSimulator:
        simulator = TraceCallSimulator(
            self.pool, watched=(TARGET,), tokens=(Token(self.token),), limits=Limits(**limits)
        )
        simulator.open_block(self.block, self.head)
        return simulator

    def pending(
        self, to: str | None, data: bytes = b"", *, value_wei: int = 0, **more: Any
    ) -> PendingTransaction:
        fields = {"sender": self.user, "gas": 2_000_000} | more
        return PendingTransaction(
            hash="0x" + "77" * 32,
            to=None if to is None else Account(to),
            data=data,
            value_wei=value_wei,
            **fields,
        )


@asynccontextmanager
async def staged() -> AsyncIterator[Stage]:
    async with (
        running_anvil(mining=Mining.WHEN_TOLD) as anvil,
        doubles(anvil, "ada", "bob") as endpoints,
        pool_of(*endpoints) as pool,
    ):
        deployer = await Deployer.connect(pool)
        await pool.call("evm_setAutomine", (True,))
        token = await deployer.deploy("DemoToken", "Dollar", "USD")
        for at, code in (
            (TARGET, PAY_ALL),
            (CALLER, assemble(call(TARGET) + " " + call(HEAP))),
            (FAILS, assemble("0x00 0x00 REVERT")),
            (HEAP, COUNT),
        ):
            await pool.call("anvil_setCode", (at, f"0x{code.hex()}"))
        await deployer.fund(Address(TARGET), 7 * ETHER)
        await deployer.fund(Address(HEAP), ETHER)
        await deployer.send("DemoToken", token, "mint", address_from_hex(TARGET), SPENDER_UNITS)
        await deployer.impersonate(address_from_hex(TARGET))
        await pool.call("anvil_setCode", (TARGET, "0x"))
        await deployer.send(
            "DemoToken", token, "approve", deployer.governance, SPENDER_UNITS, sender=address_from_hex(TARGET)
        )
        await pool.call("anvil_setCode", (TARGET, f"0x{PAY_ALL.hex()}"))
        await pool.call("evm_setAutomine", (False,))
        await deployer.mine()
        head = await ChainReader(pool).latest()
        async with open_simulator(watched=[TARGET], tokens=[Token(Account(token.lower()))]) as process:
            stage = Stage(deployer, Account(token.lower()), endpoints, pool, head, process)
            await process.open_block(stage.block, AgreedState(ChainReader(pool), head))
            yield stage


async def what_is_mined(stage: Stage, transaction: PendingTransaction, watched: Account) -> Any:
    """The trace of the same transaction in a block."""
    sent: dict[str, Any] = {"from": transaction.sender, "data": f"0x{transaction.data.hex()}"}
    sent |= {"value": hex(transaction.value_wei), "gas": hex(transaction.gas)}
    if transaction.to is not None:
        sent["to"] = transaction.to
    await stage.deployer.submit(sent)
    await stage.deployer.mine()
    traces = await TraceReader(stage.pool, (watched,)).read(await ChainReader(stage.pool).latest())
    assert not isinstance(traces, TraceGap), traces
    return traces


def move(stage: Stage, units: int) -> bytes:
    encoded = stage.deployer.encode(
        "DemoToken", "transferFrom", address_from_hex(TARGET), stage.deployer.governance, units
    )
    return bytes.fromhex(encoded[2:])


def holdings(simulation: Simulation) -> tuple[object, ...]:
    return (simulation.succeeded, set(simulation.changes), set(simulation.profit))


async def test_both_simulators_say_the_same_of_holdings_and_the_trace_is_the_mined_one() -> None:
    async with staged() as stage:
        cases = {
            "coin by the watched contract itself": stage.pending(TARGET, b"\x12\x34\x56\x78", value_wei=3),
            "coin within another call": stage.pending(CALLER),
            "tokens, and the watched contract is not called": stage.pending(stage.token, move(stage, 400)),
            "all of them, so that a word becomes zero": stage.pending(
                stage.token, move(stage, SPENDER_UNITS)
            ),
            "a call that fails": stage.pending(FAILS, b"\xaa\xbb\xcc\xdd"),
            "a creation": stage.pending(None, assemble(call(TARGET))),
            "a contract that destroys itself for it": stage.pending(None, assemble(f"{TARGET} SELFDESTRUCT")),
            "nothing of the watched": stage.pending(HEAP),
        }
        snapshot = await stage.pool.call("evm_snapshot")
        for name, transaction in cases.items():
            simulation = await stage.node().simulate(transaction)

            assert holdings(simulation) == holdings(await stage.process.simulate(transaction)), name
            assert simulation.is_nested
            mined = await what_is_mined(stage, transaction, TARGET)
            assert [(each.frames, each.transfers) for each in mined] == [
                (simulation.trace.frames, simulation.trace.transfers)
            ] or (mined == () and simulation.trace.is_empty), name
            assert await stage.pool.call("evm_revert", (snapshot,)) is True
            snapshot = await stage.pool.call("evm_snapshot")

        everything = await stage.node().simulate(cases["all of them, so that a word becomes zero"])
        ((holding, before, after),) = [(each.holding, each.before, each.after) for each in everything.changes]
        assert (holding, before, after) == ((stage.token, TARGET), SPENDER_UNITS, 0)
        inner = await stage.node().simulate(cases["coin within another call"])
        first, within = inner.trace.frames[:2]  # whoever is paid calls again
        assert (first.contract, first.kind, first.parent) == (TARGET, CallKind.CALL, None)
        assert (within.contract, within.parent) == (TARGET, 0)
        assert {each.holding[0] for each in inner.changes} == {NATIVE}


async def test_block_and_fees_are_those_of_the_process() -> None:
    asks = "".join(
        f"{code} 60{slot:02x} 55 " for slot, code in enumerate(("43", "42", "48", "3a", "41", "44", "45"))
    )
    async with staged() as stage:
        await stage.pool.call("anvil_setCode", (TARGET, "0x" + asks.replace(" ", "") + "00"))
        await stage.deployer.mine()
        stage.head = await ChainReader(stage.pool).latest()
        await stage.process.open_block(stage.block, AgreedState(ChainReader(stage.pool), stage.head))

        by_node = await stage.node().simulate(stage.pending(TARGET))
        by_process = await stage.process.simulate(stage.pending(TARGET))

    written = (stage.block.number, stage.block.timestamp, 0, 0, 0, 0, Limits().gas)
    for simulation in (by_node, by_process):
        words = {access.slot: access.value for _, access in simulation.trace.watched_accesses}
        assert tuple(words.get(slot, 0) for slot in range(len(written))) == written


async def test_what_the_state_does_not_let_in_is_refused_and_the_second_is_not_asked() -> None:
    async with staged() as stage:
        node = stage.node()
        both = FallbackSimulator(node, stage.process)
        for transaction in (
            stage.pending(TARGET, value_wei=10**30),
            stage.pending(TARGET, gas=20_000),
        ):
            with pytest.raises(Refused) as refused:
                await both.simulate(transaction)
            assert refused.value.reason is Reason.PENDING_INVALID
        assert node.statistics().not_let_in == 2
        assert (both.fallen_back, stage.process.statistics().not_let_in) == (0, 0)


def without(method: str, tracer: str | None = None) -> Lie:
    def lie(asked: str, params: list[Any], response: dict[str, Any]) -> dict[str, Any]:
        if asked != method or (tracer is not None and params[-1].get("tracer") != tracer):
            return response
        return {
            "jsonrpc": "2.0",
            "id": response["id"],
            "error": {"code": -32601, "message": "no such method"},
        }

    return lie


async def test_a_node_without_it_is_a_finding_once_and_the_process_answers() -> None:
    async with staged() as stage:
        stage.endpoints[0].lie = without("debug_traceCall")
        node = stage.node()
        both = FallbackSimulator(node, stage.process)

        with capture_logs() as logs:
            simulations = [await both.simulate(stage.pending(TARGET)) for _ in range(2)]

        assert [each.is_nested for each in simulations] == [False, False]
        assert both.fallen_back == node.statistics().not_offered == 2
        (said,) = [each for each in logs if each["event"] == "simulation.not_offered"]
        assert (said["log_level"], said["endpoints"]) == ("warning", ["ada"])

        stage.endpoints[0].lie = lambda _method, _params, response: response
        assert (await both.simulate(stage.pending(TARGET))).is_nested


def poorer(method: str, params: list[Any], response: dict[str, Any]) -> dict[str, Any]:
    """Says of each balance after the call that it is seven."""
    if method == "eth_call" and len(params) > 2:
        return {**response, "result": "0x" + f"{7:064x}"}
    return response


@pytest.mark.parametrize("lie", [poorer, without("debug_traceCall", "prestateTracer")], ids=["lies", "lacks"])
async def test_what_the_endpoints_do_not_agree_on_is_unknown(lie: Lie) -> None:
    async with staged() as stage:
        stage.endpoints[1].lie = lie
        node = stage.node()

        with pytest.raises(Unavailable, match="debug_traceCall of 0x7777"):
            await node.simulate(stage.pending(stage.token, move(stage, 400)))

        assert (node.statistics().unknown, node.statistics().not_offered) == (1, 0)


async def test_a_transaction_that_needs_more_gas_or_time_than_it_is_given_is_unknown() -> None:
    async with staged() as stage:
        await stage.pool.call("anvil_setCode", (HEAP, f"0x{FOREVER.hex()}"))
        await stage.deployer.mine()
        stage.head = await ChainReader(stage.pool).latest()

        with pytest.raises(Unavailable, match="100000 gas"):
            await stage.node(gas=100_000).simulate(stage.pending(HEAP))
        assert not (await stage.node(gas=100_000).simulate(stage.pending(HEAP, gas=100_000))).succeeded
        for endpoint in stage.endpoints:
            endpoint.hangs = True
        with pytest.raises(Unavailable, match="not told within"):
            await stage.node(trace_seconds=0.05).simulate(stage.pending(HEAP))
        for endpoint in stage.endpoints:
            endpoint.release()


async def test_nothing_is_known_before_a_block_is_opened() -> None:
    async with staged() as stage:
        with pytest.raises(Unavailable, match="no block was opened"):
            await TraceCallSimulator(stage.pool, watched=(TARGET,)).simulate(stage.pending(TARGET))
