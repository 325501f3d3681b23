"""How far each history is, on stderr where that is a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Advance = Callable[[int, int, int], None]
"""Is told the place of a history, how many of its transactions are done, and of how many."""


@contextmanager
def showing(names: Sequence[str]) -> Iterator[Advance]:
    """A bar for each name while the block runs."""
    console = Console(stderr=True)
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    with progress:
        tasks = [progress.add_task(name, total=None) for name in names]

        def advance(place: int, done: int, total: int) -> None:
            progress.update(tasks[place], completed=done, total=total)

        yield advance
