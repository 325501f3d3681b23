"""Traces of a real chain: what each kind of transaction leaves, and that every source says the same."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from consensus.errors import Reason, Refused
from consensus.fields import address_from_hex
from consensus.types import Address, BlockNumber
from node.chain.reader import ChainReader
from node.chain.rpc import RpcPool
from node.chain.types import BlockRef
from node.detect.reentrancy import find_pairs
from node.devnet.anvil import running_anvil
from node.devnet.deployer import Deployer
from node.observe import traces
from node.observe.execution import NATIVE
from node.observe.traces import MAX_WATCHED, GapKind, TraceGap, TraceReader
from node.trace import Account, CallKind, TransactionTrace, Transfer
from tests.chain.doubles import EndpointDouble, doubles, pool_of
from tests.observe.bytecode import (
    COUNTER,
    REVERT,
    STOP,
    address,
    call,
    code,
    create,
    delegate_call,
    emit_transfer,
    if_first_time,
    static_call,
)

NOMAD = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "incidents" / "nomad"
WATCHED, OTHER, LIBRARY, TOKEN, THIEF = (address(number) for number in (0xA1, 0xA2, 0xA3, 0xA4, 0xA5))
NOBODY = address(0xEE)
SELECTOR = "0x12345678"
NO_SUCH_METHOD = "the method does not exist/is not available"


def low(account: Address) -> Account:
    return Account(account.lower())


def refusing_the_call_tracer(method: str, params: list[Any], response: dict[str, Any]) -> dict[str, Any]:
    """A node whose own tracer is switched off."""
    if method == "debug_traceBlockByHash" and params[1]["tracer"] == "callTracer":
        return {"jsonrpc": "2.0", "id": response["id"], "error": {"code": -32000, "message": "disabled"}}
    return response


def refusing_tracers(method: str, params: list[Any], response: dict[str, Any]) -> dict[str, Any]:
    """A node without an engine for tracers of others' making."""
    if method == "debug_traceTransaction" and "tracer" in params[1]:
        return {
            "jsonrpc": "2.0",
            "id": response["id"],
            "error": {"code": -32000, "message": "tracer not found"},
        }
    return response


class Chain:
    """An anvil, and five endpoints before it that each offer another interface."""

    def __init__(self, pool: RpcPool, deployer: Deployer, five: tuple[EndpointDouble, ...]) -> None:
        self.pool, self.deployer, self.reader = pool, deployer, ChainReader(pool)
        self.programs, self.logs, self.parity, self.mixed, self.flat = self.five = five
        self.flat.lie = refusing_the_call_tracer
        self.logs.lie = refusing_tracers
        self.parity.refused = dict.fromkeys(
            ("debug_traceBlockByHash", "debug_traceTransaction"), NO_SUCH_METHOD
        )
        self.mixed.refused = {"debug_traceBlockByHash": NO_SUCH_METHOD}

    async def put(self, at: Address, *parts: str) -> None:
        await self.pool.call("anvil_setCode", (at, code(*parts)))

    async def send(self, to: Address, *, value_wei: int = 0, data: str = SELECTOR, **more: str) -> BlockRef:
        """One transaction in a block of its own."""
        transaction = {"from": self.deployer.governance, "to": to, "data": data, "value": hex(value_wei)}
        sent = await self.deployer.submit({**transaction, "gas": hex(5_000_000), **more})
        while (receipt := await self.deployer.receipt(sent)) is None:
            pass  # mined as soon as it came, but answered before
        return await self.reader.block_by_number(BlockNumber(int(receipt["blockNumber"], 16)))

    async def trace(
        self, ref: BlockRef, *watched: Address, without: EndpointDouble | None = None
    ) -> tuple[TransactionTrace, ...]:
        """The same by all five endpoints, each asked alone."""
        seen = []
        for endpoint in self.five:
            if endpoint is without:
                continue
            async with pool_of(endpoint, chain_id=self.pool.chain_id, agreement=1) as pool:
                read = await TraceReader(pool, watched or (WATCHED,)).read(ref)
                assert not isinstance(read, TraceGap), read
                seen.append(read)
        for each in seen:
            assert each == seen[0]
        return seen[0]

    async def trace_one(self, ref: BlockRef, *watched: Address) -> TransactionTrace:
        (trace,) = await self.trace(ref, *watched)
        return trace


