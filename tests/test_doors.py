"""The import graph against the list of doors in the house style: an import that is not in the list is red."""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

# Behind each door: what it may import of ours. A room is a folder of node/, or a module directly in it.
DOORS: dict[str, set[str]] = {
    "consensus": set(),
    # rooms: they meet in the pipeline, and nowhere else
    "node.private_files": {"consensus"},
    "node.store": {"consensus", "node.private_files"},
    "node.nesting": set(),
    "node.chain": {"consensus", "node.nesting"},
    "node.observe": {"consensus", "node.chain", "node.trace", "node.bridge", "node.pending"},
    "node.simulate": {"consensus", "node.chain", "node.trace", "node.pending", "node.observe"},
    "node.evaluate": {"consensus"},
    "node.detect": {"consensus", "node.trace", "node.bridge", "node.pending", "node.evaluate"},
    "node.foresight": {
        "consensus",
        "node.trace",
        "node.pending",
        "node.chain",
        "node.observe",
        "node.simulate",
        "node.evaluate",
        "node.detect",
    },
    "node.attest": {"consensus", "node.store", "node.private_files", "node.nesting"},
    "node.gossip": {"consensus"},
    "node.respond": {"consensus", "node.chain", "node.store"},
    # between the rooms: what the pipeline is made of
    "node.trace": {"consensus"},
    "node.bridge": {"consensus", "node.trace"},
    "node.pending": {"consensus", "node.trace"},
    "node.backtest": {"consensus", "node.trace", "node.bridge", "node.observe", "node.detect"},
    "node.live": {"consensus", "node.trace", "node.chain", "node.observe", "node.detect", "node.evaluate"},
    "node.shadow": {"node.chain", "node.observe", "node.live"},
    "node.policies": {"consensus", "node.evaluate", "node.detect"},
    "node.config": {"consensus", "node.chain", "node.private_files"},
    "node.keys": {"consensus", "node.config", "node.attest", "node.gossip"},
    "node.connection": {"node.config", "node.chain"},
    "node.members": {"consensus", "node.chain", "node.evaluate"},
    "node.tallying": {"consensus", "node.evaluate"},
    "node.succession": {"consensus", "node.chain", "node.attest"},
    "node.registration": {
        "consensus",
        "node.config",
        "node.connection",
        "node.keys",
        "node.chain",
        "node.gossip",
    },
    "node.opened": {
        "consensus",
        "node.config",
        "node.connection",
        "node.chain",
        "node.observe",
        "node.respond",
    },
    "node.pulling": {
        "consensus",
        "node.chain",
        "node.evaluate",
        "node.gossip",
        "node.members",
        "node.succession",
        "node.tallying",
    },
    "node.relay": {
        "node.gossip",
        "node.pulling",
        "consensus",
        "node.config",
        "node.opened",
        "node.keys",
        "node.members",
        "node.chain",
        "node.observe",
        "node.policies",
        "node.respond",
        "node.operate",
    },
    "node.shutdown": set(),
    "node.retracting": {"consensus"},
    "node.signing": {"consensus", "node.config", "node.keys", "node.attest"},
    "node.watching": {
        "consensus",
        "node.chain",
        "node.evaluate",
        "node.foresight",
        "node.live",
        "node.observe",
        "node.opened",
    },
    "node.pipeline": {
        "consensus",
        "node.config",
        "node.opened",
        "node.keys",
        "node.members",
        "node.retracting",
        "node.signing",
        "node.tallying",
        "node.watching",
        "node.succession",
        "node.chain",
        "node.observe",
        "node.evaluate",
        "node.foresight",
        "node.policies",
        "node.attest",
        "node.gossip",
        "node.respond",
        "node.operate",
    },
    "node.operate": {  # the statistics() of all
        "consensus",
        "node.attest",
        "node.chain",
        "node.config",
        "node.evaluate",
        "node.foresight",
        "node.gossip",
        "node.live",
        "node.observe",
        "node.respond",
        "node.tallying",
    },
    # the doors to the street
    "node.commands": {
        "consensus",
        "node.config",
        "node.attest",
        "node.chain",
        "node.backtest",
        "node.observe",
        "node.evaluate",
        "node.detect",
        "node.operate",
        "node.live",
        "node.policies",
        "node.shadow",
        "node.keys",
        "node.relay",
        "node.shutdown",
    },
    "node.cli": {
        "node.commands",
        "node.config",
        "node.keys",
        "node.registration",
        "node.policies",
        "node.operate",
        "node.pipeline",
        "node.shutdown",
        "node.devnet",
    },
    "node.__main__": {"node.cli"},
    "node.__init__": set(),
    "node.devnet": {
        "consensus",
        "node.config",
        "node.connection",
        "node.keys",
        "node.members",
        "node.registration",
        "node.shutdown",
        "node.private_files",
        "node.chain",
        "node.policies",
        "node.gossip",
        "node.operate",
    },
}

