"""Traps with the public ABI run unchanged on a real chain: constructor, storage, events, samples."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from eth_utils.abi import function_signature_to_4byte_selector

from consensus.errors import Reason, Refused
from consensus.types import Address
from node.chain.reader import ChainReader
from node.chain.rpc import RpcPool
from node.chain.types import BlockRef
from node.devnet.anvil import Mining, running_anvil
from node.evaluate.engine import Engine
from node.evaluate.expressions import Undefined
from node.evaluate.findings import Finding, Unknown
from node.evaluate.policy import parse_policy
from node.evaluate.traps import MAX_SAMPLES, MAX_TRAP_BYTES, Asks, Trap, TrapWatch
from node.observe.view import RUNNER_ADDRESS, BlockView
from tests.chain.doubles import EndpointDouble, doubles, pool_of

COMPILER = Path(__file__).resolve().parents[2] / "contracts" / "tools" / "solcjs-native"
METER = Address("0x00000000000000000000000000000000DeaDBeef")
OTHER = Address("0x000000000000000000000000000000000000dEaD")
# A number that can be set, and two events.
METER_SOURCE = """
contract Meter {
    uint256 value;
    event Moved(uint256 units);
    event Rested(uint256 units);
    function set(uint256 to) external { value = to; }
    function read() external view returns (uint256) { return value; }
    function move(uint256 units) external { emit Moved(units); }
    function rest(uint256 units) external { emit Rested(units); }
}
"""
TRAPS_SOURCE = """
struct EventLog { bytes32[] topics; bytes data; address emitter; }
struct EventFilter { address contractAddress; string signature; }
interface IMeter { function read() external view returns (uint256); }

// The two functions of the interface alone: fires when the meter fell by half within the samples.
contract Halved {
    function collect() external view returns (bytes memory) { return abi.encode(IMeter(METER).read()); }
    function shouldRespond(bytes[] calldata data) external pure returns (bool, bytes memory) {
        uint256 newest = abi.decode(data[0], (uint256));
        uint256 oldest = abi.decode(data[data.length - 1], (uint256));
        return (newest * 2 <= oldest, abi.encode(newest));
    }
    function shouldAlert(bytes[] calldata data) external pure returns (bool, bytes memory) {
        return (abi.decode(data[0], (uint256)) < abi.decode(data[data.length - 1], (uint256)), "");
    }
}

abstract contract Trap {
    EventLog[] private eventLogs;
    function setEventLogs(EventLog[] calldata logs) public {
        for (uint256 i = 0; i < logs.length; i++) eventLogs.push(logs[i]);
    }
    function getEventLogs() public view returns (EventLog[] memory) { return eventLogs; }
}

// Sums an event; its threshold is set by the constructor, into storage.
contract Moves is Trap {
    uint256 private threshold;
    constructor() { threshold = 100; }
    function eventLogFilters() external pure returns (EventFilter[] memory filters) {
        filters = new EventFilter[](1);
        filters[0] = EventFilter(METER, "Moved(uint256)");
    }
    function collect() external view returns (bytes memory) {
        uint256 sum;
        EventLog[] memory logs = getEventLogs();
        for (uint256 i = 0; i < logs.length; i++) sum += abi.decode(logs[i].data, (uint256));
        return abi.encode(sum, threshold, logs.length);
    }
    function shouldRespond(bytes[] calldata data) external pure returns (bool, bytes memory) {
        (uint256 sum, uint256 most,) = abi.decode(data[0], (uint256, uint256, uint256));
        return (sum > most, "");
    }
}