@pytest.fixture
async def chain() -> AsyncIterator[Chain]:
    async with (
        running_anvil(arguments=("--steps-tracing",)) as anvil,
        doubles(anvil, "programs", "logs", "parity", "mixed", "flat") as five,
        pool_of(five[0], agreement=1) as pool,
    ):
        yield Chain(pool, await Deployer.connect(pool), five)


def accesses(trace: TransactionTrace, place: int = 0) -> dict[str, list[tuple[int, int, bool]]]:
    return {owner: [tuple(each) for each in done] for owner, done in trace.frames[place].accesses.items()}


async def test_each_endpoint_is_asked_in_the_way_that_it_serves(chain: Chain) -> None:
    await chain.put(WATCHED, COUNTER, STOP)
    ref = await chain.send(WATCHED)

    sources = {}
    for endpoint in chain.five:
        async with pool_of(endpoint, agreement=1) as pool:
            reader = TraceReader(pool, (WATCHED,))
            await reader.read(ref)
            sources |= reader.statistics().sources

    assert sources == {
        "programs": "callTracer + program",
        "logs": "callTracer + structLogs",
        "parity": "trace_block + vmTrace of the block",
        "mixed": "trace_block + program",
        "flat": "call program + program",
    }


async def test_a_plain_call_is_one_frame_with_its_reads_and_writes_in_order(chain: Chain) -> None:
    await chain.put(WATCHED, COUNTER, COUNTER, STOP)

    trace = await chain.trace_one(await chain.send(WATCHED))

    (frame,) = trace.frames
    assert (frame.contract, frame.selector, frame.kind) == (low(WATCHED), SELECTOR, CallKind.FIRST_CALL)
    assert (frame.start_step, frame.parent) == (-1, None)
    assert accesses(trace) == {low(WATCHED): [(0, 0, False), (0, 1, True), (0, 1, False), (0, 2, True)]}
    assert trace.transfers == ()


async def test_a_call_without_calldata_has_no_selector(chain: Chain) -> None:
    await chain.put(WATCHED, COUNTER, STOP)
    trace = await chain.trace_one(await chain.send(WATCHED, data="0x123456"))
    assert trace.frames[0].selector == ""


async def test_only_watched_contracts_have_frames_and_what_others_do_within_counts_for_them(
    chain: Chain,
) -> None:
    await chain.put(OTHER, COUNTER, call(LIBRARY), STOP)
    await chain.put(LIBRARY, COUNTER, STOP)
    await chain.put(WATCHED, call(OTHER), COUNTER, STOP)

    trace = await chain.trace_one(await chain.send(WATCHED), WATCHED, LIBRARY)

    assert [(frame.contract, frame.kind, frame.parent) for frame in trace.frames] == [
        (low(WATCHED), CallKind.FIRST_CALL, None),
        (low(LIBRARY), CallKind.CALL, 0),
    ]
    counted = [(0, 0, False), (0, 1, True)]
    assert accesses(trace) == {low(OTHER): counted, low(LIBRARY): counted, low(WATCHED): counted}
    assert accesses(trace, 1) == {low(LIBRARY): counted}


async def test_a_contract_that_another_calls_is_no_first_call(chain: Chain) -> None:
    await chain.put(WATCHED, COUNTER, STOP)
    await chain.put(OTHER, static_call(LIBRARY), call(WATCHED), STOP)
    await chain.put(LIBRARY, "5f5450", STOP)

    trace = await chain.trace_one(await chain.send(OTHER), WATCHED, LIBRARY)

    assert [(frame.contract, frame.kind) for frame in trace.frames] == [
        (low(LIBRARY), CallKind.STATIC_CALL),
        (low(WATCHED), CallKind.CALL),
    ]


