"""Whole networks: real chains, real contracts, every watcher a process.

What they say and what the chains hold.
"""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
import trio

from node.devnet.demo import run_demo
from node.devnet.network import Conduct, LocalNetwork, local_network
from node.devnet.operators import Home
from node.keys import JOURNAL_FILE
from tests.bench.tripwire import PAUSE, Tripwire, deploy_tripwire
from tests.chain.doubles import Lie, doubles, give_endpoints
from tests.e2e.dying_watcher import POINTS
from tests.e2e.ear import PATIENCE_SECONDS, Ear

REPOSITORY = Path(__file__).resolve().parents[2]
NOMAD = REPOSITORY.parent / "shared" / "data" / "incidents" / "nomad"
WATCHERS = 4
STEPS = (
    "first watcher sees it",
    "last honest watcher sees it",
    "first signature",
    "certificate past 1/3 (limit)",
    "certificate past 1/2 (freeze)",
    "certificate past 2/3 (pause)",
)
SECRET = "s3cret-token"  # stands in the doubles' addresses


@asynccontextmanager
async def tripwire_network(directory: Path) -> AsyncIterator[tuple[LocalNetwork[Tripwire], Ear]]:
    """Four honest watchers around a wire that a test can trip."""
    async with local_network(
        directory=directory, conduct=[Conduct.HONEST] * WATCHERS, deploy=deploy_tripwire
    ) as network:
        yield network, Ear(network)


async def trip(network: LocalNetwork[Tripwire], ear: Ear) -> int:
    """Make every rule fire; the block."""
    ear.mark()
    return await ear.mined(network, await network.protocols.trip())


async def is_paused(network: LocalNetwork[Tripwire]) -> bool:
    return bool(await network.ground.home.read("PausableTarget", network.protocols.target, "paused"))


async def lift(network: LocalNetwork[Tripwire], ear: Ear) -> None:
    """The owner ends the pause, so that the wire can be tripped again."""
    assert await is_paused(network)
    await ear.mined(network, await network.protocols.lift())
    await network.protocols.wait_rearmed()


def digests_signed(log: Path) -> list[str]:
    """Every digest that a watcher ever said to have signed, over all its lives."""
    lines = [json.loads(line) for line in log.read_bytes().splitlines() if line.startswith(b"{")]
    return [line["digest"] for line in lines if line["event"] == "attestation.signed"]


def journal_rows(home: Home) -> list[tuple[str, str]]:
    """Slot and digest of every row, of a watcher that does not run."""
    path = home.folder / "data" / JOURNAL_FILE
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return [
            (f"0x{slot.hex()}", f"0x{digest.hex()}")
            for slot, digest in connection.execute("SELECT slot_id, digest FROM signed")
        ]


# --- the demonstration itself


async def test_seven_watchers_two_of_them_faulty_stop_the_drain_and_brake_the_second_chain(
    tmp_path: Path,
) -> None:
    outcome = await run_demo(nodes=7, incident=None, directory=tmp_path / "demo", quiet=True)

    told = outcome.as_dict()
    assert (told["stopped"], told["closed"], told["second_braked"]) == (True, True, True)
    assert told["attack_transactions_failed"] >= 2
    assert set(told) == {
        "stopped",
        "closed",
        "second_braked",
        "attack_transactions",
        "attack_transactions_failed",
        "lost",
        "saved",
        "latencies",
        "resident_bytes_max",
    }
    assert [row["step"] for row in told["latencies"]][: len(STEPS)] == list(STEPS)
    assert {row["step"] for row in told["latencies"][len(STEPS) :]} == {
        "in force: pause the pool",
        "in force: cap the pool's borrowing",
        "in force: limit the vault's withdrawals",
    }
    assert all(isinstance(row["ms"], int) for row in told["latencies"])
    assert outcome.saved.units > outcome.lost.units > 0
    assert 0 < told["resident_bytes_max"] <= 200 * 2**20


@pytest.mark.skipif(
    not NOMAD.is_dir(),
    reason="recorded incidents are not part of this repository: no ../shared/data/incidents/nomad here",
)
async def test_the_recorded_bridge_is_closed_after_the_first_calls_of_its_attackers(tmp_path: Path) -> None:
    outcome = await run_demo(nodes=4, incident=NOMAD, directory=tmp_path / "demo", quiet=True)

    assert (outcome.stopped, outcome.closed, outcome.second_braked) == (True, True, True)
    assert outcome.attempts == 10
    assert outcome.failed >= 6
    assert outcome.saved.units > 0


# --- endpoints that lie to a whole watcher


def about_calls(value: int) -> Lie:
    """Answers each eth_call with this word, whatever the contract says."""

    def lie(method: str, _params: list[Any], response: dict[str, Any]) -> dict[str, Any]:
        word = "0x" + value.to_bytes(32, "big").hex()
        return {**response, "result": word} if method == "eth_call" else response

    return lie


def about_blocks(value: int) -> Lie:
    """Tells of blocks that never were: the number is right, the hash is its own."""

    def lie(method: str, _params: list[Any], response: dict[str, Any]) -> dict[str, Any]:
        block = response.get("result")
        if not method.startswith("eth_getBlock") or not isinstance(block, dict):
            return response
        return {**response, "result": {**block, "hash": "0x" + value.to_bytes(32, "big").hex()}}

    return lie


def honest(_method: str, _params: list[Any], response: dict[str, Any]) -> dict[str, Any]:
    return response


