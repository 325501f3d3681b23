"""How a network of operators begins: a stake source and the registry that it serves, made for each other."""

from __future__ import annotations

from dataclasses import dataclass

from consensus.types import Address, Bps, Seconds
from node.devnet.deployer import Deployer

NO_CAP, ALL, A_TENTH = Bps(10_000), Bps(10_000), Bps(1_000)
NOBODY = Address("0x000000000000000000000000000000000000dEaD")  # where slashed stake is burnt


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkTerms:
    """What is fixed when a registry is deployed: NetworkTerms of OperatorRegistry.sol, and the stake's delay.

    Stakes are in the smallest units of the token.
    """

    min_stake: int
    min_epoch_seconds: Seconds
    header_lifetime_seconds: Seconds
    evidence_window_seconds: Seconds
    unbonding_seconds: Seconds
    max_share_bps: Bps = NO_CAP
    slash_bps: Bps = ALL
    reward_bps: Bps = A_TENTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Staking:
    """Where operators register, and where they bond."""

    registry: Address
    stake_source: Address


async def deploy_staking(chain: Deployer, token: Address, terms: NetworkTerms) -> Staking:
    """A bond in `token` and a registry over it.

    The source comes first, for the address that the next deployment gets; the registry refuses any other.
    """
    registry = await chain.next_address(ahead=1)
    stake_source = await chain.deploy("BondedStake", token, registry, terms.unbonding_seconds, NOBODY)
    await chain.deploy(
        "OperatorRegistry",
        stake_source,
        (
            terms.min_stake,
            terms.min_stake,  # of a whole set: one operator is enough for a local network
            terms.max_share_bps,
            terms.slash_bps,
            terms.reward_bps,
            terms.min_epoch_seconds,
            terms.header_lifetime_seconds,
            terms.evidence_window_seconds,
        ),
    )
    return Staking(registry=registry, stake_source=stake_source)