async def test_a_delegate_call_works_on_its_callers_storage(chain: Chain) -> None:
    await chain.put(WATCHED, delegate_call(LIBRARY), STOP)
    await chain.put(LIBRARY, COUNTER, call(OTHER), STOP)
    await chain.put(OTHER, COUNTER, STOP)

    ref = await chain.send(WATCHED)
    proxy, behind = await chain.trace_one(ref), await chain.trace_one(ref, LIBRARY)

    counted = [(0, 0, False), (0, 1, True)]
    assert accesses(proxy) == {low(WATCHED): counted, low(OTHER): counted}
    assert [(frame.contract, frame.kind) for frame in behind.frames] == [
        (low(LIBRARY), CallKind.DELEGATE_CALL)
    ]
    assert accesses(behind) == {low(WATCHED): counted, low(OTHER): counted}


async def test_a_reverted_call_leaves_nothing_and_the_rest_stays(chain: Chain) -> None:
    await chain.put(WATCHED, call(OTHER), COUNTER, STOP)
    await chain.put(OTHER, COUNTER, call(LIBRARY, value_wei=3), emit_transfer(WATCHED, NOBODY, 5), REVERT)
    await chain.put(LIBRARY, COUNTER, STOP)
    await chain.deployer.fund(OTHER, 10)

    trace = await chain.trace_one(await chain.send(WATCHED), WATCHED, OTHER, LIBRARY)

    assert [frame.contract for frame in trace.frames] == [low(WATCHED)]
    assert accesses(trace) == {low(WATCHED): [(0, 0, False), (0, 1, True)]}
    assert trace.transfers == ()


async def test_a_call_that_runs_out_of_gas_leaves_nothing(chain: Chain) -> None:
    await chain.put(WATCHED, call(OTHER, gas="6105dc"), COUNTER, STOP)
    await chain.put(OTHER, COUNTER, STOP)  # cannot pay for its write, nor for its cold read

    trace = await chain.trace_one(await chain.send(WATCHED), WATCHED, OTHER)

    assert [frame.contract for frame in trace.frames] == [low(WATCHED)]


async def test_a_failed_transaction_leaves_nothing(chain: Chain) -> None:
    await chain.put(WATCHED, COUNTER, emit_transfer(WATCHED, NOBODY, 5), REVERT)
    assert await chain.trace(await chain.send(WATCHED)) == ()


async def test_a_transaction_that_touches_no_watched_contract_is_not_looked_into(chain: Chain) -> None:
    await chain.put(OTHER, COUNTER, STOP)

    assert await chain.trace(await chain.send(OTHER)) == ()

    assert chain.programs.asked["debug_traceTransaction"] == 0


async def test_reentry_is_a_frame_within_a_frame_and_the_detector_sees_it(chain: Chain) -> None:
    await chain.put(WATCHED, COUNTER, call(THIEF), "6001600255", STOP)
    await chain.put(THIEF, if_first_time(call(WATCHED)), STOP)

    trace = await chain.trace_one(await chain.send(THIEF))  # the thief begins, and is called back

    honest = await chain.trace_one(await chain.send(WATCHED))

    assert [(frame.contract, frame.parent) for frame in trace.frames] == [(low(WATCHED), None)]
    assert find_pairs(honest) == {}
    await chain.pool.call("anvil_setStorageAt", (THIEF, "0x1", "0x" + "00" * 32))
    entered = await chain.trace_one(await chain.send(WATCHED))
    assert [(frame.contract, frame.parent) for frame in entered.frames] == [
        (low(WATCHED), None),
        (low(WATCHED), 0),
    ]
    assert find_pairs(entered) == {(SELECTOR, ""): low(WATCHED)}
    outer, inner = entered.frames
    assert outer.start_step < inner.start_step < inner.end_step < outer.end_step


