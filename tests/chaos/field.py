"""The field: a running network whose processes, links, endpoints, disks and chain can fail, and be mended."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import trio

from consensus.fields import keccak256
from node.chain.types import Endpoint
from node.devnet.anvil import Anvil
from node.devnet.network import Ground, LocalNetwork, local_network
from node.devnet.operators import Home
from node.keys import JOURNAL_FILE
from tests.bench.tripwire import PAUSE, Tripwire, deploy_tripwire
from tests.chain.doubles import EndpointDouble, give_endpoints, honest, start_doubles
from tests.chaos.links import Link, open_links
from tests.chaos.plan import RPC, Fault, FaultKind, Plan
from tests.chaos.record import Record
from tests.chaos.verdicts import Act, JournalRow

ENDPOINTS = 3  # of whom two must agree; the first can be made to fail
SMALL_DISK_BYTES = 2**20
RESPONDED = "0x" + keccak256(b"Responded(bytes32,bytes32,uint40,uint32,uint128)").hex()
LOOK_SECONDS = 0.05


class Skipped(Exception):  # noqa: N818 - what befell the fault
    """This machine does not let the fault be made; why."""


@dataclass(slots=True, kw_only=True)
class Field:
    """The network and every handle on it."""

    plan: Plan
    network: LocalNetwork[Tripwire]
    links: dict[tuple[str, str], Link]
    endpoints: dict[str, EndpointDouble]
    disks: dict[str, Path]
    record: Record
    acts: dict[tuple[str, int], Act] = field(default_factory=dict)

    # --- faults

    async def inflict(self, fault: Fault) -> None:
        """Make it so. Raises `Skipped` where this machine does not allow it."""
        match fault.kind:
            case FaultKind.KILL:
                for name in fault.victims:
                    await self.network.watchers[name].kill()
            case FaultKind.FREEZE:
                for name in fault.victims:
                    self.network.watchers[name].signal(signal.SIGSTOP)
            case FaultKind.DISCONNECT:
                for link in self._links_of(fault.victims):
                    link.cut()
            case FaultKind.PARTITION:
                for link in self._links_across(set(fault.victims)):
                    link.silence()
            case FaultKind.LOSSY:
                for link in self._links_of(fault.victims):
                    link.latency_seconds, link.loss_percent = fault.amount / 1_000, 10
            case FaultKind.REORG:
                await self._reorganise(fault.amount)
            case FaultKind.CLOCK:
                for name in fault.victims:
                    await self._restart(name, under=("tests.chaos.skewed", str(fault.amount)))
            case FaultKind.DISK_FULL:
                for name in fault.victims:
                    self._fill_disk(name)
            case _:
                for name in fault.victims:
                    _spoil(self.endpoints[name], fault)

    async def mend(self, fault: Fault) -> None:
        """Take it back, and start again what has ended, as a supervisor does."""
        for link in self.links.values():
            link.open()
            link.latency_seconds, link.loss_percent = 0.0, 0
        for name in fault.victims:
            self.network.watchers[name].signal(signal.SIGCONT)
            if name in self.endpoints:
                _repair(self.endpoints[name])
            if name in self.disks:
                (self.disks[name] / "filler").unlink(missing_ok=True)
        if fault.kind is FaultKind.CLOCK:
            for name in fault.victims:
                await self._restart(name)
        for name in self.plan.honest:
            if not self.network.watchers[name].is_running:
                await self._restart(name)

    async def _restart(self, name: str, *, under: tuple[str, ...] = ()) -> None:
        watcher = self.network.watchers[name]
        await watcher.stop()
        self.record.ready.discard(name)
        await watcher.start(under=under)

    def _links_of(self, names: Sequence[str]) -> list[Link]:
        return [link for ends, link in self.links.items() if set(ends) & set(names)]

    def _links_across(self, side: set[str]) -> list[Link]:
        return [link for (one, other), link in self.links.items() if (one in side) != (other in side)]

    async def _reorganise(self, depth: int) -> None:
        """Replace the newest blocks of the home chain by others without their transactions."""
        await self.remember_acts()
        await self.network.ground.home.pool.call("anvil_reorg", (depth, []))

    def _fill_disk(self, name: str) -> None:
        disk = self.disks.get(name)
        if disk is None:
            raise Skipped("a small file system cannot be mounted here: that takes the rights of root")
        self.network.watchers[name].allow_end()
        with (disk / "filler").open("wb", buffering=0) as filler:
            try:
                while filler.write(b"\0" * 4_096):
                    pass
            except OSError:
                return

    # --- what is looked at

    async def listen(self) -> None:
        """Take in everything that is said, for as long as the network runs."""
        async for said in self.network.said:
            self.record.hear(said)

    async def trip(self) -> None:
        """Show every watcher something to ring for; returns when it is in a block."""
        await self._mined(await self.network.protocols.trip())

    async def is_paused(self) -> bool:
        """What the target itself says."""
        return bool(
            await self.network.ground.home.read("PausableTarget", self.network.protocols.target, "paused")
        )

    async def wait_paused(self, seconds: float) -> bool:
        """Whether it was paused in time."""
        with trio.move_on_after(seconds):
            while not await self.is_paused():
                await trio.sleep(LOOK_SECONDS)
            return True
        return False

    async def rearm(self) -> None:
        """The owner lifts the pause, so that the wire can be tripped again.

        And again, where an attack from before is answered only now: then the guardian pauses once more.
        """
        home, protocols = self.network.ground.home, self.network.protocols
        while True:
            if await self.is_paused():
                await self._mined(await protocols.lift())
            until, _, observed_after, *_ = await home.read("IGuardian", protocols.guardian, "state", PAUSE)
            if until == 0 and await home.timestamp() >= observed_after:
                return
            await trio.sleep(LOOK_SECONDS)

    async def remember_acts(self) -> None:
        """Read the guardian's events now: a reorg may take them from the chain, not from the record."""
        home = self.network.ground.home
        logs = await home.pool.call(
            "eth_getLogs",
            ({"address": self.network.protocols.guardian, "fromBlock": "0x0", "topics": [RESPONDED]},),
        )
        assert isinstance(logs, list)
        for log in logs:
            act = _parse_act(log)
            self.acts[act.digest, act.block_number] = act

    def resident_bytes(self) -> dict[str, int]:
        """The memory of each honest watcher that runs."""
        return {
            name: watcher.resident_bytes()
            for name, watcher in self.network.watchers.items()
            if name in self.plan.honest and watcher.is_running
        }

    def journals(self) -> dict[str, list[JournalRow]]:
        """The journals of the honest watchers that do not run."""
        return {
            home.name: read_journal(home)
            for home in self.network.homes
            if home.name in self.plan.honest and not self.network.watchers[home.name].is_running
        }

    async def _mined(self, transaction: str) -> None:
        while await self.network.ground.home.receipt(transaction) is None:
            await trio.sleep(LOOK_SECONDS)


