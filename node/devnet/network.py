"""The whole local network: two chains, an operator set, guarded protocols, and every watcher a process."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Generic, TypeVar

import trio

from consensus.alert import compute_network_id
from consensus.errors import Unavailable
from consensus.types import Address, Bps, NetworkId, Seconds
from node.config import load_config
from node.devnet.anvil import Anvil, running_anvil
from node.devnet.deployer import Deployer, open_deployer
from node.devnet.guarding import Trust, deploy_trust
from node.devnet.operators import Home, make_homes, write_config
from node.devnet.processes import Said, WatcherProcess
from node.devnet.staking import NetworkTerms, deploy_staking
from node.registration import register_from_config

ETHER = 10**18
BOND = 1_000 * ETHER
TERMS = NetworkTerms(
    min_stake=BOND,
    min_epoch_seconds=Seconds(60),
    header_lifetime_seconds=Seconds(30 * 86_400),
    evidence_window_seconds=Seconds(14 * 86_400),
    unbonding_seconds=Seconds(45 * 86_400),
    max_share_bps=Bps(3_333),  # nobody alone reaches the lowest rung
)
HISTORY_BLOCKS = 64  # so that rules which look back have something to look at
READY_SECONDS_EACH = 20  # of CPU, mostly imports and handshakes, and never fewer than two cores to share it
SAID_BOUND = 4_096

P = TypeVar("P")
Chains = tuple[tuple[str, Anvil], ...]


class Conduct(StrEnum):
    """How an operator behaves."""

    HONEST = "honest"
    SILENT = "silent"
    FLOOD = "flood"
    EQUIVOCATE = "equivocate"
    SPLIT = "split"
    REPLAY = "replay"
    GARBAGE = "garbage"


MAY_BE_BANNED = frozenset({Conduct.FLOOD, Conduct.REPLAY, Conduct.GARBAGE})
"""Whose peers may have cut them off before anybody has counted them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The chains with an operator set on them: what protocols are deployed on."""

    home: Deployer
    away: Deployer
    home_trust: Trust
    away_trust: Trust
    registry: Address
    network_id: NetworkId
    directory: Path


@dataclass(slots=True, kw_only=True)
class LocalNetwork(Generic[P]):
    """A network that runs.

    `said` carries every line of every watcher; `protocols` is what the caller deployed.
    """

    ground: Ground
    protocols: P
    homes: tuple[Home, ...]
    conduct: dict[str, Conduct]
    watchers: dict[str, WatcherProcess]
    said: trio.MemoryReceiveChannel[Said]
    chains: Chains = field(default=())

    @property
    def honest(self) -> tuple[str, ...]:
        """Names of the watchers that behave."""
        return tuple(name for name, conduct in self.conduct.items() if conduct is Conduct.HONEST)


@asynccontextmanager
async def local_network(
    *,
    directory: Path,
    conduct: Sequence[Conduct],
    deploy: Callable[[Ground], Awaitable[tuple[P, Path]]],
    home_chain_id: int = 31337,
    away_chain_id: int = 31338,
    genesis: Path | None = None,
    timestamp: int | None = None,
    step: Callable[[str], None] = lambda _: None,
    arrange: Callable[[tuple[Home, ...], Chains], Awaitable[None]] | None = None,
) -> AsyncIterator[LocalNetwork[P]]:
    """Bring everything up, wait until every watcher is connected to all others, end it all with the block.

    `deploy` puts protocols on the ground and returns them with their policy file. `genesis` and `timestamp`
    are for a recorded state: the second chain lives in the same time. `arrange` has the last word on every
    operator's folder before the watchers start. `directory` is emptied first.
    """
    _empty(directory)
    async with AsyncExitStack() as stack:
        step("starting two chains")
        alpha = await stack.enter_async_context(
            running_anvil(chain_id=home_chain_id, genesis=genesis, arguments=_QUIET)
        )
        beta = await stack.enter_async_context(
            running_anvil(chain_id=away_chain_id, timestamp=timestamp, arguments=_QUIET)
        )
        chains = (("alpha", alpha), ("beta", beta))
        home = await stack.enter_async_context(open_deployer(alpha))
        away = await stack.enter_async_context(open_deployer(beta))

        step(f"registering {len(conduct)} operators with their keys, bonds and proofs of possession")
        homes = await make_homes(directory, len(conduct))
        ground = await _lay_ground(home, away, homes, chains, directory)
        step("deploying protocols, guardians and adapters; approving the policy")
        protocols, policy = await deploy(ground)
        for each in homes:
            write_config(
                each,
                peers=homes,
                chains=chains,
                home_chain=home.chain_id,
                registry=ground.registry,
                policies=[policy],
            )
        if arrange is not None:
            await arrange(homes, chains)
        await _settle_into_one_second_blocks(home, away)

        step(f"starting {len(conduct)} watchers, each a process with its own keys, database and connections")
        nursery = await stack.enter_async_context(trio.open_nursery())
        said_in, said = trio.open_memory_channel[Said](SAID_BOUND)
        watchers = {}
        for each, how in zip(homes, conduct, strict=True):
            watchers[each.name] = await _start(each, how, stack)
            nursery.start_soon(watchers[each.name].follow, said_in.clone())
        network = LocalNetwork(
            ground=ground,
            protocols=protocols,
            homes=homes,
            conduct=dict(zip((each.name for each in homes), conduct, strict=True)),
            watchers=watchers,
            said=said,
            chains=chains,
        )
        await _wait_connected(network)
        step("every watcher is connected to every other")
        yield network
        nursery.cancel_scope.cancel()


def _empty(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)


_QUIET = ("--disable-console-log", "--order", "fees")


async def _lay_ground(
    home: Deployer,
    away: Deployer,
    homes: tuple[Home, ...],
    chains: Sequence[tuple[str, Anvil]],
    directory: Path,
) -> Ground:
    token = await home.deploy("DemoToken", "Stake", "STK")
    registry = (await deploy_staking(home, token, TERMS)).registry
    placeholder = directory / "no-policy-yet.yaml"
    for each in homes:
        for chain in (home, away):
            await chain.fund(each.address, 100 * ETHER)
        await home.send("DemoToken", token, "mint", each.address, BOND)
        write_config(
            each,
            peers=homes,
            chains=chains,
            home_chain=home.chain_id,
            registry=registry,
            policies=[placeholder],
        )
        await register_from_config(load_config(each.config), bond=BOND)
    receipt = await home.send("OperatorRegistry", registry, "capture")
    header = home.decode_log("OperatorRegistry", "EpochCaptured", receipt)["header"]
    network_id = compute_network_id(home.chain_id, registry)
    await _set_one_clock(home, away)
    return Ground(
        home=home,
        away=away,
        home_trust=await deploy_trust(home, network_id, header),
        away_trust=await deploy_trust(away, network_id, header),
        registry=registry,
        network_id=network_id,
        directory=directory,
    )


async def _settle_into_one_second_blocks(*chains: Deployer) -> None:
    """Give both chains some history and the same clock, then let blocks come by the second."""
    for chain in chains:
        await chain.pool.call("anvil_mine", (hex(HISTORY_BLOCKS),))
    await _set_one_clock(*chains)
    for chain in chains:
        await chain.mine_every_second()


async def _set_one_clock(*chains: Deployer) -> None:
    """The same time on all chains from the next block on.

    Two anvils round the second differently: one would call the other's newest block the future.
    """
    later = max([await chain.timestamp() for chain in chains]) + 1
    for chain in chains:
        await chain.pool.call("evm_setTime", (later,))
        await chain.mine()


async def _start(home: Home, conduct: Conduct, stack: AsyncExitStack) -> WatcherProcess:
    honest = conduct is Conduct.HONEST
    process = WatcherProcess(
        name=home.name,
        module="node" if honest else "node.devnet.misbehave",
        arguments=("run", "--config", str(home.config)) if honest else (conduct.value, str(home.config)),
        log=home.log,
    )
    stack.push_async_callback(process.stop)
    await process.start()
    return process


async def _wait_connected(network: LocalNetwork[P]) -> None:
    """Until every honest watcher is ready and connected to all others.

    Raises `Unavailable` after a while.
    """
    ready: set[str] = set()
    connected: dict[str, int] = {}
    others = len(network.watchers) - 1 - sum(how in MAY_BE_BANNED for how in network.conduct.values())
    patience_seconds = READY_SECONDS_EACH * len(network.watchers)
    with trio.move_on_after(patience_seconds):
        async for said in network.said:
            if said.event == "watcher.ready":
                ready.add(said.watcher)
            elif said.event == "peers.changed":
                connected[said.watcher] = int(said.fields["connected"])
            if all(name in ready and connected.get(name, 0) >= others for name in network.honest):
                return
    raise Unavailable(
        f"after {patience_seconds} s these watchers were ready: {sorted(ready)}, with these many peers: "
        f"{connected}; expected all of {network.honest} with {others}. Their logs are in "
        f"{network.ground.directory}"
    )