async def test_a_contract_that_is_created_has_the_constructors_frame(chain: Chain) -> None:
    await chain.put(OTHER, create(COUNTER + STOP), STOP)
    created = await chain.pool.call("eth_call", ({"to": OTHER, "data": "0x"}, "latest"))
    assert created == "0x"
    ref = await chain.send(OTHER)
    (row, *_) = await _trace_rows(chain, ref)
    made = row["calls"][0]["to"]

    trace = await chain.trace_one(ref, Address(made))

    (frame,) = trace.frames
    assert (frame.contract, frame.selector, frame.kind) == (made, "constructor", CallKind.CREATE)
    assert accesses(trace) == {made: [(0, 0, False), (0, 1, True)]}


async def test_a_deployment_by_transaction_starts_at_the_very_first(chain: Chain) -> None:
    token = await chain.deployer.deploy("DemoToken", "Demo Dollar", "DUSD")

    trace = await chain.trace_one(await chain.reader.latest(), token)

    assert [(f.contract, f.selector, f.kind, f.start_step) for f in trace.frames] == [
        (low(token), "constructor", CallKind.CREATE, -1)
    ]
    assert trace.frames[0].writes_storage


async def test_token_transfers_to_and_from_watched_contracts_are_kept_in_order(chain: Chain) -> None:
    await chain.put(WATCHED, call(TOKEN), STOP)
    await chain.put(
        TOKEN,
        emit_transfer(NOBODY, OTHER, 1),
        emit_transfer(NOBODY, WATCHED, 2**256 - 1),
        emit_transfer(WATCHED, OTHER, 3),
        emit_transfer(WATCHED, OTHER, 4, topics=4),
        STOP,
    )

    trace = await chain.trace_one(await chain.send(WATCHED))

    assert trace.transfers == (
        Transfer(low(TOKEN), low(NOBODY), low(WATCHED), 2**256 - 1),
        Transfer(low(TOKEN), low(WATCHED), low(OTHER), 3),
    )


async def test_a_transfer_without_a_call_to_a_watched_contract_is_a_transaction_of_its_own(
    chain: Chain,
) -> None:
    await chain.put(TOKEN, emit_transfer(NOBODY, WATCHED, 7), STOP)

    trace = await chain.trace_one(await chain.send(TOKEN))

    assert trace.frames == ()
    assert trace.transfers == (Transfer(low(TOKEN), low(NOBODY), low(WATCHED), 7),)


async def test_coin_that_comes_and_goes_is_a_token_of_its_own(chain: Chain) -> None:
    await chain.put(WATCHED, call(OTHER, value_wei=3), call(NOBODY, value_wei=4), STOP)
    await chain.put(OTHER, f"73{NOBODY[2:]} ff")  # passes on what it got, and is no longer watched

    trace = await chain.trace_one(await chain.send(WATCHED, value_wei=100))

    sender = low(chain.deployer.governance)
    assert trace.transfers == (
        Transfer(NATIVE, sender, low(WATCHED), 100),
        Transfer(NATIVE, low(WATCHED), low(OTHER), 3),
        Transfer(NATIVE, low(WATCHED), low(NOBODY), 4),
    )


async def test_a_delegate_call_moves_no_coin_though_it_names_an_amount(chain: Chain) -> None:
    await chain.put(WATCHED, delegate_call(LIBRARY), STOP)
    await chain.put(LIBRARY, COUNTER, STOP)

    trace = await chain.trace_one(await chain.send(WATCHED, value_wei=5), WATCHED, LIBRARY)

    assert trace.transfers == (Transfer(NATIVE, low(chain.deployer.governance), low(WATCHED), 5),)


async def test_coin_that_a_contract_leaves_behind_when_it_ends_is_seen(chain: Chain) -> None:
    await chain.put(OTHER, COUNTER, f"73{WATCHED[2:]} ff")
    await chain.put(WATCHED, STOP)
    await chain.deployer.fund(OTHER, 9)

    trace = await chain.trace_one(await chain.send(OTHER))

    assert trace.frames == ()
    assert trace.transfers == (Transfer(NATIVE, low(OTHER), low(WATCHED), 9),)


