"""An epoch turns: watchers sign the next set in, both chains follow, and the new set's alerts act on both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from node.config import load_config
from node.devnet.deployer import Deployer
from node.devnet.network import BOND, TERMS, Conduct, LocalNetwork, local_network
from node.devnet.operators import make_homes, write_config
from node.devnet.processes import Said
from node.pipeline import REFRESH_BLOCKS
from node.registration import register_from_config
from tests.bench.tripwire import Tripwire, deploy_two_tripwires
from tests.e2e.ear import Ear

WATCHERS = 4
ETHER = 10**18


async def turn_the_epoch(network: LocalNetwork[Tripwire], directory: Path) -> None:
    """A fifth operator joins, who never answers; then anybody captures the next set."""
    ground, home = network.ground, network.ground.home
    (newcomer,) = await make_homes(directory / "newcomer", 1)
    await home.fund(newcomer.address, 100 * ETHER)
    stake = await home.read("OperatorRegistry", ground.registry, "stakeSource")
    token = await home.read("BondedStake", stake, "token")
    await home.send("DemoToken", token, "mint", newcomer.address, BOND)
    write_config(
        newcomer,
        peers=network.homes,
        chains=network.chains,
        home_chain=home.chain_id,
        registry=ground.registry,
        policies=[directory / "none.yaml"],
    )
    await register_from_config(load_config(newcomer.config), bond=BOND)
    for chain in (home, ground.away):
        await chain.pool.call("evm_increaseTime", (TERMS.min_epoch_seconds + 5,))
    await home.send("OperatorRegistry", ground.registry, "capture")
    await home.pool.call("anvil_mine", (hex(REFRESH_BLOCKS),))  # sooner than twenty seconds


async def installed(network: LocalNetwork[Tripwire]) -> tuple[Any, Any]:
    ground = network.ground
    here = await ground.home.read("QuorumVerifier", ground.home_trust.verifier, "currentSet")
    there = await ground.away.read("QuorumVerifier", ground.away_trust.verifier, "currentSet")
    return here[0], there[0]


def carried(ear: Ear, chain: Deployer) -> list[Said]:
    """The transactions that brought this chain's verifier further, as the watchers tell."""
    return [
        said
        for said in ear.heard
        if said.event == "handover.landed" and said.fields["chain_id"] == chain.chain_id
    ]


async def test_an_epoch_turns_both_chains_follow_and_the_new_sets_alert_acts_on_both(tmp_path: Path) -> None:
    async with local_network(
        directory=tmp_path / "network", conduct=[Conduct.HONEST] * WATCHERS, deploy=deploy_two_tripwires
    ) as network:
        ear = Ear(network)
        assert await installed(network) == (1, 1)
        await turn_the_epoch(network, tmp_path)

        for watcher in network.watchers:
            await ear.wait(watcher, "handover.signed", epoch=1)
        ground, protocols = network.ground, network.protocols
        both = (ground.home, ground.away)
        await ear.wait_until(lambda: all(carried(ear, chain) for chain in both), "both chains to follow")
        assert await installed(network) == (2, 2)

        await ear.mined(network, await protocols.trip())
        signed = await ear.wait("w1", "attestation.signed", epoch=2)
        for chain in both:
            digest = signed.fields["digest"]
            await ear.wait("w1", "effect.verified", digest=digest, chain_id=chain.chain_id)
        assert protocols.away is not None
        assert await ground.home.read("PausableTarget", protocols.target, "paused")
        assert await ground.away.read("PausableTarget", protocols.away.target, "paused")
        assert [len(carried(ear, chain)) for chain in both] == [1, 1], "one transaction a chain"
