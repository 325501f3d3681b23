"""Whether a recorded attack is seen before it is mined, and how long running a pending transaction takes.

    python -m tests.bench.incident [folder]

`folder` holds an `incident.json` and its genesis. Without one it is looked for in `$TOCSIN_INCIDENT`, then
in `data/incidents/nomad` of a `shared` folder beside the checkout. An anvil runs the recorded code and
storage with mining paused. Prints JSON lines: whether the first call of the attack is flagged from the
mempool, before its block; whether one is flagged in its block that no mempool showed; whether a customer's
withdrawal by the same call stays silent; and how long a simulation takes, with the state at hand and with the
words that only this transaction touches fetched from the chain: in the process that runs it, and with the way
there and back.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from consensus.types import BlockNumber, Bps, Seconds
from node.chain.reader import ChainReader
from node.chain.types import BlockRef
from node.detect.evidence import Evidence
from node.detect.pending_drain import PendingDrain
from node.devnet.anvil import Mining, running_anvil
from node.devnet.deployer import Deployer, open_deployer
from node.devnet.incident import DRAIN_THRESHOLD_BPS, read_incident
from node.observe.mempool import MempoolFollower, read_transactions
from node.pending import PendingTransaction
from node.simulate.simulator import NextBlock, ProcessSimulator, open_simulator
from node.simulate.state import AgreedState
from node.trace import Account, Token

REPOSITORY = Path(__file__).resolve().parents[2]
ROUNDS = 200
BLOCK_SECONDS = 12
ATTACK_UNITS, CUSTOMER_UNITS = 10_000_000_000, 10_000_000
"""What a recorded call takes, 100 WBTC, and what a customer would: a tenth of one."""

DETECTOR = PendingDrain(least_bps=Bps(DRAIN_THRESHOLD_BPS), least_units={})


def find_incident() -> Path | None:
    """The folder of the incident; None where this machine has none."""
    named = os.environ.get("TOCSIN_INCIDENT")
    place = Path(named) if named else REPOSITORY.parent / "shared" / "data" / "incidents" / "nomad"
    return place if (place / "incident.json").is_file() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The recorded protocol on a local chain, and a simulator that watches it."""

    chain: Deployer
    simulator: ProcessSimulator
    mempool: MempoolFollower
    calls: tuple[dict[str, Any], ...]

    async def open_head(self, known: AgreedState | None = None) -> tuple[BlockRef, AgreedState]:
        """Run what follows on the head's state, with what was asked of `known` loaded ahead."""
        reader = ChainReader(self.chain.pool)
        head = await reader.latest()
        state = AgreedState(reader, head)
        ahead = ((), ()) if known is None else (known.accounts, known.words)
        await state.prefetch(*ahead)
        following = NextBlock(
            chain_id=head.chain_id,
            number=BlockNumber(head.number + 1),
            timestamp=Seconds(head.timestamp + BLOCK_SECONDS),
        )
        await self.simulator.open_block(following, state, ahead)
        return head, state

    async def submit(self, call: dict[str, Any]) -> str:
        """Into the chain's pool; the transaction's hash."""
        return await self.chain.submit(
            {key: call[key] for key in ("from", "to", "data")} | {"gas": hex(call["gas"])}
        )

    async def flag(self, transactions: Sequence[PendingTransaction]) -> Evidence | None:
        """The first finding among them."""
        for each in transactions:
            found = DETECTOR.judge(await self.simulator.simulate(each))
            if found is not None:
                return found
        return None


async def measure_flags(stage: Stage) -> dict[str, Any]:
    """A public attack, a private one, and a customer."""
    first, second, third = stage.calls[:3]
    await stage.mempool.poll()
    await stage.open_head()

    customer = _withdraws(third, CUSTOMER_UNITS)
    await stage.submit(customer)
    (benign,) = await stage.mempool.poll()
    benign_runs = (await stage.simulator.simulate(benign)).succeeded
    silent = await stage.flag([benign])

    transaction_hash = await stage.submit(first)
    public = await stage.flag(await stage.mempool.poll())
    is_mined = await stage.chain.receipt(transaction_hash) is not None

    await stage.chain.mine()  # what was public goes into its block
    parent, _ = await stage.open_head()
    await stage.submit(second)  # nobody polls: to us it is private
    await stage.chain.mine()
    block = await ChainReader(stage.chain.pool).latest()
    assert block.parent_hash == parent.hash
    private = await stage.flag(await read_transactions(stage.chain.pool, block))
    return {
        "bench": "incident",
        "public_attack": "missed" if public is None else "at" if is_mined else "before",
        "private_attack": "missed" if private is None else "at",
        "benign_succeeds": benign_runs,
        "benign_flagged": silent is not None,
        "score_bps": None if public is None else public.score,
        "evidence": None if public is None else public.summary,
    }


