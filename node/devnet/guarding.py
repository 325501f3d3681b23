"""How a protocol team connects: verifier, guardian, adapters with one right each, actions and their terms."""

from __future__ import annotations

from dataclasses import dataclass

from consensus.alert import Level, compute_action_id
from consensus.types import Address, Bps, PolicyHash
from node.devnet.deployer import Deployer

COMPARE_EQUAL, COMPARE_AT_MOST = 0, 1  # FixedCallAdapter.Compare
THRESHOLDS_BPS = {Level.LIMIT: Bps(3334), Level.FREEZE: Bps(5000), Level.PAUSE: Bps(6667)}
# no owner may reset, epochs as fast as a test likes, an hour of grace
SUCCESSION = ("0x" + "00" * 20, 1, 3_600, 0)
ACTION_GAS = 200_000
BUDGET_WINDOW_SECONDS = 86_400
DEFAULT_DURATION_SECONDS = 3_600
DEFAULT_COOLDOWN_SECONDS = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What one chain needs to check certificates: the verifier, and the factory of guardians behind it."""

    verifier: Address
    factory: Address


async def deploy_trust(
    chain: Deployer, network_id: bytes, operators: bytes, *, verifier: str = "QuorumVerifier"
) -> Trust:
    """The verifier of one operator set, and a guardian factory over it.

    `operators` are the bytes by which that kind of verifier knows a set; for BLS they are its header.
    """
    address = await chain.deploy(verifier, network_id, operators, SUCCESSION)
    implementation = await chain.deploy("Guardian", address)
    return Trust(verifier=address, factory=await chain.deploy("GuardianFactory", implementation))


async def create_guardian(chain: Deployer, trust: Trust, *, salt: int = 0) -> Address:
    """A guardian owned by governance, with no policy approved yet."""
    arguments = (chain.governance, bytes(32), salt.to_bytes(32, "big"))
    await chain.send("GuardianFactory", trust.factory, "create", *arguments)
    return Address(await chain.read("GuardianFactory", trust.factory, "predict", *arguments))


async def allow_action(
    chain: Deployer,
    guardian: Address,
    *,
    name: str,
    adapter: Address,
    level: Level,
    duration_seconds: int = DEFAULT_DURATION_SECONDS,
    cooldown_seconds: int = DEFAULT_COOLDOWN_SECONDS,
) -> None:
    """Name an action in the guardian, at its level's floor."""
    terms = (
        adapter,
        int(level),
        THRESHOLDS_BPS[level],
        ACTION_GAS,
        duration_seconds,
        cooldown_seconds,
        4 * duration_seconds,
        max(BUDGET_WINDOW_SECONDS, 4 * duration_seconds),
    )
    await chain.send("IGuardian", guardian, "setAction", compute_action_id(name), terms)


async def approve_policy(chain: Deployer, guardian: Address, policy_hash: PolicyHash) -> None:
    """The owner's consent: from here on alerts under this policy may act."""
    await chain.send("IGuardian", guardian, "setPolicy", policy_hash)


async def let_call(
    chain: Deployer, manager: Address, target: Address, adapter: Address, *, role: int, selectors: list[bytes]
) -> None:
    """Give the adapter an AccessManager role that opens these functions of the target, and nothing else."""
    await chain.send("AccessManager", manager, "setTargetFunctionRole", target, selectors, role)
    await chain.send("AccessManager", manager, "grantRole", role, adapter, 0)
