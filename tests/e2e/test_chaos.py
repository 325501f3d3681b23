"""A short seeded run of tests/chaos: one watcher is killed, the network is cut in two, one equivocates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from node.devnet.network import Conduct
from tests.chaos.plan import FaultKind, make_plan
from tests.chaos.play import play

SEED = 34  # by which the operator that misbehaves equivocates
KINDS = (FaultKind.KILL, FaultKind.PARTITION)


async def test_a_killed_watcher_and_a_partition_cost_time_and_nothing_else_while_one_of_four_equivocates(
    tmp_path: Path,
) -> None:
    plan = make_plan(SEED, 4, kinds=KINDS)
    assert list(plan.conduct).count(Conduct.EQUIVOCATE) == 1
    told: list[dict[str, Any]] = []

    outcome = await play(plan, directory=tmp_path / "network", rounds=len(KINDS), tell=told.append)

    assert outcome.is_clean, (plan.seed, told)
    assert [each.fault for each in outcome.rounds] == list(plan.first(len(KINDS)))
    assert {each.fault.kind for each in outcome.rounds} == set(KINDS)
    assert all(each.skipped is None and each.recovered_seconds is not None for each in outcome.rounds)
    # an attack under each fault and one after it, signed by three and answered
    assert outcome.acts >= 2 * len(KINDS)
    assert outcome.signatures >= 3 * 2 * len(KINDS)
    assert [line["line"] for line in told if line["line"] in ("fault", "verdict")] == ["fault", "verdict"] * 2
