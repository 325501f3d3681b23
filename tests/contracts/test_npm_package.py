"""The npm package as a stranger meets it: from the packed archive, in a Foundry project of its own, offline.

The project is `consumer/`. npm installs the archive into it, and the peers from this checkout; forge and the
compiler are this checkout's. The package's scripts then deploy to anvil, twice, and to a second chain.
"""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
import tomllib
from pathlib import Path

import trio

from consensus.operators import OperatorSet
from consensus.types import Address
from node.devnet.anvil import Anvil, running_anvil
from node.devnet.deployer import Deployer, open_deployer
from tests.consensus.factories import NETWORK_ID, make_operator_set
from tests.contracts.foreign_project import CONTRACTS, INSTALLED, REPOSITORY, forge

DAY = 86_400

IMPORT = re.compile(r'^import .*?"([^"]+)";', re.MULTILINE | re.DOTALL)
TERMS = f"(0x{0x0E4E:040x},3600,1800,{3 * DAY})"  # owner of a reset, minEpochInterval, grace, resetDelay


def manifest() -> dict[str, object]:
    """contracts/package.json."""
    return dict(json.loads((CONTRACTS / "package.json").read_text()))


# ---- what is in it


def test_archive_holds_sources_artifacts_scripts_and_pages_and_nothing_else(archive: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "src", "script", "examples"],
        cwd=CONTRACTS,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    artifacts = {f"artifacts/{Path(each).stem}.json" for each in tracked if each.startswith("src/")}
    pages = {"package.json", "README.md", "LICENSE", "INVARIANTS.md", "SECURITY.md"}

    with tarfile.open(archive) as packed:
        names = {name.removeprefix("package/") for name in packed.getnames()}

    assert names - artifacts == pages | set(tracked)
    # a library of internal functions without an error of its own has nothing to encode or decode
    assert all(not abi_of(Path(missing).stem) for missing in artifacts - names)


def abi_of(name: str) -> list[object]:
    """What the release build says of the contract in the file of its name, nothing of a file without one."""
    path = CONTRACTS / "out-release" / f"{name}.sol" / f"{name}.json"
    return list(json.loads(path.read_text())["abi"]) if path.exists() else []


def test_package_and_node_have_one_version() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]

    assert manifest()["version"] == project["version"]
    assert manifest()["name"] == "@tocsin/contracts"
    assert "private" not in manifest(), "npm would refuse to publish it"


def test_licence_of_the_package_is_that_of_the_repository() -> None:
    assert (CONTRACTS / "LICENSE").read_bytes() == (REPOSITORY / "LICENSE").read_bytes()


def test_lock_file_names_no_place_to_fetch_from() -> None:
    lock = (CONTRACTS / "package-lock.json").read_text()

    assert '"resolved"' not in lock
    assert "omit-lockfile-registry-resolved=true" in (CONTRACTS / ".npmrc").read_text().splitlines()


def test_protocols_of_the_examples_know_nothing_of_ours() -> None:
    protocols = [
        source for source in (CONTRACTS / "examples").glob("*/*.sol") if not source.name.endswith(".s.sol")
    ]
    assert len(protocols) == 3

    for source in protocols:
        imports = IMPORT.findall(source.read_text())

        assert imports, source.name
        assert all(each.startswith("@openzeppelin/contracts/") for each in imports), source.name


# ---- in a project of its own


def test_consumer_writes_an_adapter_of_its_own_and_tests_it(project: Path) -> None:
    done = forge("test", cwd=project)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "[PASS] test_GuardianTakesTheAdapterAndAnswersForIt()" in done.stdout


def test_javascript_finds_the_artifacts_and_no_private_file(project: Path) -> None:
    program = (
        "const g = require('@tocsin/contracts/artifacts/Guardian.json');"
        "if (!g.abi.some(e => e.name === 'respond') || g.bytecode.length < 1000) process.exit(2);"
        "try { require('@tocsin/contracts/README.md'); process.exit(3) }"
        "catch (e) { process.exit(e.code === 'ERR_PACKAGE_PATH_NOT_EXPORTED' ? 0 : 4) }"
    )

    assert subprocess.run(["node", "-e", program], cwd=project).returncode == 0


async def run_script(
    project: Path, chain: Anvil, script: str, signature: str, *arguments: str, sender: Address
) -> subprocess.CompletedProcess[str]:
    """Broadcast one of the package's scripts from an unlocked account of the chain."""
    command = ["script", f"{INSTALLED}/{script}", "--sig", signature, *arguments]
    wallet = ["--rpc-url", chain.http, "--broadcast", "--slow", "--unlocked", "--sender", str(sender)]
    return await trio.to_thread.run_sync(lambda: forge(*command, *wallet, cwd=project))


