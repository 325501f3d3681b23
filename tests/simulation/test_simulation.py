"""Networks under seeded faults: some hundred here, ten thousand by `make simulate`."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.simulation import many
from tests.simulation.__main__ import main
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.run import REAL_CURVE_EVERY, Report, run
from tests.simulation.world import Violation

BLOCKS, SEEDS_PER_BLOCK = 8, 25


@pytest.mark.parametrize("block", range(BLOCKS))
def test_no_seed_breaks_a_property(block: int) -> None:
    for seed in range(block * SEEDS_PER_BLOCK, (block + 1) * SEEDS_PER_BLOCK):
        try:
            run(seed)
        except Violation as violation:
            pytest.fail(f"SEED={seed} {violation}")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_a_broken_rule_is_found_within_its_seeds(mutant: Mutant) -> None:
    with mutant.break_it():
        assert any(is_found(mutant, seed) for seed in range(mutant.within_seeds))


def is_found(mutant: Mutant, seed: int) -> bool:
    try:
        run(seed, watcher=mutant.watcher)
    except Violation:
        return True
    return False


def test_a_seed_is_a_run() -> None:
    assert run(7) == run(7)
    assert run(REAL_CURVE_EVERY - 1).is_real


def test_one_seed_is_replayed_by_its_number(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "3"]) == 0

    assert json.loads(capsys.readouterr().out)["seed"] == 3


def test_the_seed_of_a_failure_is_printed_and_the_exit_code_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_at_two(seed: int) -> Report:
        if seed == 2:
            raise Violation("it fell")
        return run(seed)

    monkeypatch.setattr(many, "run", fail_at_two)
    monkeypatch.setattr(many, "ProcessPoolExecutor", lambda jobs, **_: ThreadPoolExecutor(1))

    assert many.run_many(range(4), jobs=1) == 1

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("SEED=2 Violation: it fell")
    assert json.loads(lines[1])["failed"] == 1
