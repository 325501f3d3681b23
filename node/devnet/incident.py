"""A recorded attack, replayed: real code, real storage, real calldata, in the shape of `incident.json`.

The folder holds a genesis that anvil loads, the calls of the attack, what is worth watching, and the one
owner call that closes the hole. The guardian's adapter becomes the owner; nothing else is changed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from eth_abi.abi import encode

from consensus.alert import Level, compute_action_id
from consensus.errors import Reason, Refused
from consensus.fields import address_from_hex
from consensus.types import ActionId, Address
from node.devnet.deployer import Deployer
from node.devnet.guarding import COMPARE_EQUAL, allow_action, approve_policy, create_guardian
from node.devnet.network import Ground
from node.devnet.scenario import Money
from node.devnet.vault import ACTION as VAULT_ACTION
from node.devnet.vault import GuardedVault, deploy_vault, selector
from node.policies import read_policy

MUST_FAIL = 6
CLOSE_ACTION = "close-the-hole"
DRAIN_WINDOW_BLOCKS = 50
DRAIN_THRESHOLD_BPS = 500  # one twentieth within ten minutes of Ethereum: no customer of a bridge does that
_CALL = re.compile(r"(?P<contract>\w+)\.(?P<function>\w+)\((?P<argument>[\w()]*)\)")


class _Watch(msgspec.Struct):
    name: str
    call: str


class _Call(msgspec.Struct, rename={"sender": "from"}):
    sender: str
    to: str
    data: str
    gas: int


class _Attack(msgspec.Struct):
    calls: list[_Call]


class _Remedy(msgspec.Struct):
    to: str
    signature: str
    args: list[str | int]


class _File(msgspec.Struct):
    name: str
    chain_id: int
    genesis: str
    setup: list[dict[str, Any]]
    contracts: dict[str, str]
    watch: list[_Watch]
    attack: _Attack
    remedy: _Remedy


class _Genesis(msgspec.Struct):
    timestamp: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """A folder, read."""

    file: _File
    genesis: Path
    timestamp: int

    @property
    def chain_id(self) -> int:
        return self.file.chain_id


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """One watched view: `contract.function(argument)`, argument a contract's name or bytes32(0)."""

    contract: str
    function: str
    argument_type: str
    argument: str

    @property
    def calldata(self) -> bytes:
        raw = bytes.fromhex(self.argument.removeprefix("0x")).rjust(32, b"\0")
        return selector(f"{self.function}({self.argument_type})") + raw


def read_incident(folder: Path) -> Incident:
    """The incident in a folder. Raises `Refused(BAD_CONFIG)` where the folder or its files are not there."""
    path = folder / "incident.json"
    if not path.is_file():
        raise Refused(
            Reason.BAD_CONFIG,
            f"no incident in {folder}: expected incident.json and the genesis that it names. The recorded "
            "incidents are not part of this repository; give the folder that holds one, or run the "
            "demonstration without INCIDENT",
        )
    try:
        file = msgspec.json.decode(path.read_bytes(), type=_File)
        genesis = folder / file.genesis
        timestamp = int(msgspec.json.decode(genesis.read_bytes(), type=_Genesis).timestamp, 16)
    except (msgspec.DecodeError, OSError) as error:
        raise Refused(Reason.BAD_CONFIG, f"{path} cannot be used: {error}") from error
    return Incident(file=file, genesis=genesis, timestamp=timestamp)


class IncidentScenario:
    """Implements `Scenario`."""

    must_fail = MUST_FAIL

    def __init__(
        self,
        home: Deployer,
        incident: Incident,
        *,
        vault: GuardedVault,
        policy_file: Path,
        decimals: int,
        symbol: str,
    ) -> None:
        self.title = incident.file.name
        self.policy_file = policy_file
        self.vault = vault
        self.names: Mapping[ActionId, str] = {
            compute_action_id(CLOSE_ACTION): incident.file.remedy.signature,
            compute_action_id(VAULT_ACTION): "limit the vault's withdrawals",
        }
        self.strikes: Sequence[Mapping[str, Any]] = [
            {"from": call.sender, "to": call.to, "data": call.data, "gas": hex(call.gas)}
            for call in incident.file.attack.calls
        ]
        self._home = home
        self._contracts = incident.file.contracts
        self._balance, self._hole = (_parse_watch(each.call, incident.file) for each in incident.file.watch)
        self._closed_value = int(incident.file.remedy.args[-1])
        self._decimals, self._symbol = decimals, symbol

    async def trade(self) -> None:
        """The recorded state holds only what the attack touched: nobody else can act in it."""
        return

    async def at_risk(self) -> Money:
        return Money(units=await self._value(self._balance), decimals=self._decimals, symbol=self._symbol)

    async def is_closed(self) -> bool:
        return await self._value(self._hole) == self._closed_value

    async def is_second_braked(self) -> bool:
        return await self.vault.is_braked()

    async def _value(self, read: _Read) -> int:
        return int.from_bytes(
            await self._home.call(address_from_hex(self._contracts[read.contract]), read.calldata)
        )


