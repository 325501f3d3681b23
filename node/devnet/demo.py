"""The demonstration: everything real, on this machine, in front of a person."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio
from rich.console import Console
from rich.table import Table

from consensus.alert import Level
from consensus.types import ChainId
from node.devnet.incident import deploy_incident, read_incident
from node.devnet.lending import deploy_lending
from node.devnet.network import Conduct, Ground, LocalNetwork, local_network
from node.devnet.scenario import Money, Scenario
from node.devnet.story import Cast, Story
from node.devnet.timeline import Gauge, Happening, Timeline

QUIET_BLOCKS = 6  # honest blocks before the attack
PATIENCE_SECONDS = 60  # for the whole attack and its end
AWAY_CHAIN_ID = 31338
HOME_CHAIN_ID = 31337
NAMES = ("chain one", "chain two")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How it ended. Times in milliseconds after the head that shows the attack, None for what never came."""

    stopped: bool
    closed: bool
    second_braked: bool
    attempts: int
    failed: int
    must_fail: int
    lost: Money
    saved: Money
    latencies: tuple[tuple[str, int | None, int | None], ...]
    """Step, milliseconds, blocks after the attack's on that chain."""
    resident_bytes: int

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "stopped": self.stopped,
            "closed": self.closed,
            "second_braked": self.second_braked,
            "attack_transactions": self.attempts,
            "attack_transactions_failed": self.failed,
            "lost": str(self.lost),
            "saved": str(self.saved),
            "latencies": [{"step": step, "ms": ms, "blocks": blocks} for step, ms, blocks in self.latencies],
            "resident_bytes_max": self.resident_bytes,
        }


async def run_demo(*, nodes: int, incident: Path | None, directory: Path, quiet: bool) -> Outcome:
    """Run it once.

    `quiet` says nothing; the outcome is the same. Raises `Refused` for a folder without incident.
    """
    console = Console(quiet=quiet, highlight=False)
    if incident is None:
        return await _run(console, nodes, directory, deploy_lending)
    recorded = read_incident(incident)

    async def deploy(ground: Ground) -> tuple[Scenario, Path]:
        return await deploy_incident(ground, recorded)

    return await _run(
        console,
        nodes,
        directory,
        deploy,
        home_chain_id=recorded.chain_id,
        genesis=recorded.genesis.resolve(),
        timestamp=recorded.timestamp,
    )


