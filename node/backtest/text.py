"""A backtest's report for a terminal: what came of it, what it would have cost, then each alarm with its
evidence. Everything goes in as `Text`, which rich never reads as markup."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from consensus.alert import Level
from node.backtest.figures import COUNTED_LEVELS, compute_rate, compute_speed
from node.backtest.report import ACTIONS, Alarm, Outcome, Report
from node.backtest.shown import (
    NOT_KNOWN,
    chance,
    delay_of,
    held_up_of,
    outcome_of,
    plural,
    printable,
    rate_of,
    set_aside_of,
    share_of,
    units,
)
from node.backtest.sums import count_flagged

MAX_ALARMS = 40  # more fill the screen and nobody's head
PIPE_WIDTH: Final = 160

LEVEL_STYLES: Final = {
    Level.ALERT: "cyan",
    Level.LIMIT: "yellow",
    Level.FREEZE: "magenta",
    Level.PAUSE: "bold red",
}


def print_reports(reports: Sequence[Report]) -> None:
    """All reports, and what they come to together where there are several; on a pipe in plain text."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PIPE_WIDTH)
    for place, report in enumerate(reports):
        if place:
            console.rule(style="dim")
        console.print(render_report(report))
    if len(reports) > 1:
        console.rule(style="dim")
        console.print(render_sums(reports))


def render_report(report: Report) -> RenderableType:
    """One history's report."""
    parts: list[RenderableType] = [_summary(report)]
    if report.losses:
        parts += [Text(), _losses(report), *(Text(each, style="dim") for each in NOT_KNOWN)]
    parts += list(_alarms(report))
    return Group(*parts)


def render_sums(reports: Sequence[Report]) -> RenderableType:
    """A row for each history, then the sums."""
    table = Table(box=None, pad_edge=False)
    benign = sum(report.benign for report in reports)
    exploits = sum(report.exploit is not None for report in reports)
    table.add_column("history")
    table.add_column("exploit")
    for name in ("benign", *(name for name, _ in COUNTED_LEVELS)):
        table.add_column(name, justify="right")
    for report in reports:
        table.add_row(
            Text(printable(report.history)),
            Text(outcome_of(report)),
            units(report.benign),
            *(str(report.count(level)) for _, level in COUNTED_LEVELS),
        )
    sums = Table.grid(padding=(0, 2))
    sums.add_row(Text("exploits", style="dim"), Text(f"{count_flagged(reports)} of {exploits} flagged"))
    for name, level in COUNTED_LEVELS:
        count = sum(report.count(level) for report in reports)
        said = f"{count} of {units(benign)} benign transactions, {rate_of(compute_rate(count, benign))}"
        sums.add_row(Text(name, style="dim"), Text(said))
    return Group(table, Text(), sums)


def _summary(report: Report) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, said in _facts(report):
        table.add_row(Text(name, style="dim"), said)
    return table


def _facts(report: Report) -> Iterator[tuple[str, Text]]:
    yield "history", Text(printable(report.history), style="bold")
    yield (
        "learned",
        Text(f"{plural(report.learned, 'transaction')}, then scored {units(report.scored)}"),
    )
    yield "set aside", Text(set_aside_of(report))
    style = "bold red" if report.exploit is Outcome.MISSED else "bold green" if report.exploit else ""
    yield "exploit", Text(outcome_of(report), style=style)
    if report.flag is not None:
        yield "delay", Text(delay_of(report))
        yield "would do", Text(f"{ACTIONS[report.flag.level]}, at block {report.flag.block_number}")
    for name, level in COUNTED_LEVELS:
        rate = rate_of(compute_rate(report.count(level), report.benign))
        yield name, Text(f"{report.count(level)} of {units(report.benign)} benign transactions, {rate}")
    for level in (Level.LIMIT, Level.FREEZE, Level.PAUSE):
        yield f"cost, {level.name.lower()}", Text(held_up_of(report, level))
    speed = compute_speed(report)
    yield (
        "time",
        Text(f"{report.seconds:.1f} s" + (f", {units(speed)} transactions a second" if speed else "")),
    )


def _losses(report: Report) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("token", "held before", "exploit took", "share", "moved after the flag", "left"):
        table.add_column(name, justify="left" if name == "token" else "right", overflow="fold")
    for loss in report.losses:
        table.add_row(
            Text(printable(loss.token)),
            units(loss.held_units),
            units(loss.lost_units),
            share_of(loss),
            units(loss.moved_after_flag_units),
            units(loss.left_units),
        )
    return table


def _alarms(report: Report) -> Iterator[RenderableType]:
    for alarm in report.alarms[:MAX_ALARMS]:
        yield Text()
        yield _headline(alarm)
        yield from (Padding(line, (0, 0, 0, 8), expand=False) for line in _lines(alarm))
    more = len(report.alarms) - MAX_ALARMS
    if more > 0 or report.alarms_left_out:
        yield Text(f"\n… and {max(0, more) + report.alarms_left_out} more; --json names them", style="dim")


def _headline(alarm: Alarm) -> Text:
    judgement = alarm.judgement
    kind = "attack" if alarm.is_attack else "benign"
    return Text.assemble(
        (f"{alarm.level.name.lower():<7}", LEVEL_STYLES[alarm.level]),
        f" block {judgement.block_number}  {printable(judgement.transaction_hash)}  ({kind}): ",
        ACTIONS[alarm.level],
    )


def _lines(alarm: Alarm) -> Iterator[Text]:
    yield Text(printable(alarm.judgement.reason))
    for each in alarm.judgement.evidence:
        yield Text(f"{each.evidence.detector} ({chance(each.p_value)}): {printable(each.evidence.summary)}")