# Modules through which a room is entered from another one, where that is less than all of it.
NARROW: dict[tuple[str, str], set[str]] = {
    ("node.config", "node.chain"): {"node.chain.types"},
    ("node.commands", "node.attest"): {
        "node.attest.checkup",
        "node.attest.interchange",
        "node.attest.pairing",
        "node.attest.running",
    },
    ("node.members", "node.evaluate"): {"node.evaluate.outlet"},
    ("node.tallying", "node.evaluate"): {"node.evaluate.findings"},
    ("node.pulling", "node.evaluate"): {"node.evaluate.findings"},
    ("node.succession", "node.attest"): {"node.attest.door"},
    ("node.cli", "node.devnet"): {"node.devnet.demo"},
    ("node.backtest", "node.observe"): {"node.observe.history"},
    ("node.simulate", "node.observe"): {  # how a node's traces are read
        "node.observe.call_trees",
        "node.observe.execution",
        "node.observe.step_logs",
        "node.observe.traces",
        "node.observe.transfers",
        "node.observe.usable",
    },
    ("node.detect", "node.evaluate"): {
        "node.evaluate.document",
        "node.evaluate.expressions",
        "node.evaluate.includes",
        "node.evaluate.problems",
        "node.evaluate.shapes",
        "node.evaluate.signals",
        "node.evaluate.views",
        "node.evaluate.vocabulary",
    },
    ("node.live", "node.evaluate"): {  # what is read at a block
        "node.evaluate.expressions",
        "node.evaluate.signals",
        "node.evaluate.views",
    },
    ("node.keys", "node.gossip"): {"node.gossip.host", "node.gossip.transport"},
    ("node.operate", "node.attest"): {"node.attest.room"},
    ("node.operate", "node.chain"): {"node.chain.endpoint", "node.chain.rpc"},
    ("node.operate", "node.evaluate"): {"node.evaluate.room"},
    ("node.operate", "node.gossip"): {
        "node.gossip.forwarding",
        "node.gossip.room",
        "node.gossip.transport",
    },
    ("node.operate", "node.foresight"): {"node.foresight.room"},
    ("node.operate", "node.live"): {"node.live.room", "node.live.row"},
    ("node.operate", "node.observe"): {"node.observe.heads"},
    ("node.operate", "node.respond"): {
        "node.respond.carrier",
        "node.respond.reporter",
        "node.respond.responder",
        "node.respond.types",
    },
}

# Who may use what of others: the rest may not.
LIBRARIES: dict[str, set[str]] = {
    "trio": {room for room in DOORS if room not in {"consensus", "node.config", "node.members"}},
    "httpx": {"node.chain", "node.operate"},
    "trio_websocket": {"node.observe"},
    "libp2p": {"node.gossip"},
    "multiaddr": {"node.gossip"},
    "sqlite3": {"node.store", "node.attest"},
    "web3": {"node.chain", "node.devnet"},
    "pyrevm": {"node.simulate"},
    "evmole": {"node.detect"},
    "eth_account": {"node.chain", "node.attest", "node.keys", "node.connection", "node.opened"},
    "rlp": {"node.chain"},
    "eth_keyfile": {"node.attest"},
    "eth_keys": {"consensus"},
    "py_arkworks_bls12381": {"consensus"},
    "noise": {"node.attest"},
    "cryptography": {"node.attest"},
    "msgpack": {"consensus"},
    "yaml": {"node.evaluate"},
    "rich": {"node.devnet", "node.backtest", "node.commands"},
    "click": {"node.cli", "node.commands"},
    "scipy": {"node.backtest"},
    "matplotlib": {"node.backtest"},
    "distributed": {"node.backtest"},
    "river": {"node.detect"},
    "hypercorn": {"node.operate"},
    "prometheus_client": {"node.operate"},
    "starlette": {"node.operate"},
}
# What would make the same input give other bytes.
IMPURE = {
    "asyncio",
    "datetime",
    "io",
    "os",
    "pathlib",
    "random",
    "socket",
    "sqlite3",
    "subprocess",
    "threading",
}
IMPURE |= {"time", "trio", "httpx", "libp2p", "structlog", "logging"}