async def test_calls_of_precompiles_and_of_accounts_without_code_do_not_confuse_the_order(
    chain: Chain,
) -> None:
    await chain.put(
        WATCHED, call(address(4)), COUNTER, call(NOBODY), call(OTHER), call(address(4)), call(OTHER), STOP
    )
    await chain.put(OTHER, COUNTER, STOP)

    ref = await chain.send(WATCHED)
    (trace,) = await chain.trace(ref, WATCHED, OTHER, without=chain.parity)

    async with pool_of(chain.parity, agreement=1) as pool:
        gap = await TraceReader(pool, (WATCHED,)).read(ref)
    assert isinstance(gap, TraceGap)
    assert "inner traces are misplaced" in gap.said
    assert [frame.contract for frame in trace.frames] == [low(WATCHED), low(OTHER), low(OTHER)]
    assert accesses(trace, 2) == {low(OTHER): [(0, 1, False), (0, 2, True)]}


def answering_nothing(method: str, params: list[Any], response: dict[str, Any]) -> dict[str, Any]:
    """What comes of a tree that nests too deep for JSON: no answer that can be decoded."""
    if method == "debug_traceBlockByHash" and params[1]["tracer"] == "callTracer":
        return {"jsonrpc": "2.0", "id": response["id"]}
    return response


async def test_a_tree_that_cannot_be_decoded_is_asked_for_in_another_form(chain: Chain) -> None:
    await chain.put(OTHER, call(OTHER), STOP)  # until the gas is gone
    await chain.put(WATCHED, COUNTER, call(OTHER), COUNTER, STOP)
    ref = await chain.send(WATCHED, gas=hex(2**24))
    chain.programs.lie = answering_nothing

    trace = await chain.trace_one(ref)

    assert accesses(trace)[low(WATCHED)][-1] == (0, 2, True)
    async with pool_of(chain.programs, agreement=1) as pool:
        reader = TraceReader(pool, (WATCHED,))
        await reader.read(ref)
        assert reader.statistics().sources == {"programs": "call program + program"}


@pytest.mark.skipif(not NOMAD.exists(), reason=f"no recorded incident at {NOMAD}")
async def test_a_real_incident_gives_the_same_trace_from_every_source() -> None:
    incident = json.loads((NOMAD / "incident.json").read_text())
    strike = incident["attack"]["calls"][0]
    bridge, wbtc = (address_from_hex(incident["contracts"][name]) for name in ("token_bridge", "wbtc"))
    genesis = (NOMAD / "genesis.json").resolve()
    async with (
        running_anvil(chain_id=1, genesis=genesis, arguments=("--steps-tracing",)) as anvil,
        doubles(anvil, "programs", "logs", "parity", "mixed", "flat") as five,
        pool_of(five[0], chain_id=1, agreement=1) as pool,
    ):
        chain = Chain(pool, await Deployer.connect(pool), five)
        await chain.deployer.impersonate(strike["from"])
        await chain.deployer.fund(strike["from"], 10**18)
        to = address_from_hex(strike["to"])
        ref = await chain.send(to, data=strike["data"], **{"from": strike["from"]})
        (trace,) = await chain.trace(ref, to, bridge, without=chain.parity)  # it calls a precompile

    assert [(frame.contract, frame.kind, frame.parent) for frame in trace.frames] == [
        (low(to), CallKind.FIRST_CALL, None),
        (low(bridge), CallKind.CALL, 0),
    ]
    assert all(frame.writes_storage for frame in trace.frames)
    assert trace.transfers == (Transfer(low(wbtc), low(bridge), low(strike["from"]), 100 * 10**8),)


async def test_a_vault_of_real_code_gives_the_same_trace_from_every_source(chain: Chain) -> None:
    deployer = chain.deployer
    token = await deployer.deploy("DemoToken", "Demo Dollar", "DUSD")
    manager = await deployer.deploy("AccessManager", deployer.governance)
    vault = await deployer.deploy("Vault", manager, token, "Demo Vault", "vDUSD")
    await deployer.send("DemoToken", token, "mint", deployer.governance, 1_000)
    await deployer.send("DemoToken", token, "approve", vault, 1_000)
    await deployer.send("Vault", vault, "deposit", 600, deployer.governance)

    trace = await chain.trace_one(await chain.reader.latest(), vault)

    me = low(deployer.governance)
    shares, assets = trace.transfers[1], trace.transfers[0]
    assert assets == Transfer(low(token), me, low(vault), 600)
    assert (shares.token, shares.receiver, shares.units) == (low(vault), me, 600)
    assert low(token) in trace.frames[0].accesses


