"""Pending transactions in a process of their own: what they do, what is unknown, and what they cannot do."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
import trio

from consensus.errors import Reason, Refused, Unavailable
from consensus.fields import keccak256
from consensus.types import BlockNumber
from node.pending import NATIVE, HoldingChange, PendingTransaction, Simulation
from node.simulate.fallback import FallbackSimulator
from node.simulate.outcome import Answer, RunTask, Task, read_line, write_line
from node.simulate.server import StateServer
from node.simulate.simulator import Limits, NextBlock, ProcessSimulator, open_simulator
from node.simulate.state import GenesisAccount, GenesisState, StateSource
from node.trace import CallKind, Token
from tests.simulate.worlds import (
    BLOCK,
    COUNT,
    ETHER,
    FOREVER,
    OTHER,
    PAY_ALL,
    TARGET,
    THIEF,
    USER,
    World,
    assemble,
    call,
    pending,
)


@asynccontextmanager
async def simulating(state: StateSource, **limits: object) -> AsyncIterator[ProcessSimulator]:
    async with open_simulator(watched=[TARGET], limits=Limits(**limits)) as simulator:  # type: ignore[arg-type]
        await simulator.open_block(BLOCK, state)
        yield simulator


async def run(state: StateSource, transaction: PendingTransaction, **limits: object) -> Simulation:
    async with simulating(state, **limits) as simulator:
        return await simulator.simulate(transaction)


async def why_unknown(state: StateSource, transaction: PendingTransaction, **limits: object) -> str:
    async with simulating(state, **limits) as simulator:
        with pytest.raises(Unavailable) as raised:
            await simulator.simulate(transaction)
        assert simulator.statistics().unknown == 1
    return str(raised.value)


# --- what a transaction does


async def test_what_a_contract_loses_and_the_sender_gains_is_told_in_integers() -> None:
    world = World({TARGET: PAY_ALL}, {TARGET: 7 * ETHER, THIEF: ETHER})

    simulation = await run(world, pending(sender=THIEF))

    assert simulation.succeeded
    assert simulation.changes == (HoldingChange(holding=(NATIVE, TARGET), before=7 * ETHER, after=0),)
    assert simulation.profit == (HoldingChange(holding=(NATIVE, THIEF), before=ETHER, after=8 * ETHER),)


async def test_storage_of_watched_contracts_is_in_the_trace_with_what_was_read_and_written() -> None:
    world = World({TARGET: COUNT}, words={(TARGET, 7): 41})

    simulation = await run(world, pending(data=bytes.fromhex("12345678aa")))

    (frame,) = simulation.trace.frames
    assert (frame.contract, frame.selector, frame.kind) == (TARGET, "0x12345678", CallKind.FIRST_CALL)
    assert frame.accesses == {TARGET: ((7, 41, False), (7, 42, True))}
    assert simulation.trace.writing_frames == (0,)
    assert simulation.trace.block_number == BLOCK.number
    assert not simulation.is_nested


async def test_a_watched_contract_within_another_one_is_seen_too() -> None:
    world = World({OTHER: assemble(call(TARGET)), TARGET: COUNT}, words={(TARGET, 7): 1})

    simulation = await run(world, pending(OTHER))

    (frame,) = simulation.trace.frames
    assert (frame.contract, frame.kind, frame.writes_storage) == (TARGET, CallKind.CALL, True)


async def test_a_run_leaves_nothing_behind_for_the_next_one() -> None:
    world = World({TARGET: COUNT}, words={(TARGET, 7): 41})

    async with simulating(world) as simulator:
        first, second = [await simulator.simulate(pending()) for _ in range(2)]
        asked = world.asked
        third = await simulator.simulate(pending())

    assert first == second == third, "gas too: storage is cold again"
    assert world.asked == asked, "what was fetched is kept"


async def test_a_transaction_that_fails_is_told_as_one_that_does_nothing() -> None:
    world = World({TARGET: assemble("0x01 0x07 SSTORE 0x00 0x00 REVERT")}, {USER: ETHER})

    simulation = await run(world, pending(value_wei=5))

    assert not simulation.succeeded
    assert (simulation.changes, simulation.profit) == ((), ())
    assert not simulation.trace.watched_accesses


async def test_a_creation_is_run_and_its_contract_stands_on_the_senders_side() -> None:
    world = World({TARGET: PAY_ALL}, {TARGET: 7 * ETHER})

    simulation = await run(world, pending(None, data=assemble(call(TARGET))))

    assert simulation.changes == (HoldingChange(holding=(NATIVE, TARGET), before=7 * ETHER, after=0),)
    ((_, gainer),) = [change.holding for change in simulation.profit]
    assert gainer not in {USER, TARGET}


async def test_ether_of_a_contract_that_destroys_itself_is_seen_to_leave() -> None:
    world = World({TARGET: assemble(f"{THIEF} SELFDESTRUCT")}, {TARGET: 3 * ETHER})

    simulation = await run(world, pending(sender=THIEF))

    assert simulation.changes == (HoldingChange(holding=(NATIVE, TARGET), before=3 * ETHER, after=0),)


async def test_the_block_is_the_next_one() -> None:
    world = World({TARGET: assemble("NUMBER 0x00 SSTORE STOP")})

    simulation = await run(world, pending())

    assert simulation.trace.watched_accesses[-1] == (TARGET, (0, BLOCK.number, True))


# --- unknown stays unknown


async def test_a_word_that_is_not_known_is_not_zero() -> None:
    world = World({TARGET: COUNT}, is_whole=False)

    assert "word 7 of" in await why_unknown(world, pending())


async def test_a_word_that_is_not_known_is_noticed_within_a_call_that_is_reverted() -> None:
    reverted = assemble("0x07 SLOAD 0x00 MSTORE 0x00 0x00 REVERT")
    world = World({TARGET: assemble(call(OTHER)), OTHER: reverted}, is_whole=False)

    assert "word 7 of" in await why_unknown(world, pending())


async def test_the_next_transaction_is_run_as_if_the_unknown_one_had_not_been() -> None:
    codes = {TARGET: COUNT, OTHER: assemble(call("0x" + "c3" * 20)), "0x" + "c3" * 20: COUNT}
    known = World(codes, words={(TARGET, 7): 1}, is_whole=False)
    fresh = await run(known, pending())

    async with simulating(known) as simulator:
        for _ in range(1_100):  # each leaves two calls open, and a thousand calls are as deep as it goes
            with pytest.raises(Unavailable):
                await simulator.simulate(pending(OTHER))
        after = await simulator.simulate(pending())
        assert simulator.statistics().restarts == 0

    assert after == fresh


async def test_accounts_that_a_genesis_does_not_hold_are_unknown() -> None:
    nobody = "0x" + "00" * 20
    genesis = GenesisState({TARGET: GenesisAccount(code=f"0x{call_code(OTHER)}")}, {USER: ETHER, nobody: 0})

    assert f"does not hold account {OTHER}" in await why_unknown(genesis, pending())


def call_code(to: str) -> str:
    return assemble(call(to)).hex()


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (assemble("0x01 BLOCKHASH 0x00 SSTORE"), "eth_getBlockByNumber is not known"),
        (assemble(call("0x" + f"{0x0B:040x}")), "may be a precompile"),
        (assemble(call("0x" + f"{0x100:040x}")), "may be a precompile"),
        (assemble(call(OTHER)), "is a delegation"),
    ],
    ids=["hash of a block", "BLS precompile", "P-256 precompile", "delegated account"],
)
async def test_what_this_evm_would_do_otherwise_than_the_chain_is_unknown(code: bytes, why: str) -> None:
    world = World({TARGET: code, OTHER: bytes.fromhex("ef0100") + bytes(20)})

    assert why in await why_unknown(world, pending())


async def test_without_a_block_nothing_is_known() -> None:
    async with open_simulator(watched=[TARGET]) as simulator:
        with pytest.raises(Unavailable, match="no block was opened"):
            await simulator.simulate(pending())


async def test_a_state_that_cannot_be_loaded_ahead_is_not_opened() -> None:
    async with open_simulator(watched=[TARGET]) as simulator:
        with pytest.raises(Unavailable, match="cannot be opened"):
            await simulator.open_block(BLOCK, World(is_whole=False), ((TARGET,), ((TARGET, 1),)))


async def test_what_is_loaded_ahead_is_not_asked_for_again() -> None:
    world = World({TARGET: COUNT})
    async with open_simulator(watched=[TARGET]) as simulator:
        await simulator.open_block(BLOCK, world, ((USER, TARGET, "0x" + "00" * 20), ((TARGET, 7),)))  # type: ignore[arg-type]
        asked = world.asked
        await simulator.simulate(pending())

    assert world.asked == asked


async def test_a_state_that_is_opened_replaces_the_one_before() -> None:
    async with simulating(World({TARGET: COUNT}, words={(TARGET, 7): 1})) as simulator:
        await simulator.simulate(pending())
        following = NextBlock(chain_id=BLOCK.chain_id, number=BlockNumber(101), timestamp=BLOCK.timestamp)
        await simulator.open_block(following, World({TARGET: COUNT}, words={(TARGET, 7): 5}))

        simulation = await simulator.simulate(pending())

    assert simulation.trace.watched_accesses == ((TARGET, (7, 5, False)), (TARGET, (7, 6, True)))


async def test_a_token_of_the_policy_that_does_not_say_what_is_held_makes_it_unknown() -> None:
    world = World({TARGET: COUNT, OTHER: assemble("0x00 0x00 REVERT")})
    async with open_simulator(watched=[TARGET], tokens=[Token(OTHER)]) as simulator:
        await simulator.open_block(BLOCK, world)
        with pytest.raises(Unavailable, match="does not say what"):
            await simulator.simulate(pending())


# --- what is not let in


@pytest.mark.parametrize(
    "transaction",
    [pending(value_wei=ETHER), pending(gas=20_999), pending(sender=OTHER)],
    ids=["more than it has", "less gas than any", "a contract as sender"],
)
async def test_what_the_state_does_not_let_in_is_refused(transaction: PendingTransaction) -> None:
    async with simulating(World({TARGET: COUNT, OTHER: COUNT})) as simulator:
        with pytest.raises(Refused) as raised:
            await simulator.simulate(transaction)
        assert raised.value.reason is Reason.PENDING_INVALID
        await simulator.simulate(pending())
        statistics = simulator.statistics()
    assert (statistics.not_let_in, statistics.simulated, statistics.restarts) == (1, 1, 0)


@pytest.mark.parametrize("changes", [{"value_wei": -1}, {"gas": 2**64}, {"data": bytes(131_073)}])
def test_a_transaction_out_of_bounds_cannot_be_built(changes: dict[str, object]) -> None:
    with pytest.raises(Refused):
        pending(**changes)  # type: ignore[arg-type]


# --- hostile transactions

WANTS_ALL: Callable[[], PendingTransaction] = lambda: pending(OTHER, gas=2**43)  # noqa: E731
HEAVY = assemble("0x01 0x" + f"{700 * 2**20:08x}" + " MSTORE STOP")
"""Asks for 700 MiB of memory."""


async def still_works(simulator: ProcessSimulator) -> None:
    assert (await simulator.simulate(pending())).succeeded


async def test_a_transaction_that_runs_for_ever_is_ended_and_the_next_one_is_run() -> None:
    async with simulating(World({OTHER: FOREVER, TARGET: COUNT}), gas=2**43) as simulator:
        await still_works(simulator)
        with pytest.raises(Unavailable, match=r"took more than 2\.0 s"):
            await simulator.simulate(WANTS_ALL())
        assert simulator.statistics().restarts == 1
        await still_works(simulator)


async def test_the_watcher_goes_on_while_a_transaction_runs() -> None:
    steps = 0

    async def live() -> None:
        nonlocal steps
        while True:
            await trio.sleep(0.01)
            steps += 1

    async with (
        simulating(World({OTHER: FOREVER}), gas=2**43, seconds=0.5) as simulator,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(live)
        with pytest.raises(Unavailable):
            await simulator.simulate(WANTS_ALL())
        nursery.cancel_scope.cancel()

    assert steps > 1


async def test_a_transaction_that_takes_all_memory_costs_a_process_and_not_the_watcher() -> None:
    world = World({OTHER: HEAVY, TARGET: COUNT})
    async with simulating(world, gas=2**43, memory_bytes=600 * 2**20) as simulator:
        with pytest.raises(Unavailable, match="process that ran it ended"):
            await simulator.simulate(WANTS_ALL())
        await still_works(simulator)


async def test_a_transaction_that_needs_more_gas_than_it_is_given_is_unknown() -> None:
    world = World({TARGET: FOREVER})

    assert "more than the 100000 gas" in await why_unknown(world, pending(gas=100_001), gas=100_000)
    assert not (await run(world, pending(gas=100_000), gas=100_000)).succeeded


async def test_a_transaction_that_reads_on_and_on_is_unknown() -> None:
    reads_on = assemble("GAS SLOAD POP " * 50)

    assert "more than 40 values" in await why_unknown(World({TARGET: reads_on}), pending(), misses=40)


async def test_a_transaction_that_hides_a_theft_among_tokens_of_its_own_is_unknown() -> None:
    moves = keccak256(b"Transfer(address,address,uint256)").hex()
    token = assemble(f"0x01 0x00 MSTORE {THIEF} {TARGET} 0x{moves} 0x20 0x00 LOG3 STOP")
    copy = "CALLDATASIZE 0x00 0x00 CALLDATACOPY " + "CALLDATASIZE 0x00 0x00 CREATE POP " * 65
    world = World({OTHER: assemble(copy)})

    why = await why_unknown(world, pending(OTHER, data=token, gas=20_000_000))

    assert "moves 65 balances" in why


async def test_a_process_that_died_is_replaced() -> None:
    async with simulating(World({TARGET: COUNT})) as simulator:
        assert simulator._worker is not None
        os.kill(simulator._worker.pid, signal.SIGKILL)
        with pytest.raises(Unavailable, match="ended"):
            await simulator.simulate(pending())
        await still_works(simulator)


async def test_an_answer_that_nobody_waited_for_is_not_taken_for_the_next_one() -> None:
    async with simulating(World({OTHER: FOREVER, TARGET: COUNT}), gas=2**43) as simulator:
        with trio.move_on_after(0.05) as scope:
            await simulator.simulate(WANTS_ALL())
        assert scope.cancelled_caught
        await still_works(simulator)


async def test_nothing_of_the_watchers_environment_reaches_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TOCSIN_SECRET", "open sesame")
    async with simulating(World({TARGET: COUNT})) as simulator:
        assert simulator._worker is not None
        with open(f"/proc/{simulator._worker.pid}/environ", "rb") as environment:  # noqa: ASYNC230
            assert b"sesame" not in environment.read()


# --- the state server


@asynccontextmanager
async def served(server: StateServer) -> AsyncIterator[httpx.AsyncClient]:
    await server.listen()
    async with trio.open_nursery() as nursery, httpx.AsyncClient(trust_env=False) as client:
        nursery.start_soon(server.serve)
        yield client
        nursery.cancel_scope.cancel()


def question(method: str = "eth_getStorageAt") -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": [TARGET, "0x7"]}


async def test_the_state_is_told_under_its_own_path_alone() -> None:
    server = StateServer(misses=10)
    async with served(server) as client:
        old = server.open(World(words={(TARGET, 7): 1}))
        assert (await client.post(old, json=question())).json()["result"] == f"0x{1:064x}"
        new = server.open(World(words={(TARGET, 7): 2}))

        for path in (old, f"http://127.0.0.1:{server.port}/"):
            assert "not open" in (await client.post(path, json=question())).json()["error"]["message"]
        assert (await client.post(new, json=question())).json()["result"] == f"0x{2:064x}"


def posted(body: bytes) -> bytes:
    return b"POST / HTTP/1.1\r\ncontent-length: " + str(len(body)).encode() + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"x" * 10_000,
        b"POST / HTTP/1.1\r\ncontent-length: 99999999\r\n\r\n",
        b"\r\n\r\n",
        posted(b"[" * 60_000),
        posted(b'{"x":' + b"[" * 60_000),
        posted(b"\xff"),
    ],
)
async def test_what_no_worker_of_ours_would_send_ends_the_conversation(raw: bytes) -> None:
    server = StateServer(misses=10)
    async with served(server):
        stream = await trio.open_tcp_stream("127.0.0.1", server.port)
        await stream.send_all(raw)
        assert await stream.receive_some() == b""


async def test_a_question_without_its_parameters_ends_the_conversation() -> None:
    server = StateServer(misses=10)
    async with served(server) as client:
        url = server.open(World())
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post(url, json=question() | {"params": []})
        assert "result" in (await client.post(url, json=question())).json()


def test_lines_carry_numbers_of_256_bits() -> None:
    task = RunTask(sender=USER, to=None, data="", value_wei=2**256 - 1, gas=1, watched=[], tokens=[])
    assert read_line(write_line(task), Task) == task


@pytest.mark.parametrize(
    "line", [b"", b"{}", b"[" * 100_000, b'{"x":' * 50_000, b'{"type":"outcome"}', b"\xff"]
)
def test_a_line_that_is_no_answer_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the words are the library's
        read_line(line, Answer)


# --- two simulators


class Scripted:
    """Answers as the test says."""

    def __init__(self, answer: Simulation | Exception) -> None:
        self.answer, self.asked = answer, 0

    async def simulate(self, transaction: PendingTransaction) -> Simulation:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def test_the_second_simulator_is_asked_where_the_first_has_no_answer() -> None:
    async with simulating(World({TARGET: COUNT})) as simulator:
        answer = await simulator.simulate(pending())
    second = Scripted(answer)
    silent = FallbackSimulator(Scripted(Unavailable("no trace interface")), second)

    assert await silent.simulate(pending()) is answer
    assert silent.fallen_back == 1
    refusing = FallbackSimulator(Scripted(Refused(Reason.PENDING_INVALID, "no")), second)
    with pytest.raises(Refused):
        await refusing.simulate(pending())
    talking = FallbackSimulator(Scripted(answer), second)
    assert await talking.simulate(pending()) is answer
    assert second.asked == 1