async def test_a_watcher_signs_with_one_lying_endpoint_and_with_two_neither_signs_nor_dies(
    tmp_path: Path,
) -> None:
    async with (
        tripwire_network(tmp_path / "network") as (network, ear),
        doubles(dict(network.chains)["alpha"], "first", "second", "third") as endpoints,
    ):
        home, watcher = network.homes[3], network.watchers["w4"]
        first, second, _ = endpoints
        await watcher.stop()
        give_endpoints(home, [each.endpoint for each in endpoints])
        ear.mark()
        await watcher.start()
        await ear.wait("w4", "watcher.ready")
        await ear.wait("w4", "peers.changed", connected=WATCHERS - 1)

        first.lie = about_calls(7)
        await trip(network, ear)
        signed = await ear.wait("w4", "attestation.signed")
        await ear.wait("w1", "attestation.signed", digest=signed.fields["digest"])
        await ear.wait("w1", "effect.verified")
        await lift(network, ear)

        second.lie = about_calls(8)  # three endpoints, three answers
        block = await trip(network, ear)
        unknown = await ear.wait("w4", "rule.unknown", block_number=block)
        assert unknown.fields["reason"] == "source_unavailable"
        assert all(each.name in unknown.fields["detail"] for each in endpoints), unknown.fields["detail"]
        missed = (await ear.wait("w1", "attestation.signed")).fields["digest"]
        await ear.wait("w1", "effect.verified", digest=missed)  # three of four were enough
        # blocks are evaluated in order: nothing can still be said about the one before
        await ear.wait("w4", "rule.unknown", block_number=block + 2)
        await ear.wait("w4", "epochs.unread")  # the registry is asked in vain too: that ends nobody
        await lift(network, ear)

        first.lie, second.lie = about_blocks(7), about_blocks(8)
        await trip(network, ear)
        await ear.wait("w1", "effect.verified")
        unread = await ear.wait("w4", "head.unavailable")
        assert all(each.name in unread.fields["detail"] for each in endpoints), unread.fields["detail"]
        assert not any(ear.all("w4", "attestation.signed"))
        await lift(network, ear)

        first.lie = second.lie = honest
        await trip(network, ear)
        healed = (await ear.wait("w1", "attestation.signed")).fields["digest"]
        await ear.wait("w4", "head.available")
        await ear.wait("w4", "attestation.signed", digest=healed)

        await watcher.stop()
        ours, theirs = digests_signed(home.log), digests_signed(network.homes[0].log)
        assert {signed.fields["digest"], healed} <= set(ours) <= set(theirs) - {missed}
        assert {digest for _, digest in journal_rows(home)} == set(ours)
        assert SECRET not in home.log.read_text()


# --- a watcher that is killed, and one that was away


async def run_until_killed(home: Home, point: str) -> None:
    """Run the watcher; it must end by SIGKILL at that point, and by nothing else."""
    command = [sys.executable, "-m", "tests.e2e.dying_watcher", point, "run", "--config", str(home.config)]
    with home.log.open("ab") as log:
        ended = await trio.run_process(
            command, check=False, stdout=log, stderr=subprocess.STDOUT, cwd=REPOSITORY
        )
    assert ended.returncode == -signal.SIGKILL, home.log.read_bytes()[-600:].decode(errors="replace")


@pytest.mark.parametrize("point", POINTS)
async def test_a_watcher_killed_before_publishing_signs_the_same_in_its_next_life_and_completes_the_quorum(
    tmp_path: Path, point: str
) -> None:
    async with tripwire_network(tmp_path / "network") as (network, ear):
        home, watcher, late = network.homes[3], network.watchers["w4"], network.watchers["w3"]
        await late.stop()
        await watcher.stop()
        ear.mark()
        with trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(run_until_killed, home, point)
                await ear.wait("w4", "watcher.ready")
                await trip(network, ear)
        digest = (await ear.wait("w1", "attestation.signed")).fields["digest"]
        await ear.wait("w2", "attestation.signed", digest=digest)
        await ear.wait("w4", "rule.fired", digest=digest)
        assert [row[1] for row in journal_rows(home)] == [digest], "the row was not durable at the kill"
        assert digests_signed(home.log) == []
        assert not await is_paused(network), "two of four are no quorum"
        said = await trio.run_process(
            [sys.executable, "-m", "node", "status", "--json", "--config", str(network.homes[0].config)],
            capture_stdout=True,
            check=False,
            cwd=REPOSITORY,
        )
        status = json.loads(said.stdout)
        assert status["epoch"]["online_bps"] == 5_000
        assert [problem["code"] for problem in status["problems"]] == ["TOCSIN-PEERS-02"]
        assert said.returncode == 0, "what two hear is enough for a limit"

        # its next life: members tell it of the open alert, and its own view says the same
        await watcher.start()
        again = await ear.wait("w4", "attestation.signed")
        assert again.fields["digest"] == digest
        effect = await ear.wait("w1", "effect.verified", digest=digest)
        assert effect.fields["action"] == f"0x{PAUSE.hex()}"
        assert await is_paused(network)

        # who was away during all of it signs the same, or nothing
        await late.start()
        await ear.wait_until(
            lambda: any(ear.all("w3", "attestation.signed")) or any(ear.all("w3", "question.denied")),
            "the late watcher to look into it",
        )
        assert {said.fields["digest"] for said in ear.all("w3", "attestation.signed")} <= {digest}

        await watcher.stop()
        await late.stop()
        assert [row[1] for row in journal_rows(home)] == [digest] == digests_signed(home.log)
        assert {row[1] for row in journal_rows(network.homes[2])} <= {digest}
