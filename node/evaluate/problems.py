"""What is wrong with a policy: every problem that was found, each with its place in the file."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from consensus.errors import Reason, Refused

MAX_PROBLEMS: Final = 100
"""After so many no more is looked for: nobody reads them, and a hostile file could ask for thousands."""
_MOST_CANDIDATES: Final = 1_024
_LONGEST_NAME: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A place in a file; line and column count from 1. `file` is empty where the text came without one."""

    file: str = ""
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file} line {self.line}" if self.file else f"line {self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong: where, under which name, and what to write instead."""

    place: Place
    path: str
    message: str
    reason: Reason = Reason.POLICY_INVALID

    def sentence(self) -> str:
        """`line 3: rules.watch: what is wrong`, without the file."""
        named = f"{self.path}: " if self.path else ""
        return f"line {self.place.line}: {named}{self.message}"


class DocumentRefused(Refused):
    """A document that cannot be read; reason and message are those of the first of its `problems`."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        first = problems[0]
        further = len(problems) - 1
        more = f" ({further} more: `tocsin policy check` lists them)" if further else ""
        super().__init__(first.reason, first.sentence() + more)
        self.problems = problems

    @classmethod
    def of(cls, problem: Problem) -> DocumentRefused:
        return cls((problem,))

    def __reduce__(self) -> tuple[type[DocumentRefused], tuple[tuple[Problem, ...]]]:  # type: ignore[override]
        return type(self), (self.problems,)


class _EnoughError(Exception):
    """As many problems as are reported; never leaves this module."""


class Problems:
    """Collects what is wrong while reading goes on."""

    def __init__(self) -> None:
        self._found: list[Problem] = []

    def add(self, refused: DocumentRefused) -> None:
        self._found.extend(refused.problems)
        if len(self._found) >= MAX_PROBLEMS:
            raise _EnoughError

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Take what is refused within the block, which ends there, and go on behind it."""
        try:
            yield
        except DocumentRefused as refused:
            self.add(refused)

    def settle(self) -> None:
        """Raise `DocumentRefused` if anything was found so far."""
        if self._found:
            raise DocumentRefused(tuple(self._found[:MAX_PROBLEMS]))


@contextmanager
def collected() -> Iterator[Problems]:
    """Problems of one reading; at the block's end they are raised together as `DocumentRefused`."""
    problems = Problems()
    with suppress(_EnoughError):
        yield problems
    problems.settle()


def did_you_mean(name: str, known: Collection[str]) -> str:
    """` (did you mean `x`?)` for the nearest known name, or nothing where none is near."""
    if len(name) > _LONGEST_NAME or len(known) > _MOST_CANDIDATES:
        return ""
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return f" (did you mean `{near[0]}`?)" if near else ""