@asynccontextmanager
async def open_field(plan: Plan, faults: Sequence[Fault], directory: Path) -> AsyncIterator[Field]:
    """Bring the network of a plan up, with what its faults need in place."""
    endpoints: dict[str, EndpointDouble] = {}
    disks: dict[str, Path] = {}
    links: dict[tuple[str, str], Link] = {}
    async with httpx.AsyncClient(timeout=None, trust_env=False) as http, trio.open_nursery() as outer:

        async def arrange(homes: tuple[Home, ...], chains: tuple[tuple[str, Anvil], ...]) -> None:
            wanted = {(a.name, b.name): b.port for a in homes for b in homes if a.name != b.name}
            links.update(await open_links(outer, wanted, plan.seed))
            for home in homes:
                _dial_through(home, homes, links)
            named = {home.name: home for home in homes}
            for name in _victims_of(faults, RPC):
                alpha = dict(chains)["alpha"]
                (failing,) = await start_doubles(outer, http, alpha, "failing")
                direct = [Endpoint(name=f"direct-{n}", http=alpha.http) for n in range(1, ENDPOINTS)]
                give_endpoints(named[name], [failing.endpoint, *direct])
                endpoints[name] = failing
            for name in _victims_of(faults, {FaultKind.DISK_FULL}):
                if _mount_small_disk(named[name].folder / "data"):
                    disks[name] = named[name].folder / "data"

        async def deploy(ground: Ground) -> tuple[Tripwire, Path]:
            return await deploy_tripwire(ground)

        try:
            async with (
                local_network(
                    directory=directory, conduct=plan.conduct, deploy=deploy, arrange=arrange
                ) as network,
                trio.open_nursery() as nursery,
            ):
                made = Field(
                    plan=plan,
                    network=network,
                    links=links,
                    endpoints=endpoints,
                    disks=disks,
                    record=Record(
                        by_operator={str(home.address): home.name for home in network.homes},
                        by_peer={str(home.peer_id): home.name for home in network.homes},
                        ready=set(network.watchers),
                    ),
                )
                nursery.start_soon(made.listen)
                yield made
                nursery.cancel_scope.cancel()
        finally:
            for disk in disks.values():
                _unmount(disk)
        outer.cancel_scope.cancel()