contract Reverts {
    function collect() external pure returns (bytes memory) { revert("no"); }
}
contract Garbage {
    function collect() external pure returns (bytes memory) { return ""; }
    function shouldRespond(bytes[] calldata) external pure { assembly { mstore(0, 7) return(0, 32) } }
}
contract Hoarder {
    function collect() external pure returns (bytes memory) { return new bytes(65_537); }
}
contract Greedy {
    function eventLogFilters() external pure returns (EventFilter[] memory) { return new EventFilter[](33); }
    function collect() external pure returns (bytes memory) { return ""; }
}
contract Spins {
    function collect() external pure returns (bytes memory) { while (true) {} }
}
contract Unborn {
    constructor() { revert("never"); }
}
"""


@pytest.fixture(scope="module")
def compiled() -> dict[str, dict[str, bytes]]:
    """Creation and runtime code by name."""
    asked = {
        "language": "Solidity",
        "sources": {
            "Meter.sol": {"content": f"pragma solidity ^0.8.0;\n{METER_SOURCE}"},
            "Traps.sol": {"content": f"pragma solidity ^0.8.0;\n{TRAPS_SOURCE.replace('METER', METER)}"},
        },
        "settings": {"outputSelection": {"*": {"*": ["evm.bytecode.object", "evm.deployedBytecode.object"]}}},
    }
    answer = json.loads(
        subprocess.run(
            [str(COMPILER), "--standard-json"],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )
    assert not [error for error in answer.get("errors", ()) if error["severity"] == "error"]
    return {
        name: {
            "creation": bytes.fromhex(each["evm"]["bytecode"]["object"]),
            "runtime": bytes.fromhex(each["evm"]["deployedBytecode"]["object"]),
        }
        for contracts in answer["contracts"].values()
        for name, each in contracts.items()
    }


class Chain:
    """One anvil with a meter on it."""

    def __init__(self, pool: RpcPool, endpoint: EndpointDouble, code: dict[str, dict[str, bytes]]) -> None:
        self.pool, self.endpoint, self.reader = pool, endpoint, ChainReader(pool)
        self._code = code

    async def set(self, value: int) -> BlockView:
        """Mines a block in which the meter stands at `value`."""
        await self.send(call("set(uint256)", value))
        return await self.mine()

    async def send(self, selector_and_word: bytes, to: Address = METER) -> None:
        accounts = await self.pool.call("eth_accounts", ())
        await self.pool.call(
            "eth_sendTransaction", ({"from": accounts[0], "to": to, "data": f"0x{selector_and_word.hex()}"},)
        )

    async def mine(self) -> BlockView:
        await self.pool.call("anvil_mine", ("0x1",))
        latest: BlockRef = await self.reader.latest()
        return BlockView(latest, self.reader)

    def trap(self, name: str, *, samples: int = 1) -> TrapWatch:
        return TrapWatch(Trap(name=name, code=self._code[name]["creation"], samples=samples))


@pytest.fixture
async def chain(compiled: dict[str, dict[str, bytes]]) -> AsyncIterator[Chain]:
    async with (
        running_anvil(mining=Mining.WHEN_TOLD) as anvil,
        doubles(anvil, "ada") as (ada,),
        pool_of(ada, agreement=1) as pool,
    ):
        for address in (METER, OTHER):
            await pool.call("anvil_setCode", (address, f"0x{compiled['Meter']['runtime'].hex()}"))
        yield Chain(pool, ada, compiled)


def call(signature: str, word: int) -> bytes:
    return bytes(function_signature_to_4byte_selector(signature)) + word.to_bytes(32, "big")


async def test_a_trap_compares_the_samples_of_several_blocks_newest_first(chain: Chain) -> None:
    trap = chain.trap("Halved", samples=3)
    await chain.set(100)
    await chain.set(90)
    slow = await chain.set(51)
    fallen = await chain.set(45)
    back = await chain.set(90)

    assert await trap.ask(Asks.RESPOND, slow) is False
    assert await trap.ask(Asks.RESPOND, fallen) is True
    assert await trap.ask(Asks.RESPOND, back) is False
    assert await trap.ask(Asks.ALERT, slow) is True
    assert await trap.ask(Asks.ALERT, back) is False


async def test_what_a_trap_says_of_a_block_stays_the_same_later(chain: Chain) -> None:
    await chain.set(100)
    fallen = await chain.set(40)
    await chain.set(100)

    assert await chain.trap("Halved", samples=2).ask(Asks.RESPOND, fallen) is True


async def test_a_block_is_collected_from_once(chain: Chain) -> None:
    trap = chain.trap("Halved", samples=2)
    await chain.set(100)
    await trap.ask(Asks.RESPOND, await chain.set(90))
    before = chain.endpoint.asked["eth_call"]

    await trap.ask(Asks.RESPOND, await chain.set(80))

    # filters, one sample, the question; the older sample is kept
    assert chain.endpoint.asked["eth_call"] == before + 3


async def test_a_trap_gets_the_events_that_it_filters_for_and_its_constructor_ran(chain: Chain) -> None:
    trap = chain.trap("Moves")
    await chain.send(call("move(uint256)", 60))
    await chain.send(call("move(uint256)", 41))
    over = await chain.mine()
    await chain.send(call("move(uint256)", 100))
    at_the_threshold = await chain.mine()
    await chain.send(call("rest(uint256)", 1_000))
    await chain.send(call("move(uint256)", 1_000), to=OTHER)
    other_events = await chain.mine()

    assert await trap.ask(Asks.RESPOND, over) is True
    assert await trap.ask(Asks.RESPOND, at_the_threshold) is False
    assert await trap.ask(Asks.RESPOND, other_events) is False


async def test_nothing_is_left_on_the_chain(chain: Chain) -> None:
    await chain.trap("Halved").ask(Asks.RESPOND, await chain.set(1))

    assert await chain.pool.call("eth_getCode", (RUNNER_ADDRESS, "latest")) == "0x"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Reverts", "reverts at block 1 when it is asked for collect"),
        ("Garbage", "reverts at block 1 when it is asked for shouldRespond"),
        ("Hoarder", "collected 65537 bytes at block 1, at most 65536"),
        ("Greedy", "filters for 33 events, at most 32"),
        ("Spins", "reverts at block 1 when it is asked for collect"),
        ("Unborn", "reverts at block 1 when it is asked for eventLogFilters"),
    ],
)
async def test_a_trap_that_misbehaves_is_unknown_and_says_why(chain: Chain, name: str, said: str) -> None:
    answer = await chain.trap(name).ask(Asks.RESPOND, await chain.set(1))

    assert isinstance(answer, Undefined)
    assert answer.reason is Reason.SIGNAL_UNDEFINED
    assert said in answer.message


@pytest.mark.parametrize("answer", ["0x", "0x07", "0x" + "ff" * 64])
async def test_an_answer_that_is_none_is_unknown(chain: Chain, answer: str) -> None:
    view = await chain.set(1)
    chain.endpoint.lie = lambda method, _, told: told | {"result": answer} if method == "eth_call" else told

    said = await chain.trap("Halved").ask(Asks.RESPOND, view)

    assert isinstance(said, Undefined)
    assert "answers eventLogFilters with" in said.message


async def test_a_question_that_a_trap_does_not_know_is_unknown(chain: Chain) -> None:
    answer = await chain.trap("Moves").ask(Asks.ALERT, await chain.set(1))

    assert isinstance(answer, Undefined)


async def test_more_samples_than_blocks_are_unknown(chain: Chain) -> None:
    answer = await chain.trap("Halved", samples=3).ask(Asks.RESPOND, await chain.set(1))

    assert isinstance(answer, Undefined)
    assert answer.reason is Reason.HISTORY_TOO_SHORT


@pytest.mark.parametrize(
    ("code", "samples", "said"),
    [
        (b"", 1, "1 to 49152 bytes"),
        (bytes(MAX_TRAP_BYTES + 1), 1, "came 49153"),
        (b"\x00", 0, "1 to 64 samples"),
        (b"\x00", MAX_SAMPLES + 1, "came 65"),
    ],
)
def test_a_trap_out_of_bounds_is_refused(code: bytes, samples: int, said: str) -> None:
    with pytest.raises(Refused, match=said):
        Trap(name="t", code=code, samples=samples)


def rules(code: bytes, **changes: str) -> bytes:
    """A policy with one rule, that rings while the trap asks for a response."""
    keys = {"trap": f'"0x{code.hex()}"', "samples": "2", "asks": "shouldRespond"} | changes
    entry = ", ".join(f"{key}: {value}" for key, value in keys.items())
    return f"""\