async def measure_times(stage: Stage) -> list[dict[str, Any]]:
    """Each call of the attack is new: it touches words that no transaction touched before."""
    _, state = await stage.open_head()
    template = _pending(stage.calls[3], 0)
    await stage.simulator.simulate(template)
    samples: dict[str, list[tuple[float, float]]] = {"at_hand": [], "fetched": []}
    await stage.open_head(state)
    for place in range(ROUNDS):
        call = _numbered(stage.calls[3], place)
        for state_is in ("fetched", "at_hand"):
            began = time.perf_counter()
            await stage.simulator.simulate(_pending(call, place))
            elapsed = time.perf_counter() - began
            samples[state_is].append((1_000 * stage.simulator.last_seconds, 1_000 * elapsed))
    return [
        {
            "bench": "simulation",
            "state": state_is,
            "in_process_ms": _percentiles([inner for inner, _ in taken]),
            "with_the_way_there_ms": _percentiles([outer for _, outer in taken]),
            "n": len(taken),
        }
        for state_is, taken in samples.items()
    ]


def _percentiles(samples: list[float]) -> dict[str, float]:
    ordered = sorted(samples)
    return {
        "p50": round(ordered[len(ordered) // 2], 3),
        "p99": round(ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))], 3),
    }


def _withdraws(call: dict[str, Any], units: int) -> dict[str, Any]:
    """The same call for another amount."""
    return call | {"data": _replaced(call["data"], f"{ATTACK_UNITS:064x}", f"{units:064x}")}


def _numbered(call: dict[str, Any], number: int) -> dict[str, Any]:
    """The same call for another amount by a unit or two, so that its message is another one."""
    return _withdraws(call, ATTACK_UNITS - 1 - number)


def _replaced(data: str, old: str, new: str) -> str:
    if data.count(old) != 1:
        raise ValueError(f"the recorded call holds its amount {data.count(old)} times, once was expected")
    return data.replace(old, new)


def _pending(call: dict[str, Any], number: int) -> PendingTransaction:
    return PendingTransaction(
        hash=f"0x{number:064x}",
        sender=Account(call["from"]),
        to=Account(call["to"]),
        data=bytes.fromhex(call["data"][2:]),
        value_wei=0,
        gas=call["gas"],
    )


async def run(folder: Path) -> list[dict[str, Any]]:
    """All lines."""
    incident = read_incident(folder)
    file = json.loads((folder / "incident.json").read_text())
    contracts = {name: Account(address) for name, address in file["contracts"].items()}
    async with (
        running_anvil(
            chain_id=incident.chain_id,
            mining=Mining.WHEN_TOLD,
            genesis=incident.genesis,
            timestamp=incident.timestamp,
        ) as anvil,
        open_deployer(anvil) as chain,
        open_simulator(
            watched=[contracts["token_bridge"], contracts["replica"]], tokens=[Token(contracts["wbtc"])]
        ) as simulator,
    ):
        for call in file["attack"]["calls"][:1]:
            await chain.pool.call("anvil_setBalance", (call["from"], hex(10**18)))
            await chain.pool.call("anvil_impersonateAccount", (call["from"],))
        await chain.mine()
        stage = Stage(
            chain=chain,
            simulator=simulator,
            mempool=MempoolFollower(chain.pool),
            calls=tuple(file["attack"]["calls"]),
        )
        return [await measure_flags(stage), *await measure_times(stage)]


def main(folder: Path | None) -> None:
    if folder is None:
        print(
            json.dumps(
                {"bench": "incident", "skipped": "no recorded incident on this machine; set TOCSIN_INCIDENT"}
            )
        )
        return
    for line in trio.run(run, folder):
        print(json.dumps(line))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else find_incident())