def read_journal(home: Home) -> list[JournalRow]:
    """Every row of a journal that nobody has open."""
    path = home.folder / "data" / JOURNAL_FILE
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return [
            JournalRow(slot_id=f"0x{slot.hex()}", digest=f"0x{digest.hex()}")
            for slot, digest in connection.execute("SELECT slot_id, digest FROM signed")
        ]


def _victims_of(faults: Sequence[Fault], kinds: Any) -> list[str]:
    return sorted({name for fault in faults if fault.kind in kinds for name in fault.victims})


def _dial_through(home: Home, homes: Sequence[Home], links: dict[tuple[str, str], Link]) -> None:
    """Write the links' addresses where the others' own stand."""
    config = home.config.read_text()
    for other in homes:
        if other.name != home.name:
            through = replace(other, port=links[home.name, other.name].port)
            assert other.multiaddr in config, f"{home.name} does not know {other.name}"
            config = config.replace(other.multiaddr, through.multiaddr)
    home.config.write_text(config)


def _mount_small_disk(folder: Path) -> bool:
    """Put a folder on a file system of its own that is soon full. False where that is not allowed."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_BYTES},mode=700", "tmpfs", str(folder)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode != 0:
        return False
    for name, content in kept.items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)
    return True


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", str(folder)], check=False, capture_output=True)


def _spoil(endpoint: EndpointDouble, fault: Fault) -> None:
    """Make an endpoint fail in the fault's way."""
    match fault.kind:
        case FaultKind.RPC_SLOW:
            endpoint.delay_seconds = fault.amount / 1_000
        case FaultKind.RPC_ERRORS:
            endpoint.status = 500
        case FaultKind.RPC_LIMITED:
            endpoint.status, endpoint.headers = 429, {"retry-after": "1"}
        case FaultKind.RPC_TRUNCATED:
            endpoint.body = b'{"jsonrpc":"2.0","id":1,"res'
        case FaultKind.RPC_LIES:
            endpoint.lie = _lie
        case _:
            raise AssertionError(fault)


def _repair(endpoint: EndpointDouble) -> None:
    endpoint.delay_seconds = 0.0
    endpoint.status, endpoint.headers, endpoint.body = None, {}, None
    endpoint.lie = honest


def _lie(method: str, _params: list[Any], response: dict[str, Any]) -> dict[str, Any]:
    """Blocks that never were, and calls whose answer is somebody's wish."""
    block = response.get("result")
    if method == "eth_call":
        return {**response, "result": "0x" + (7).to_bytes(32, "big").hex()}
    if method.startswith("eth_getBlock") and isinstance(block, dict):
        return {**response, "result": {**block, "hash": "0x" + "07" * 32}}
    return response


def _parse_act(log: Any) -> Act:
    data = bytes.fromhex(log["data"][2:])
    return Act(
        digest=log["topics"][1],
        signed_weight=int.from_bytes(data[64:96], "big"),
        block_number=int(log["blockNumber"], 16),
    )