def modules() -> Iterator[tuple[str, Path]]:
    for package in ("consensus", "node"):
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            yield ".".join(path.relative_to(REPOSITORY).with_suffix("").parts), path


def imports_of(source: str) -> Iterator[str]:
    """Every module that is imported, at the top or within functions; `from a import b` says a."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            yield node.module or ""


def room_of(module: str) -> str:
    return "consensus" if module.split(".")[0] == "consensus" else ".".join(module.split(".")[:2])


@cache
def graph() -> dict[str, dict[str, set[str]]]:
    """Room by room: the modules it imports, with the modules that do so."""
    edges: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for module, path in modules():
        for imported in imports_of(path.read_text()):
            edges[room_of(module)][imported].add(module)
    return edges


def is_ours(module: str) -> bool:
    return module.split(".")[0] in {"node", "consensus"}


def forbidden(edges: dict[str, dict[str, set[str]]]) -> list[str]:
    """Every import that has no door."""
    found = []
    for room, imported in edges.items():
        for target, sources in imported.items():
            if not is_ours(target) or room_of(target) == room:
                continue
            narrow = NARROW.get((room, room_of(target)))
            if room_of(target) not in DOORS[room] or (narrow is not None and target not in narrow):
                found.append(f"{', '.join(sorted(sources))} imports {target}")
    return found


def test_every_room_has_its_line_in_the_list() -> None:
    assert {room_of(module) for module, _ in modules()} == set(DOORS)


def test_no_room_is_entered_by_a_door_that_is_not_in_the_list() -> None:
    assert forbidden(graph()) == []


def test_every_door_in_the_list_is_used() -> None:
    unused = [
        f"{room} → {target}"
        for room, targets in DOORS.items()
        for target in targets
        if target not in {room_of(each) for each in graph()[room] if is_ours(each)}
    ]

    assert unused == ["node.respond → node.store"], "respond gets a table of its own with resubmission"


def test_consensus_uses_nothing_that_could_change_its_bytes() -> None:
    assert not {module.split(".")[0] for module in graph()["consensus"]} & IMPURE


@pytest.mark.parametrize("room", ["node.evaluate", "node.attest", "node.retracting", "node.tallying"])
def test_what_judges_and_what_signs_has_no_clock(room: str) -> None:
    assert not {module.split(".")[0] for module in graph()[room]} & {"time", "datetime", "calendar"}


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_stays_behind_the_doors_that_are_named_for_it(library: str) -> None:
    users = {
        room for room, imported in graph().items() if library in {each.split(".")[0] for each in imported}
    }

    assert users <= LIBRARIES[library]


def reach(room: str) -> set[str]:
    """Every room that comes along when this one is imported."""
    reached: set[str] = set()
    waiting = [room]
    while waiting:
        for target in DOORS[waiting.pop()] - reached:
            reached.add(target)
            waiting.append(target)
    return reached


def test_the_list_has_no_circle() -> None:
    assert [room for room in DOORS if room in reach(room)] == []


def test_nobody_but_the_command_line_reaches_the_local_network() -> None:
    assert {room for room in DOORS if "node.devnet" in reach(room)} == {"node.cli", "node.__main__"}


@pytest.mark.parametrize("room", ["node.evaluate", "node.detect", "node.gossip", "node.attest"])
def test_what_decides_signs_or_spreads_alerts_never_reaches_a_chain(room: str) -> None:
    assert "node.chain" not in reach(room)


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("node.gossip.push", "from node.chain.types import BlockRef"),
        ("node.evaluate.engine", "import node.attest.signer"),
        ("consensus.tally", "from node.store import Store"),
        ("node.config", "from node.chain.rpc import RpcPool"),
        ("node.pipeline", "from node.devnet.demo import run_demo"),
    ],
)
def test_a_new_door_is_noticed(module: str, line: str) -> None:
    edges: dict[str, dict[str, set[str]]] = {room_of(module): {each: {module} for each in imports_of(line)}}

    assert len(forbidden(edges)) == 1


def test_the_libraries_named_are_not_of_the_standard_library_by_mistake() -> None:
    third: Iterable[str] = set(LIBRARIES) - {"sqlite3"}

    assert not set(third) & set(sys.stdlib_module_names)
