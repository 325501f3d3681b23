"""docs/contracts.md holds: its commands connect a protocol, and its tables name what is there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from consensus.types import Address
from node.devnet.anvil import Anvil, running_anvil
from node.devnet.deployer import Deployer, open_deployer
from node.devnet.guarding import deploy_trust
from node.devnet.staking import deploy_staking
from tests.bench.gas import make_secrets
from tests.consensus.factories import NETWORK_ID, make_address, make_operator_set
from tests.contracts.foreign_project import CONTRACTS, ENVIRONMENT, INSTALLED, REPOSITORY, forge
from tests.contracts.test_registry import TERMS, register

GUIDE = (REPOSITORY / "docs" / "contracts.md").read_text()
SHELL = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
POLICY = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
SETTINGS = re.compile(r"^```ini\n(.*?)^```", re.MULTILINE | re.DOTALL)
NAMES = re.compile(r"`(\w+)`")
DAY = 86_400
TABLES = {"## Events": "event", "## Errors": "error"}


async def make_network(chain: Deployer) -> Address:
    """A registry with three operators and one captured epoch."""
    token = await chain.deploy("DemoToken", "Bond", "BOND")
    staking = await deploy_staking(chain, token, TERMS)
    for secret, account in zip(make_secrets(3), chain.accounts[1:4], strict=True):
        await register(chain, token, staking, secret=secret, account=account)
    await chain.send("OperatorRegistry", staking.registry, "capture")
    return staking.registry


async def deploy_vault(project: Path, anvil: Anvil, chain: Deployer, governance: Address) -> Address:
    """The protocol of the guide, there before anybody thinks of watchers."""
    token = await chain.deploy("DemoToken", "Token", "TOK")
    command = ["create", f"{INSTALLED}/examples/vault/TokenVault.sol:TokenVault", "--broadcast"]
    wallet = ["--rpc-url", anvil.http, "--unlocked", "--from", chain.governance]
    arguments = ["--constructor-args", token, governance]
    created = await trio.to_thread.run_sync(lambda: forge(*command, *wallet, *arguments, cwd=project))
    found = re.search(r"Deployed to: (0x[0-9a-fA-F]{40})", created.stdout)
    assert found is not None, created.stdout + created.stderr
    return Address(found.group(1))


async def deploy_factory(chain: Deployer) -> Address:
    """Over a verifier whose set is in time now."""
    now = await chain.timestamp()
    operator_set = make_operator_set(capture_time=now - DAY, valid_until=now + 10 * DAY)
    return (await deploy_trust(chain, NETWORK_ID, operator_set.header())).factory


async def run_guide(
    blocks: list[str], *, project: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """All blocks in one shell that stops at the first command that fails."""
    path = f"{Path(sys.executable).parent}:{ENVIRONMENT['PATH']}"
    return await trio.run_process(
        ["bash", "-euo", "pipefail", "-c", "\n".join(blocks)],
        cwd=project,
        env=ENVIRONMENT | variables | {"PATH": path},
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )


async def test_commands_of_the_guide_connect_a_vault_and_disconnect_it(project: Path) -> None:
    blocks = SHELL.findall(GUIDE)
    assert len(blocks) == 6, "the guide has other steps now: look at what this test relies on"
    (policy,) = POLICY.findall((REPOSITORY / "docs" / "protocols.md").read_text())
    (project / "policy.yaml").write_text(policy)
    async with running_anvil() as anvil, open_deployer(anvil) as chain:
        variables = {
            "REGISTRY": await make_network(chain),
            "VAULT": await deploy_vault(project, anvil, chain, chain.governance),
            "GOVERNANCE": chain.governance,
            "HOME_RPC_URL": anvil.http,
            "ETH_RPC_URL": anvil.http,
            "FROM": f"--unlocked --from {chain.governance}",
            "BROADCAST": f"--broadcast --slow --unlocked --sender {chain.governance}",
        }

        connected = await run_guide([*blocks[:5], "echo $FACTORY $GUARDIAN"], project=project, **variables)

        assert connected.returncode == 0, connected.stderr.decode()
        *_, is_ready, reason, addresses = connected.stdout.decode().splitlines()
        assert (is_ready, int(reason, 16)) == ("true", 0)
        factory, guardian = addresses.split()
        approved = await chain.read("IGuardian", Address(guardian), "policyHash")
        assert approved != bytes(32)

        sent = await chain.pool.call("eth_getTransactionCount", (chain.governance, "latest"))
        again = await run_guide(
            [f"TOCSIN={INSTALLED} FACTORY={factory}", blocks[2]], project=project, **variables
        )
        assert again.returncode == 0, again.stderr.decode()
        assert await chain.pool.call("eth_getTransactionCount", (chain.governance, "latest")) == sent

        left = await run_guide([f"GUARDIAN={guardian}", blocks[5]], project=project, **variables)

        assert left.returncode == 0, left.stderr.decode()
        assert await chain.read("IGuardian", Address(guardian), "policyHash") == bytes(32)


async def test_multisig_finds_its_calls_in_a_file(project: Path) -> None:
    safe = make_address("a multisig")
    script, arguments = f"{INSTALLED}/examples/vault/GuardVault.s.sol", "(address,address,address)"
    async with running_anvil() as anvil, open_deployer(anvil) as chain:
        vault = await deploy_vault(project, anvil, chain, safe)
        factory = await deploy_factory(chain)

        async def run(step: str, *options: str) -> subprocess.CompletedProcess[str]:
            command = ["script", script, "--rpc-url", anvil.http, "--sig", step + arguments]
            return await trio.to_thread.run_sync(
                lambda: forge(*command, factory, vault, safe, *options, cwd=project)
            )

        prepared = await run("prepare", "--broadcast", "--unlocked", "--sender", chain.governance)
        assert prepared.returncode == 0, prepared.stderr

        connected = await run("connect", "--sender", safe)

        assert connected.returncode == 0, connected.stderr
        guardian = await chain.read("GuardianFactory", factory, "predict", safe, bytes(32), bytes(32))
        written = project / "broadcast" / "GuardVault.s.sol" / str(anvil.chain_id) / "dry-run"
        calls = [
            (each["function"].split("(")[0], each["transaction"]["to"], each["transaction"]["from"])
            for each in json.loads((written / "connect-latest.json").read_text())["transactions"]
        ]
        assert calls == [
            ("setAction", guardian.lower(), safe.lower()),
            ("grantRole", vault.lower(), safe.lower()),
        ]


def test_settings_of_the_guide_are_those_of_the_project_that_is_tested(project: Path) -> None:
    (settings,) = SETTINGS.findall(GUIDE)
    used = (project / "foundry.toml").read_text().splitlines()

    assert set(settings.splitlines()) <= set(used)


def declared(kind: str, *contracts: str) -> set[str]:
    """Names of the events or errors of these contracts, from the package's artifacts."""
    return {
        entry["name"]
        for name in contracts
        for entry in json.loads((CONTRACTS / "artifacts" / f"{name}.json").read_text())["abi"]
        if entry["type"] == kind
    }


@pytest.mark.usefixtures("archive")
@pytest.mark.parametrize(("heading", "kind"), TABLES.items())
def test_tables_of_the_guide_name_nothing_that_is_not_there(heading: str, kind: str) -> None:
    table = GUIDE.split(f"\n{heading}\n")[1].split("\n## ")[0]
    firsts = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    everything = declared(kind, *(path.stem for path in (CONTRACTS / "artifacts").glob("*.json")))

    named = {name for cell in firsts for name in NAMES.findall(cell)}

    assert named
    assert named <= everything


@pytest.mark.usefixtures("archive")
def test_every_event_of_guardian_registry_and_verifier_is_in_the_guide() -> None:
    table = GUIDE.split("\n## Events\n")[1].split("\n## ")[0]

    events = declared("event", "Guardian", "GuardianFactory", "OperatorRegistry", "OperatorSetChain")

    assert events - {name for name in events if name.startswith("Ownership")} <= set(NAMES.findall(table))