tocsin: 1
name: trapped
version: 1
ttl_seconds: 3600
source_chain_id: 31337
contracts: {{}}
signals:
  halved: {{{entry}}}
actions: {{}}
rules:
  halved-within-a-block: {{kind: expression, when: halved == 1, cooldown_blocks: 0, actions: []}}
""".encode()


async def test_a_rule_rings_by_a_trap(chain: Chain, compiled: dict[str, dict[str, bytes]]) -> None:
    engine = Engine(parse_policy(rules(compiled["Halved"]["creation"])))
    await chain.set(100)
    quiet = await engine.evaluate(await chain.set(51))
    fallen = await engine.evaluate(await chain.set(25))

    assert quiet == ()
    (finding,) = fallen
    assert isinstance(finding, Finding)
    assert [(each.signal, each.value) for each in finding.observations] == [("halved", 1)]


async def test_a_rule_whose_trap_reverts_is_unknown(
    chain: Chain, compiled: dict[str, dict[str, bytes]]
) -> None:
    await chain.set(1)
    (said,) = await Engine(parse_policy(rules(compiled["Reverts"]["creation"]))).evaluate(await chain.set(1))

    assert isinstance(said, Unknown)
    assert said.reason is Reason.SIGNAL_UNDEFINED


@pytest.mark.parametrize(
    "changes",
    [{"trap": '"0x01"'}, {"samples": "3"}, {"asks": "shouldAlert"}],
    ids=lambda each: next(iter(each)),
)
def test_whatever_a_trap_says_by_is_part_of_the_policys_hash(changes: dict[str, str]) -> None:
    assert parse_policy(rules(b"\x00", **changes)).hash != parse_policy(rules(b"\x00")).hash


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"trap": '"0x"'}, "expected 0x and the hex digits"),
        ({"trap": '"0x012"'}, "expected 0x and the hex digits"),
        ({"trap": f'"0x{"00" * (MAX_TRAP_BYTES + 1)}"'}, "expected 0x and the hex digits"),
        ({"samples": "0"}, "from 1 to 64"),
        ({"samples": "65"}, "from 1 to 64"),
        ({"asks": "shouldPanic"}, "shouldRespond"),
    ],
)
def test_a_trap_that_is_no_trap_is_refused_with_its_place(changes: dict[str, str], said: str) -> None:
    with pytest.raises(Refused, match=said) as caught:
        parse_policy(rules(b"\x00", **changes))

    assert caught.value.reason is Reason.POLICY_INVALID
    assert "line 8" in caught.value.message
