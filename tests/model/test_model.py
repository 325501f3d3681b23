"""The rules of signing and counting hold in every trace that is tried, and each rule is needed."""

from __future__ import annotations

import re

import pytest

from tests.model.simulator import MODELS, SAMPLES_OF, STEPS_OF, names_in_section, simulate

BROKEN_TRACES, BROKEN_STEPS = 700, 25


@pytest.mark.parametrize("model", STEPS_OF)
def test_every_invariant_holds_in_thousands_of_traces_that_reach_a_pause(model: str) -> None:
    possible = names_in_section(model, "what must be possible")
    *invariants, safe = names_in_section(model, "what must hold")

    run = simulate(model, traces=SAMPLES_OF[model], invariants=(safe,), witnesses=possible)

    assert len(invariants) >= 4
    assert run.fallen == (), run.said
    assert set(run.witnessed) == set(possible) >= {"somethingIsPaused"}
    assert all(run.witnessed.values()), (
        f"this was never reached, so the invariants say little: {run.witnessed}"
    )


@pytest.mark.parametrize("model", STEPS_OF)
def test_with_any_rule_broken_an_invariant_falls(model: str) -> None:
    consequences = names_in_section(model, "what falls with which rule")

    run = simulate(
        model, begin="breakAnyRule", traces=BROKEN_TRACES, steps=BROKEN_STEPS, witnesses=consequences
    )

    assert set(run.witnessed) == set(consequences)
    assert all(run.witnessed.values()), run.witnessed


@pytest.mark.parametrize("model", STEPS_OF)
def test_each_rule_of_a_model_has_a_consequence_that_is_looked_for(model: str) -> None:
    text = (MODELS / f"{model}.qnt").read_text()
    (rules,) = re.findall(r"RULES: Set\[str\] =\s+Set\(([^)]+)\)", text)

    looked_for = set(re.findall(r"broken == (\w+) and not", text))

    assert looked_for == {rule.strip() for rule in rules.split(",")}


def test_a_watcher_that_forgets_on_restart_is_caught_by_name() -> None:
    run = simulate(
        "signing",
        begin="forgetOnRestart",
        traces=BROKEN_TRACES,
        steps=BROKEN_STEPS,
        invariants=("isConsistent", "honestNeverEquivocate"),
    )

    assert run.fallen == ("honestNeverEquivocate",), run.said
