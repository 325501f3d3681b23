"""Networks under seeded faults: some hundred here, ten thousand by `make simulate`."""

import pytest

from tests.simulation.__main__ import main
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.run import REAL_CURVE_EVERY, run
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


def test_the_seeds_of_failures_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "3"]) == 0

    assert '"seed": 3' in capsys.readouterr().out