def choose_conduct(nodes: int) -> tuple[Conduct, ...]:
    """One silent and one flooding operator, as long as the rest is more than two thirds."""
    faulty = (Conduct.SILENT, Conduct.FLOOD)[: (nodes - 1) // 3]
    return (*[Conduct.HONEST] * (nodes - len(faulty)), *faulty)


async def _run(
    console: Console,
    nodes: int,
    directory: Path,
    deploy: Callable[[Ground], Awaitable[tuple[Scenario, Path]]],
    *,
    home_chain_id: int = HOME_CHAIN_ID,
    genesis: Path | None = None,
    timestamp: int | None = None,
) -> Outcome:
    began = time.monotonic()
    conduct = choose_conduct(nodes)

    def step(what: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:5.1f} s[/dim]  {what}")

    console.rule("Tocsin: independent watchers against a live attack")
    async with local_network(
        directory=directory,
        conduct=conduct,
        deploy=deploy,
        home_chain_id=home_chain_id,
        away_chain_id=AWAY_CHAIN_ID,
        genesis=genesis,
        timestamp=timestamp,
        step=step,
    ) as network:
        faulty = {name: how for name, how in network.conduct.items() if how is not Conduct.HONEST}
        console.print(
            f"         {len(network.honest)} honest watchers; "
            + ", ".join(
                f"[red]{name} {'stays silent' if how is Conduct.SILENT else 'floods'}[/red]"
                for name, how in faulty.items()
            )
        )
        console.rule(network.protocols.title)
        outcome = await _Play(console, network).perform()
    _print_outcome(console, outcome)
    return outcome


class _Play:
    """One incident from the first honest trade to the attacker's last revert."""

    def __init__(self, console: Console, network: LocalNetwork[Scenario]) -> None:
        self._network = network
        self._scenario = network.protocols
        self._home = network.ground.home
        self._story = Story(_cast(network), self._home.chain_id)
        self._timeline = Timeline(self._scenario.title, console)
        self._console = console
        self._results: list[bool] = []
        self._watched = trio.Event()

    async def perform(self) -> Outcome:
        start = await self._scenario.at_risk()
        total = len(self._network.homes)
        marks = (("limit", 1, 3), ("freeze", 1, 2), ("pause", 2, 3))
        self._timeline.gauges["stake"] = Gauge(label="stake", total=total, unit="operators", marks=marks)
        self._timeline.gauges["left"] = Gauge(
            label="at risk", total=start.units // 10**start.decimals, unit=start.symbol, style="green"
        )
        with self._timeline.shown():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._listen)
                await self._trade()
                with trio.move_on_after(PATIENCE_SECONDS):
                    await self._attack()
                    while not await self._is_over():
                        await trio.sleep(0.1)
                resident = max(self._network.watchers[name].resident_bytes() for name in self._network.honest)
                nursery.cancel_scope.cancel()
        if self._console.is_terminal:
            self._console.print(self._timeline.record())
        return await self._conclude(start, resident)

    async def _is_over(self) -> bool:
        """Closed, braked, and reported so by a watcher that read it back."""
        verified = len(self._story.moments.in_force) == len(self._scenario.names)
        return verified and await self._scenario.is_closed() and await self._scenario.is_second_braked()

    async def _listen(self) -> None:
        async for said in self._network.said:
            happening = self._story.hear(said)
            if self._story.moments.attack_seen is not None:
                self._timeline.origin_ms = self._story.moments.attack_seen
            share = self._story.weight * len(self._network.homes) // self._story.total
            self._timeline.gauges["stake"].value = share
            if happening is not None:
                self._timeline.tell(happening)

    async def _trade(self) -> None:
        for _ in range(QUIET_BLOCKS):
            await self._next_block()
            done = await self._scenario.trade()
            self._tell("user", "users" if done else "chain", done or "a quiet block")
            await self._measure()

    async def _attack(self) -> None:
        """A transaction every other block, sent right after a block has come; the last ones must revert."""
        for number, strike in enumerate(self._scenario.strikes, start=1):
            await self._next_block()
            transaction = await self._home.submit(dict(strike))
            receipt = await self._mined(transaction)
            block, succeeded = int(receipt["blockNumber"], 16), receipt["status"] == "0x1"
            if number == 1:
                self._story.attack_began(block)
                self._timeline.origin_ms = self._story.moments.attack_seen or _now_ms()
            self._results.append(succeeded)
            left = await self._measure()
            words = f"takes its share, {left} left" if succeeded else f"REVERTS, {left} left"
            self._tell("attacker", "attacker", f"transaction {number} in block {block} {words}")
            if self._results.count(False) >= self._scenario.must_fail and self._is_first_kind():
                return

    def _is_first_kind(self) -> bool:
        """A made-up attacker gives up; a recorded one makes all its calls, whatever happens to them."""
        return len(set(map(str, self._scenario.strikes))) == 1

    async def _measure(self) -> Money:
        left = await self._scenario.at_risk()
        self._timeline.set_gauge("left", left.units // 10**left.decimals)
        return left

    async def _next_block(self) -> None:
        number = await self._home.block_number()
        while await self._home.block_number() == number:
            await trio.sleep(0.02)

    async def _mined(self, transaction: str) -> dict[str, Any]:
        while (receipt := await self._home.receipt(transaction)) is None:
            await trio.sleep(0.02)
        return receipt

    def _tell(self, kind: str, who: str, what: str) -> None:
        self._timeline.tell(Happening(at_ms=_now_ms(), kind=kind, who=who, what=what))

    async def _conclude(self, start: Money, resident: int) -> Outcome:
        left = await self._scenario.at_risk()
        closed, braked = await self._scenario.is_closed(), await self._scenario.is_second_braked()
        failed = self._results.count(False)
        return Outcome(
            stopped=closed and braked and failed >= self._scenario.must_fail,
            closed=closed,
            second_braked=braked,
            attempts=len(self._results),
            failed=failed,
            must_fail=self._scenario.must_fail,
            lost=Money(units=start.units - left.units, decimals=start.decimals, symbol=start.symbol),
            saved=left,
            latencies=_latencies(self._story),
            resident_bytes=resident,
        )


def _latencies(story: Story) -> tuple[tuple[str, int | None, int | None], ...]:
    moments = story.moments

    def after(at_ms: int | None) -> int | None:
        return None if at_ms is None or moments.attack_seen is None else at_ms - moments.attack_seen

    fired, signed = sorted(moments.fired.values()), sorted(moments.signed.values())
    rows: list[tuple[str, int | None, int | None]] = [
        ("first watcher sees it", after(fired[0] if fired else None), None),
        ("last honest watcher sees it", after(fired[-1] if fired else None), None),
        ("first signature", after(signed[0] if signed else None), None),
    ]
    rows += [
        (
            f"certificate past {words.removeprefix('more than ')} ({level.name.lower()})",
            after(moments.reached.get(level)),
            None,
        )
        for level, words in ((Level.LIMIT, "1/3"), (Level.FREEZE, "1/2"), (Level.PAUSE, "2/3"))
    ]
    for action, name in story.cast.actions.items():
        at_ms, block = moments.in_force.get(action, (None, None))
        rows.append((f"in force: {name}", after(at_ms), block))
    return tuple(rows)


def _cast(network: LocalNetwork[Scenario]) -> Cast:
    chains: Sequence[ChainId] = (network.ground.home.chain_id, network.ground.away.chain_id)
    return Cast(
        peers={str(home.peer_id): home.name for home in network.homes},
        chains=dict(zip(chains, NAMES, strict=True)),
        actions=network.protocols.names,
    )


def _print_outcome(console: Console, outcome: Outcome) -> None:
    table = Table(title="from the head that shows the attack", title_justify="left", show_edge=False)
    table.add_column("step")
    table.add_column("ms", justify="right")
    table.add_column("block", justify="right")
    for name, ms, block in outcome.latencies:
        table.add_row(name, "never" if ms is None else f"{ms:,}", "" if block is None else str(block))
    console.print()
    console.print(table)
    console.print()
    console.print(f"attack transactions   {outcome.attempts}, of which {outcome.failed} reverted")
    console.print(f"lost                  [red]{outcome.lost}[/red]")
    console.print(f"saved                 [green]{outcome.saved}[/green]")
    console.print(f"largest watcher       {outcome.resident_bytes / 2**20:.0f} MiB resident")
    if outcome.stopped:
        console.print(
            "[bold green]Stopped: the hole is closed on chain one, and chain two is braked by the same "
            "certificate.[/]"
        )
    else:
        console.print(
            f"[bold red]Not stopped:[/] closed on chain one: {outcome.closed}; "
            f"chain two braked: {outcome.second_braked}; reverted {outcome.failed}, "
            f"at least {outcome.must_fail} were expected"
        )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
