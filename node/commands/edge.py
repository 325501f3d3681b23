"""What every command ends with: a line and an exit code for our own errors, prose or JSON for the rest."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import click
import trio

from consensus.errors import Refused, TocsinError, Unavailable

EXIT_REFUSED = 2  # the input is at fault: correct it and try again
EXIT_UNAVAILABLE = 3  # a source did not answer: try again later
EXIT_BROKEN = 4  # our own fault
EXIT_NOT_READY = 5  # a watcher runs and may not be relied on

JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of prose.")


def run_guarded(work: Callable[[], Awaitable[Any]]) -> Any:
    """Run `work` on trio; our own errors become one line and an exit code."""
    return guarded(lambda: trio.run(work))


def guarded(work: Callable[[], Any]) -> Any:
    """What `work` gives; our own errors become one line and an exit code."""
    try:
        return work()
    except BaseException as error:
        told = _first_of_ours(error)
        if told is None:
            raise
        click.secho(f"tocsin: {told}", fg="red", err=True)
        sys.exit(_exit_code(told))


def _first_of_ours(error: BaseException) -> TocsinError | None:
    """The TocsinError in `error`, also within groups that hold nothing but those; None for anything else."""
    if isinstance(error, BaseExceptionGroup):
        ours, rest = error.split(TocsinError)
        if rest is not None or ours is None:
            return None
        return _first_of_ours(ours.exceptions[0])
    return error if isinstance(error, TocsinError) else None


def _exit_code(error: TocsinError) -> int:
    if isinstance(error, Refused):
        return EXIT_REFUSED
    return EXIT_UNAVAILABLE if isinstance(error, Unavailable) else EXIT_BROKEN


def say(as_json: bool, fields: dict[str, Any], prose: str) -> None:
    """Print the fields as JSON, or the prose."""
    click.echo(json.dumps(fields) if as_json else prose)
