"""A campaign: every mutant, or a sample, against the tests; what lived, and what is argued about it."""

from __future__ import annotations

import json
import random
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from queue import SimpleQueue

from results import CONTRACTS

from mutation.bench import Bench
from mutation.mutants import Mutant, find_modifiers, find_mutants

ARGUED = CONTRACTS / "test" / "mutants-argued.toml"


class Fate(StrEnum):
    """What became of a mutant. Only the dead and the living count."""

    KILLED = "killed"
    SURVIVED = "survived"
    INVALID = "does not compile"
    SAME = "same bytes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One mutant's fate; `by` names the test that failed, `why` the argument for one that lives."""

    mutant: Mutant
    fate: Fate
    by: str = ""
    why: str = ""
    seconds: float = 0

    def line(self) -> str:
        mutant = asdict(self.mutant)
        return json.dumps(
            {"name": self.mutant.name, **mutant, "fate": self.fate, "by": self.by, "why": self.why,
             "seconds": round(self.seconds, 2)},
            ensure_ascii=False,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """Why a mutant may live: it can do nothing that the original cannot. `text` and `change` say which."""

    file: str
    text: str
    change: str
    why: str

    def is_about(self, mutant: Mutant) -> bool:
        return (self.file, self.text, self.change) == (mutant.file, mutant.text, mutant.change)


def read_arguments(path: Path = ARGUED) -> list[Argument]:
    if not path.exists():
        return []
    return [Argument(**entry) for entry in tomllib.loads(path.read_text()).get("argued", [])]


def read_verdicts(path: Path) -> dict[str, Verdict]:
    """What an earlier run wrote, by the mutants' names; nothing where there was none."""
    if not path.exists():
        return {}
    verdicts = {}
    for line in path.read_text().splitlines():
        entry = json.loads(line)
        told = {name: entry.pop(name) for name in ("by", "why", "seconds")}
        name, fate = entry.pop("name"), Fate(entry.pop("fate"))
        verdicts[name] = Verdict(mutant=Mutant(**entry), fate=fate, **told)
    return verdicts


def collect(pattern: str = "src/**/*.sol") -> list[Mutant]:
    """All mutants of the files that match, in a fixed order."""
    sources = {path: path.read_text() for path in sorted(CONTRACTS.glob("src/**/*.sol"))}
    # Solady's and OpenZeppelin's owner modifier beside our own.
    modifiers = find_modifiers(list(sources.values())) | {"onlyOwner"}
    chosen = set(CONTRACTS.glob(pattern))
    return [
        mutant
        for path, source in sources.items()
        if path in chosen
        for mutant in find_mutants(path.relative_to(CONTRACTS).as_posix(), source, modifiers)
    ]


def sample(mutants: list[Mutant], size: int, seed: int) -> list[Mutant]:
    """`size` mutants, from each file in proportion to what it has, and at least one of each."""
    if size >= len(mutants):
        return mutants
    by_file: dict[str, list[Mutant]] = {}
    for mutant in mutants:
        by_file.setdefault(mutant.file, []).append(mutant)
    chance = random.Random(seed)
    chosen: list[Mutant] = []
    for of_file in by_file.values():
        share = max(1, round(size * len(of_file) / len(mutants)))
        chosen += chance.sample(of_file, min(share, len(of_file)))
    return sorted(chosen, key=lambda mutant: (mutant.file, mutant.start))


def judge(bench: Bench, mutant: Mutant) -> Verdict:
    """One mutant on one bench: the tests that reach it, a few first, until one fails."""
    started = time.monotonic()

    def verdict(fate: Fate, by: str = "") -> Verdict:
        return Verdict(mutant=mutant, fate=fate, by=by, seconds=time.monotonic() - started)

    source = mutant.apply((bench.folder / mutant.file).read_text())
    fate = Fate.SAME
    for tests in bench.tests_of(mutant.file):
        compiled = bench.compile(mutant.file, source, tests)
        if compiled is None:
            return verdict(Fate.INVALID)
        try:
            if not bench.install(compiled):
                continue
            fate = Fate.SURVIVED
            failures = bench.run_tests(mutant.file, tests)
        finally:
            bench.restore(compiled)
        if failures:
            return verdict(Fate.KILLED, failures[0])
    return verdict(fate)


def run(
    mutants: list[Mutant],
    arguments: list[Argument],
    *,
    workers: int,
    folder: Path,
    known: Mapping[str, Verdict],
    trusts: bool,
    report: Callable[[Verdict], None],
) -> list[Verdict]:
    """All verdicts, in the order of `mutants`; `report` gets each as it falls, from one thread at a time.

    A mutant in `known` is not tried again, unless it lived without an argument. With `trusts` what
    is argued counts as living, untried: too many such arguments lower the share, and never raise it.
    """
    benches: SimpleQueue[Bench] = SimpleQueue()
    first = Bench(folder / "bench-0" / "contracts")
    first.prepare()
    for verdict in known.values():
        first.remember(verdict.mutant.file, verdict.by)
    made = [first] + [first.twin(folder / f"bench-{number}" / "contracts") for number in range(1, workers)]
    with ThreadPoolExecutor(workers) as pool:
        try:
            for bench in made:
                benches.put(bench)

            def judge_next(mutant: Mutant) -> Verdict:
                why = next((each.why for each in arguments if each.is_about(mutant)), "")
                before = known.get(mutant.name)
                if before is not None and (before.fate is not Fate.SURVIVED or why):
                    return replace(before, mutant=mutant, why=why if before.fate is Fate.SURVIVED else "")
                if why and trusts:
                    return Verdict(mutant=mutant, fate=Fate.SURVIVED, why=why)
                bench = benches.get()
                try:
                    found = judge(bench, mutant)
                finally:
                    benches.put(bench)
                if found.fate is not Fate.SURVIVED:
                    return found
                return replace(found, why=why)

            verdicts = []
            for verdict in pool.map(judge_next, mutants):
                report(verdict)
                verdicts.append(verdict)
            return verdicts
        finally:
            for bench in made:
                bench.compiler.close()


def share_killed(verdicts: list[Verdict]) -> float:
    """Killed, of those that count. An argument does not make a mutant count less."""
    fates = Counter(verdict.fate for verdict in verdicts)
    counted = fates[Fate.KILLED] + fates[Fate.SURVIVED]
    return fates[Fate.KILLED] / counted if counted else 1.0


def figures(verdicts: list[Verdict]) -> dict[str, dict[str, int]]:
    """How many died, lived, and of those are argued, by the room of src that they stand in."""
    rooms: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        rooms.setdefault(verdict.mutant.file.split("/")[1], []).append(verdict)
    counted = {}
    for room, those in sorted(rooms.items()):
        fates = Counter(verdict.fate for verdict in those)
        counted[room] = {
            "killed": fates[Fate.KILLED],
            "survived": fates[Fate.SURVIVED],
            "argued": sum(1 for verdict in those if verdict.why),
        }
    return counted


def stale(arguments: list[Argument], verdicts: list[Verdict]) -> list[Argument]:
    """Arguments about mutants that do not live."""
    living = [verdict.mutant for verdict in verdicts if verdict.fate is Fate.SURVIVED]
    return [each for each in arguments if not any(each.is_about(mutant) for mutant in living)]


def table(verdicts: list[Verdict]) -> Iterator[str]:
    """One line per file, and one for all, as Markdown."""
    yield "| file | killed | survived | of which argued | share killed | does not compile | same bytes |"
    yield "|---|--:|--:|--:|--:|--:|--:|"
    for name in [*dict.fromkeys(verdict.mutant.file for verdict in verdicts), "all"]:
        chosen = [verdict for verdict in verdicts if name in (verdict.mutant.file, "all")]
        fates = Counter(verdict.fate for verdict in chosen)
        cells = (
            name,
            fates[Fate.KILLED],
            fates[Fate.SURVIVED],
            sum(1 for verdict in chosen if verdict.why),
            f"{share_killed(chosen):.1%}",
            fates[Fate.INVALID],
            fates[Fate.SAME],
        )
        yield "| " + " | ".join(map(str, cells)) + " |"


def progress(verdict: Verdict) -> str:
    """What the terminal shows of one verdict."""
    mutant = verdict.mutant
    where = f"{mutant.file}:{mutant.line} {mutant.operator}: {mutant.change[:60]}"
    fate = f"{verdict.fate} by {verdict.by}" if verdict.by else verdict.fate
    return f"{where}: {fate}{', argued' if verdict.why else ''} ({verdict.seconds:.1f} s)"