async def test_several_transactions_of_a_block_keep_their_order(chain: Chain) -> None:
    await chain.put(WATCHED, COUNTER, STOP)
    await chain.put(OTHER, COUNTER, STOP)
    await chain.pool.call("evm_setAutomine", (False,))
    sent = [
        await chain.deployer.submit(
            {"from": chain.deployer.governance, "to": to, "data": SELECTOR, "gas": hex(100_000)}
        )
        for to in (WATCHED, OTHER, WATCHED)
    ]
    await chain.deployer.mine()

    read = await chain.trace(await chain.reader.latest())

    assert [(trace.hash, trace.index) for trace in read] == [(sent[0], 0), (sent[2], 1)]
    assert accesses(read[1]) == {low(WATCHED): [(0, 1, False), (0, 2, True)]}


async def test_an_empty_block_has_no_traces_and_asks_for_none(chain: Chain) -> None:
    await chain.deployer.mine()

    assert await chain.trace(await chain.reader.latest()) == ()

    assert chain.programs.asked["debug_traceBlockByHash"] == 0


async def test_endpoints_of_different_interfaces_agree(chain: Chain) -> None:
    await chain.put(WATCHED, COUNTER, STOP)
    ref = await chain.send(WATCHED, value_wei=5)

    async with pool_of(*chain.five, agreement=5) as pool:
        read = await TraceReader(pool, (WATCHED,)).read(ref)

    assert not isinstance(read, TraceGap)
    assert len(read) == 1


def lying_about_storage(method: str, params: list[Any], response: dict[str, Any]) -> dict[str, Any]:
    """Tells of another value than was written."""
    if method == "debug_traceTransaction":
        for step in response["result"]["steps"]:
            if step[1] == "store":
                step[3] = "0x2a"
    return response


async def test_a_lie_about_storage_is_outvoted(chain: Chain) -> None:
    await chain.put(WATCHED, COUNTER, STOP)
    ref = await chain.send(WATCHED)
    chain.programs.lie = lying_about_storage

    async with pool_of(chain.programs, chain.logs, chain.parity, agreement=2) as pool:
        read = await TraceReader(pool, (WATCHED,)).read(ref)

    assert not isinstance(read, TraceGap)
    assert accesses(read[0]) == {low(WATCHED): [(0, 0, False), (0, 1, True)]}


async def test_two_that_differ_leave_a_gap_that_names_both(chain: Chain) -> None:
    await chain.put(WATCHED, COUNTER, STOP)
    ref = await chain.send(WATCHED)
    chain.programs.lie = lying_about_storage

    async with pool_of(chain.programs, chain.logs, agreement=2) as pool:
        reader = TraceReader(pool, (WATCHED,))
        gap = await reader.read(ref)

    assert isinstance(gap, TraceGap)
    assert gap.kind is GapKind.NO_AGREEMENT
    assert "programs answered 0x" in gap.said
    assert "logs answered 0x" in gap.said
    assert reader.statistics().gaps == {"no_agreement": 1}


