"""What a person sees of an incident: happenings in order, stake gathering, money lost and left.

Live on a terminal (rich), plain lines where the output is no terminal. Knows nothing of chains and
watchers: it is told.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

BAR_CELLS = 36
VISIBLE_ROWS = 18
SETTLE_MS = 300  # by then every log that says something of an earlier moment has been read

WHO_STYLE = {
    "user": "green",
    "attacker": "bold red",
    "watcher": "cyan",
    "network": "bold magenta",
    "guardian": "bold yellow",
    "chain": "dim",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One line of the timeline.

    `at_ms` is Unix time in milliseconds; `kind` one of the keys of `WHO_STYLE`.
    """

    at_ms: int
    kind: str
    who: str
    what: str


@dataclass(slots=True, kw_only=True)
class Gauge:
    """A bar with marks: `value` of `total`, and the fractions at which something becomes possible."""

    label: str
    total: int
    unit: str = ""
    value: int = 0
    marks: Sequence[tuple[str, int, int]] = ()
    style: str = "magenta"


@dataclass(slots=True)
class Timeline:
    """The state of the picture. Call `tell` and `set_gauge` from anywhere in the program that draws it."""

    title: str
    console: Console
    origin_ms: int | None = None
    gauges: dict[str, Gauge] = field(default_factory=dict)
    happenings: list[Happening] = field(default_factory=list)
    _live: Live | None = None
    _printed: int = 0

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Draw while the block runs: a live picture on a terminal, lines elsewhere."""
        if not self.console.is_terminal:
            try:
                yield
            finally:
                self._print_settled(until_ms=None)
            return
        with Live(self.render(), console=self.console, refresh_per_second=8, transient=True) as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    def tell(self, happening: Happening) -> None:
        """Add one happening in its place: processes are heard a little late, and not in order."""
        insort(self.happenings, happening, key=lambda each: each.at_ms)
        if self._live is not None:
            self._live.update(self.render())
        else:
            self._print_settled(until_ms=happening.at_ms - SETTLE_MS)

    def _print_settled(self, *, until_ms: int | None) -> None:
        """Print what nothing earlier can come before any more."""
        while self._printed < len(self.happenings):
            happening = self.happenings[self._printed]
            if until_ms is not None and happening.at_ms > until_ms:
                return
            self.console.print(self._row(happening), soft_wrap=True)
            self._printed += 1

    def set_gauge(self, key: str, value: int) -> None:
        """Move one bar."""
        self.gauges[key].value = value
        if self._live is not None:
            self._live.update(self.render())

    def render(self) -> RenderableType:
        """The whole picture: bars above, the latest happenings below."""
        bars = Table.grid(padding=(0, 1))
        for gauge in self.gauges.values():
            bars.add_row(Text(gauge.label, style="bold"), _bar(gauge), _reading(gauge))
        rows = [self._row(happening) for happening in self.happenings[-VISIBLE_ROWS:]]
        return Panel(Group(bars, Text(), *rows), title=self.title, border_style="dim")

    def record(self) -> RenderableType:
        """Every happening, for the scroll-back once the live picture is gone."""
        return Group(*(self._row(happening) for happening in self.happenings))

    def _row(self, happening: Happening) -> Text:
        style = WHO_STYLE.get(happening.kind, "")
        row = Text()
        row.append(f"{self._offset(happening.at_ms):>9}  ", style="dim")
        row.append(f"{happening.who:<12}", style=style)
        row.append(happening.what)
        return row

    def _offset(self, at_ms: int) -> str:
        if self.origin_ms is None or at_ms < self.origin_ms:
            return "before"
        seconds = (at_ms - self.origin_ms) / 1000
        return f"{seconds:+.2f} s"


def _bar(gauge: Gauge) -> Text:
    filled = BAR_CELLS * min(gauge.value, gauge.total) // gauge.total if gauge.total else 0
    cells = ["█" if cell < filled else "░" for cell in range(BAR_CELLS)]
    for _, numerator, denominator in gauge.marks:
        cells[min(BAR_CELLS * numerator // denominator, BAR_CELLS - 1)] = "│"
    return Text("".join(cells), style=gauge.style)


def _reading(gauge: Gauge) -> Text:
    passed = [
        label
        for label, numerator, denominator in gauge.marks
        if gauge.value * denominator > gauge.total * numerator
    ]
    text = Text(f"{gauge.value:,} of {gauge.total:,} {gauge.unit}".rstrip())
    if passed:
        text.append("  good for " + ", ".join(passed), style="bold")
    return text
