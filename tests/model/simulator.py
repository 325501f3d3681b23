"""Runs the models of docs/model in Quint's simulator, and says what it saw.

    python -m tests.model.simulator --traces 100000 --seed 7

prints a JSON line for each model and leaves with 1 where an invariant fell. The tool comes with `make setup`
(tests/npm); Apalache, which would try every trace of some length, is no npm package.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from consensus.errors import Broken, Unavailable

REPOSITORY = Path(__file__).resolve().parents[2]
MODELS = REPOSITORY / "docs" / "model"
QUINT = (
    REPOSITORY / "tests" / "npm" / "node_modules" / "@informalsystems" / "quint" / "dist" / "src" / "cli.js"
)
SAMPLES_OF = {"signing": 5_000, "counting": 2_000}
STEPS_OF = {"signing": 15, "counting": 10}
"""Long enough that a pause is reached in some traces: the tests look."""

_WITNESS = re.compile(r"^(\w+) was witnessed in (\d+) trace", re.MULTILINE)
_FALLEN = re.compile(r"^ *❌ (\w+)$", re.MULTILINE)
_SECTION = re.compile(r"^  // --- (.+)$", re.MULTILINE)
_VALUE = re.compile(r"^  val (\w+) =", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """What one run saw.

    `fallen` are the invariants that did not hold in some trace (the run ends there); `witnessed` counts the
    traces in which a property was true at least once.
    """

    model: str
    begin: str
    seed: int
    traces: int
    fallen: tuple[str, ...]
    witnessed: dict[str, int]
    said: str


def names_in_section(model: str, title: str) -> tuple[str, ...]:
    """The properties that stand below a heading of a model's file, in its order."""
    text = (MODELS / f"{model}.qnt").read_text()
    parts = _SECTION.split(text)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    found = next((body for heading, body in sections.items() if heading.startswith(title)), None)
    if found is None:
        raise Broken(
            f"{model}.qnt has the sections {list(sections)}; expected one that begins with {title!r}"
        )
    return tuple(_VALUE.findall(found))


def simulate(
    model: str,
    *,
    begin: str = "init",
    traces: int,
    steps: int | None = None,
    seed: int = 1,
    invariants: tuple[str, ...] = (),
    witnesses: tuple[str, ...] = (),
) -> Simulated:
    """Run `traces` random traces from `begin`. Raises `Unavailable` where the tool is not installed."""
    if not QUINT.exists():
        raise Unavailable("the simulator is not installed; run `make setup`, which installs tests/npm")
    command = ["node", str(QUINT), "run", f"{model}.qnt", f"--main={model}", "--backend=typescript"]
    command += [f"--init={begin}", f"--max-samples={traces}", f"--max-steps={steps or STEPS_OF[model]}"]
    command += [f"--seed={seed}", "--verbosity=1"]
    command += ["--invariants", *invariants] if invariants else []
    command += ["--witnesses", *witnesses] if witnesses else []
    ended = subprocess.run(command, cwd=MODELS, capture_output=True, text=True, check=False)
    fallen = tuple(_FALLEN.findall(ended.stdout))
    if ended.returncode != 0 and not fallen:
        raise Broken(f"quint ended with {ended.returncode}: {ended.stdout[-600:]}{ended.stderr[-600:]}")
    return Simulated(
        model=model,
        begin=begin,
        seed=seed,
        traces=traces,
        fallen=fallen,
        witnessed={name: int(count) for name, count in _WITNESS.findall(ended.stdout)},
        said=ended.stdout,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--traces", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    has_fallen = False
    for model in STEPS_OF:
        run = simulate(
            model,
            traces=arguments.traces,
            seed=arguments.seed,
            invariants=names_in_section(model, "what must hold")[:-1],
            witnesses=names_in_section(model, "what must be possible"),
        )
        line = {key: value for key, value in asdict(run).items() if key != "said"}
        print(json.dumps({"metric": "model", **line}), flush=True)
        if run.fallen:
            has_fallen = True
            print(run.said, file=sys.stderr)
    sys.exit(has_fallen)


if __name__ == "__main__":
    main()