async def test_a_node_without_any_trace_interface_is_a_finding_that_is_logged_once(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A command that ran in this process may have bound the module's own to its stream.
    monkeypatch.setattr("node.observe.traces._log", structlog.get_logger("observe"))
    await chain.put(WATCHED, COUNTER, STOP)
    first, second = await chain.send(WATCHED), await chain.send(WATCHED)
    chain.parity.refused |= dict.fromkeys(
        ("trace_block", "trace_replayTransaction", "trace_replayBlockTransactions"), NO_SUCH_METHOD
    )

    async with pool_of(chain.parity, agreement=1) as pool:
        reader = TraceReader(pool, (WATCHED,))
        with capture_logs() as logs:
            gaps = [await reader.read(ref) for ref in (first, second)]

    assert [gap.kind for gap in gaps if isinstance(gap, TraceGap)] == [GapKind.NOT_OFFERED] * 2
    assert "1 watched contracts are not covered" in str(gaps[0])
    assert reader.statistics().gaps == {"not_offered": 2}
    assert [line["event"] for line in logs].count("trace.missing") == 1


async def test_a_node_that_keeps_no_steps_is_not_taken_for_one_where_nothing_was_stored(
    chain: Chain,
) -> None:
    async with running_anvil() as anvil, doubles(anvil, "stepless") as (stepless,):
        stepless.lie = refusing_tracers
        stepless.refused = {"trace_replayBlockTransactions": NO_SUCH_METHOD}
        async with pool_of(stepless, agreement=1) as pool:
            deployer = await Deployer.connect(pool)
            await pool.call("anvil_setCode", (WATCHED, code(COUNTER, STOP)))
            await deployer.submit(
                {"from": deployer.governance, "to": WATCHED, "data": SELECTOR, "gas": hex(100_000)}
            )
            ref = await ChainReader(pool).latest()
            gap = await TraceReader(pool, (WATCHED,)).read(ref)

    assert isinstance(gap, TraceGap)
    assert "the node does not keep them" in gap.said


async def test_a_block_that_the_chain_left_while_it_was_traced_has_no_trace(chain: Chain) -> None:
    await chain.put(WATCHED, COUNTER, STOP)
    ref = await chain.send(WATCHED)

    def reorganised(method: str, params: list[Any], response: dict[str, Any]) -> dict[str, Any]:
        if method == "eth_getBlockByNumber":
            return {**response, "result": {**response["result"], "hash": "0x" + "77" * 32}}
        return response

    chain.programs.lie = reorganised
    async with pool_of(chain.programs, agreement=1) as pool:
        gap = await TraceReader(pool, (WATCHED,)).read(ref)

    assert isinstance(gap, TraceGap)
    assert "left block" in gap.said


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"hash": "0x" + "77" * 32}, "asked for block"),
        ({"transactions": None}, "transaction hashes"),
        ({"transactions": ["0x" + "77" * 32] * 2}, "in the block twice"),
        ({"transactions": [{}]}, "expected a hash"),
        ({"transactions": [f"0x{n:064x}" for n in range(4)]}, "at most 3"),
    ],
)
async def test_a_block_whose_transactions_cannot_be_is_not_traced(
    chain: Chain, changed: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await chain.put(WATCHED, COUNTER, STOP)
    ref = await chain.send(WATCHED)
    monkeypatch.setattr(traces, "MAX_TRANSACTIONS", 3)

    def altered(method: str, params: list[Any], response: dict[str, Any]) -> dict[str, Any]:
        if method == "eth_getBlockByHash":
            return {**response, "result": {**response["result"], **changed}}
        return response

    chain.programs.lie = altered
    async with pool_of(chain.programs, agreement=1) as pool:
        gap = await TraceReader(pool, (WATCHED,)).read(ref)

    assert isinstance(gap, TraceGap)
    assert words in gap.said


async def _trace_rows(chain: Chain, ref: BlockRef) -> list[dict[str, Any]]:
    answer: Any = await chain.pool.call(
        "debug_traceBlockByHash", (f"0x{ref.hash.hex()}", {"tracer": "callTracer"})
    )
    return [row["result"] for row in answer]


@pytest.mark.parametrize(
    ("watched", "reason"),
    [((), Reason.EMPTY_LIST), (tuple(address(n + 1) for n in range(MAX_WATCHED + 1)), Reason.OVERSIZED)],
)
async def test_a_reader_of_no_contracts_or_of_too_many_is_refused(
    chain: Chain, watched: tuple[Address, ...], reason: Reason
) -> None:
    with pytest.raises(Refused) as refused:
        TraceReader(chain.pool, watched)
    assert refused.value.reason is reason
