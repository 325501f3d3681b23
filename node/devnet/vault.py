"""The second protocol, on the second chain: its own governance and guardian, the same watchers."""

from __future__ import annotations

from dataclasses import dataclass

from consensus.alert import Level
from consensus.fields import keccak256
from consensus.types import Address
from node.devnet.deployer import Deployer
from node.devnet.guarding import COMPARE_AT_MOST, Trust, allow_action, create_guardian, let_call

ONE = 10**18
VAULT_ASSETS = 500_000 * ONE
WITHDRAW_BRAKE = 10_000 * ONE  # per hour, all holders together
ROLE_BRAKE = 2
ACTION = "withdraw-limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardedVault:
    """Where it is, and who guards it."""

    chain: Deployer
    vault: Address
    guardian: Address

    async def is_braked(self) -> bool:
        """Whether withdrawals are limited now."""
        return int(await self.chain.read("Vault", self.vault, "withdrawLimit")) <= WITHDRAW_BRAKE


def selector(signature: str) -> bytes:
    """First four bytes of a call."""
    return keccak256(signature.encode())[:4]


async def deploy_vault(chain: Deployer, trust: Trust) -> GuardedVault:
    """A vault with deposits in it, and a guardian that may limit withdrawals."""
    asset = await chain.deploy("DemoToken", "Demo Dollar", "DUSD")
    manager = await chain.deploy("AccessManager", chain.governance)
    vault = await chain.deploy("Vault", manager, asset, "Demo Vault", "vDUSD")
    guardian = await create_guardian(chain, trust)
    set_limit = selector("setWithdrawLimit(uint256)")
    brake = await chain.deploy(
        "AccessManagedAdapter",
        guardian,
        vault,
        set_limit + WITHDRAW_BRAKE.to_bytes(32, "big"),
        set_limit,  # the adapter puts back what it found
        selector("withdrawLimit()"),
        COMPARE_AT_MOST,
        WITHDRAW_BRAKE.to_bytes(32, "big"),
    )
    await let_call(chain, manager, vault, brake, role=ROLE_BRAKE, selectors=[set_limit])
    await allow_action(chain, guardian, name=ACTION, adapter=brake, level=Level.LIMIT)
    await chain.send("DemoToken", asset, "mint", chain.governance, VAULT_ASSETS)
    await chain.send("DemoToken", asset, "approve", vault, VAULT_ASSETS)
    await chain.send("Vault", vault, "deposit", VAULT_ASSETS, chain.governance)
    return GuardedVault(chain=chain, vault=vault, guardian=guardian)