async def deploy_incident(ground: Ground, incident: Incident) -> tuple[IncidentScenario, Path]:
    """A guardian before the recorded protocol, a vault on the second chain, one policy approved on both."""
    home, file = ground.home, incident.file
    balance, hole = (_parse_watch(each.call, file) for each in file.watch)
    guardian = await create_guardian(home, ground.home_trust)
    adapter = await _own_the_target(home, incident, guardian, hole)
    await allow_action(home, guardian, name=CLOSE_ACTION, adapter=adapter, level=Level.PAUSE)
    vault = await deploy_vault(ground.away, ground.away_trust)

    policy_file = ground.directory / "incident.yaml"
    policy_file.write_text(_policy_text(home, file, balance, guardian, vault))
    policy_hash = read_policy(policy_file).hash
    await approve_policy(home, guardian, policy_hash)
    await approve_policy(vault.chain, vault.guardian, policy_hash)
    await _prepare_attacker(home, file)
    token = address_from_hex(file.contracts[balance.contract])
    decimals = int.from_bytes(await home.call(token, selector("decimals()")))
    scenario = IncidentScenario(
        home,
        incident,
        vault=vault,
        policy_file=policy_file,
        decimals=decimals,
        symbol=balance.contract.upper(),
    )
    return scenario, policy_file


async def _own_the_target(home: Deployer, incident: Incident, guardian: Address, hole: _Read) -> Address:
    """An adapter that owns the target, set as owner in storage, and can make the one call of the remedy."""
    remedy = incident.file.remedy
    target = address_from_hex(remedy.to)
    types = remedy.signature[remedy.signature.index("(") + 1 : -1].split(",")
    values = [bytes.fromhex(each[2:]) if isinstance(each, str) else each for each in remedy.args]
    adapter = await home.deploy(
        "OwnerCallAdapter",
        guardian,
        target,
        home.governance,
        selector(remedy.signature) + encode(types, values),
        b"",  # only the owner opens a hole again
        hole.calldata,
        COMPARE_EQUAL,
        int(remedy.args[-1]).to_bytes(32, "big"),
    )
    for step in incident.file.setup:
        if "set_storage" in step:
            word = "0x" + adapter[2:].lower().rjust(64, "0")
            slot = "0x" + step["set_storage"]["slot"][2:].rjust(64, "0")
            await home.set_storage(address_from_hex(step["set_storage"]["address"]), slot, word)
    return adapter


async def _prepare_attacker(home: Deployer, file: _File) -> None:
    for step in file.setup:
        if "set_balance" in step:
            await home.fund(
                address_from_hex(step["set_balance"]["address"]), int(step["set_balance"]["value"], 16)
            )
        if "impersonate" in step:
            await home.impersonate(address_from_hex(step["impersonate"]))


def _parse_watch(call: str, file: _File) -> _Read:
    found = _CALL.fullmatch(call)
    if found is None:
        raise Refused(Reason.BAD_CONFIG, f"expected contract.function(argument) under `watch`, came {call!r}")
    argument = found["argument"]
    if argument == "bytes32(0)":
        kind, value = "bytes32", "0x" + "00" * 32
    else:
        kind, value = "address", file.contracts[argument]
    return _Read(contract=found["contract"], function=found["function"], argument_type=kind, argument=value)


def _policy_text(home: Deployer, file: _File, balance: _Read, guardian: Address, vault: GuardedVault) -> str:
    return f"""# Written by the demonstration: watches the recorded bridge, closes its hole, brakes chain two.
tocsin: 1
name: recorded-incident
version: 1
ttl_seconds: 900
source_chain_id: {home.chain_id}

contracts:
  token:
    chain_id: {home.chain_id}
    address: "{address_from_hex(file.contracts[balance.contract])}"
  holder:
    chain_id: {home.chain_id}
    address: "{address_from_hex(balance.argument)}"
  guardian:
    chain_id: {home.chain_id}
    address: "{guardian}"
  vault_guardian:
    chain_id: {vault.chain.chain_id}
    address: "{vault.guardian}"

signals:
  held:
    call: token.{balance.function}(address)(uint256)
    args: [holder]

actions:
  close_hole:
    guardian: guardian
    action: {CLOSE_ACTION}
    level: pause
  brake_vault:
    guardian: vault_guardian
    action: {VAULT_ACTION}
    level: limit

rules:
  bridge-drained:
    kind: drain
    signal: held
    window_blocks: {DRAIN_WINDOW_BLOCKS}
    threshold_bps: {DRAIN_THRESHOLD_BPS}
    cooldown_blocks: 10
    actions: [close_hole, brake_vault]
"""