async def deploy_shared(
    project: Path, chain: Anvil, operator_set: OperatorSet, *, sender: Address, registry_hash: bytes
) -> subprocess.CompletedProcess[str]:
    return await run_script(
        project,
        chain,
        "script/Deploy.s.sol",
        "run(string,bytes32,bytes,bytes32,(address,uint64,uint64,uint64))",
        "QuorumVerifier",
        f"0x{NETWORK_ID.hex()}",
        f"0x{operator_set.header().hex()}",
        f"0x{registry_hash.hex()}",
        TERMS,
        sender=sender,
    )


def addresses_in(output: str) -> dict[str, str]:
    """What the script logged: name → address."""
    return dict(re.findall(r"^  (\w+) +(0x[0-9a-fA-F]{40})$", output, re.MULTILINE))


async def transactions_of(chain: Deployer, account: Address) -> int:
    return int(str(await chain.pool.call("eth_getTransactionCount", (account, "latest"))), 16)


async def make_current_set(chain: Deployer) -> OperatorSet:
    """A set that is in time for ten days on any chain started about now."""
    now = await chain.timestamp()
    return make_operator_set(capture_time=now - DAY, valid_until=now + 10 * DAY)


async def test_deployment_is_the_same_on_every_chain_and_nothing_the_second_time(project: Path) -> None:
    async with running_anvil(chain_id=31337) as one, open_deployer(one) as chain:
        operator_set = await make_current_set(chain)
        registry_hash = operator_set.header_hash()
        first = await deploy_shared(
            project, one, operator_set, sender=chain.accounts[0], registry_hash=registry_hash
        )
        assert first.returncode == 0, first.stderr
        deployed = addresses_in(first.stdout)
        assert set(deployed) == {"verifier", "implementation", "factory"}
        assert await transactions_of(chain, chain.accounts[0]) == 3

        again = await deploy_shared(
            project, one, operator_set, sender=chain.accounts[0], registry_hash=registry_hash
        )

        assert addresses_in(again.stdout) == deployed
        assert await transactions_of(chain, chain.accounts[0]) == 3
        assert await chain.read("QuorumVerifier", Address(deployed["verifier"]), "networkId") == NETWORK_ID
        guardian = Address(deployed["implementation"])
        assert await chain.read("IGuardian", guardian, "verifier") == deployed["verifier"]
        factory = Address(deployed["factory"])
        assert await chain.read("GuardianFactory", factory, "implementation") == deployed["implementation"]

    async with running_anvil(chain_id=31338) as two, open_deployer(two) as chain:
        elsewhere = await deploy_shared(
            project, two, operator_set, sender=chain.accounts[5], registry_hash=registry_hash
        )

        assert addresses_in(elsewhere.stdout) == deployed
        assert await transactions_of(chain, chain.accounts[5]) == 3


async def test_header_that_is_not_the_registrys_is_refused(project: Path) -> None:
    async with running_anvil() as anvil, open_deployer(anvil) as chain:
        operator_set = await make_current_set(chain)

        refused = await deploy_shared(
            project, anvil, operator_set, sender=chain.accounts[0], registry_hash=bytes(32)
        )

        assert refused.returncode != 0
        assert "HeaderNotTheRegistrys" in refused.stderr
        assert await transactions_of(chain, chain.accounts[0]) == 0


async def test_refusal_of_a_constructor_is_told(project: Path) -> None:
    async with running_anvil() as anvil, open_deployer(anvil) as chain:
        now = await chain.timestamp()
        expired = make_operator_set(capture_time=now - 2 * DAY, valid_until=now - DAY)

        refused = await deploy_shared(
            project, anvil, expired, sender=chain.accounts[0], registry_hash=expired.header_hash()
        )

        assert refused.returncode != 0
        # the selector of HeaderOutOfTime(uint64,uint64,uint256)
        assert 'DeploymentFailed("QuorumVerifier", 0x2c97c426' in refused.stderr


async def test_chain_without_the_deployment_proxy_is_named(project: Path) -> None:
    bare = ("--disable-default-create2-deployer",)
    async with running_anvil(arguments=bare) as anvil, open_deployer(anvil) as chain:
        operator_set = await make_current_set(chain)

        refused = await deploy_shared(
            project,
            anvil,
            operator_set,
            sender=chain.accounts[0],
            registry_hash=operator_set.header_hash(),
        )

        assert refused.returncode != 0
        assert "ProxyMissing(0x4e59b44847b379578588920cA78FbF26c0B4956C" in refused.stderr
