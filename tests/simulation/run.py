"""One seed, one run: a network is drawn, faults and liars with it, and its properties are checked.

Checked all the time, by who watches: no level without its true weight, no certificate that does not verify,
no honest operator banned. Checked at the end: no honest key signed two alerts for one slot and none is
accused, every real incident is certified at every honest watcher, all that is kept is bounded.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

from consensus.alert import Alert, Level
from consensus.certificate import encode_certificate, meets, verify_certificate
from consensus.partial import compute_signers, compute_weight
from consensus.types import Bps, OperatorIndex, SlotId
from tests.simulation.ideal_bls import ideal_curve
from tests.simulation.liar import Liars
from tests.simulation.members import make_claim, make_members
from tests.simulation.watcher import Shape, Watcher
from tests.simulation.world import Faults, Violation, World

REAL_CURVE_EVERY = 50
"""Each so many-th seed runs on the real curve."""

CALM_MS = 10_000
"""From here on nothing is cut or lost and everybody is up; links still repeat and overtake."""

END_MS = 22_000
"""By when everybody must be level again: who lost an answer asks the same peer again after eight seconds, at
its next round of comparing."""

_SIZES = (4, 4, 5, 5, 6, 7, 7, 7, 8, 10, 10, 13, 20)
_PROFILES: tuple[Callable[[int], int], ...] = (
    lambda _index: 1_000,
    lambda index: 500 + 400 * (index % 3),
    lambda index: 100 + 10 * index * index,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one run was, and what it took."""

    seed: int
    operators: int
    liars: int
    is_real: bool
    incidents: int
    messages: int
    certified: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a seed draws before the first event."""

    weights: tuple[int, ...]
    liars: frozenset[int]
    shape: Shape
    is_real: bool

    @classmethod
    def draw(cls, seed: int) -> Plan:
        draw = random.Random(f"plan {seed}")
        weights = tuple(map(draw.choice(_PROFILES), range(draw.choice(_SIZES))))
        return cls(
            weights=weights,
            liars=_draw_liars(draw, weights),
            shape=Shape(radix=draw.choice((2, 3, 8)), direct_up_to=draw.choice((3, 16))),
            is_real=seed % REAL_CURVE_EVERY == REAL_CURVE_EVERY - 1,
        )


def run(seed: int, *, watcher: type[Watcher] = Watcher) -> Report:
    """Simulate one seed. Raises Violation when a property falls."""
    plan = Plan.draw(seed)
    curve: AbstractContextManager[None] = nullcontext() if plan.is_real else ideal_curve()
    with curve:
        return _run(seed, plan, watcher)


def _run(seed: int, plan: Plan, watcher_type: type[Watcher]) -> Report:
    operator_set = make_members(plan.weights, is_real=plan.is_real)
    world = World(seed, operator_set, is_real=plan.is_real)
    draw, count = world.random, len(plan.weights)
    incidents = {
        alert.slot_id(): alert
        for alert in (make_claim(operator_set, slot, "real") for slot in range(draw.choice((1, 1, 2))))
    }
    watchers = [
        watcher_type(index, world, shape=plan.shape, liars=plan.liars, view=incidents.get)
        for index in range(count)
        if index not in plan.liars
    ]
    liars = Liars(sorted(plan.liars), world)
    cut_from = draw.randrange(5_000)
    world.faults = Faults(
        lost=draw.choice((0, 0.02, 0.2)),
        repeated=draw.choice((0, 0.1)),
        cut_from=cut_from,
        cut_until=draw.choice((cut_from, cut_from + draw.randrange(5_000))),
        cut_off=frozenset(draw.sample(range(count), k=draw.randint(1, count - 1))),
    )
    world.at(world.faults.cut_until, lambda: _reconnect(watchers, world))
    for alert in incidents.values():
        start = draw.randrange(4_000)
        for each in watchers:
            when = start + draw.choice((0, draw.randrange(200), draw.randrange(3_000)))
            world.at(when, lambda each=each, alert=alert: each.observe(alert))  # type: ignore[misc]
        liars.plot(alert, around=start)
    changed = _plan_crashes(watchers, world, incidents)

    world.run(CALM_MS)
    world.faults = replace(world.faults, lost=0.0)
    world.run(END_MS)

    _check_end(watchers, world, plan.liars)
    certified = _check_certified(watchers, world, incidents, changed)
    return Report(
        seed=seed,
        operators=count,
        liars=len(plan.liars),
        is_real=plan.is_real,
        incidents=len(incidents),
        messages=world.messages,
        certified=certified,
    )


def _draw_liars(draw: random.Random, weights: tuple[int, ...]) -> frozenset[int]:
    """As many as chance wills, of less than a third of the stake together."""
    liars: set[int] = set()
    for index in draw.sample(range(len(weights)), k=draw.randint(0, len(weights))):
        if 3 * sum(weights[each] for each in (*liars, index)) < sum(weights):
            liars.add(index)
    return frozenset(liars)


def _plan_crashes(
    watchers: list[Watcher], world: World, incidents: dict[SlotId, Alert]
) -> set[OperatorIndex]:
    """Some watchers crash and come back; of those, some find another thing at the same block than before."""
    draw, changed = world.random, set()
    for watcher in watchers:
        if draw.random() > 0.3:
            continue
        down = draw.randrange(8_000)
        up = min(CALM_MS, down + draw.randrange(100, 5_000))
        finds_other = draw.random() < 0.4
        if finds_other:
            changed.add(watcher.index)
        world.at(down, watcher.stop)
        world.at(up, lambda watcher=watcher, other=finds_other: _restart(watcher, world, incidents, other))  # type: ignore[misc]
    return changed


def _restart(watcher: Watcher, world: World, incidents: dict[SlotId, Alert], finds_other: bool) -> None:
    watcher.start()
    for other in range(len(world.operator_set.operators)):
        if other != watcher.index:
            _greet_back(world, other, watcher.index)
    if not finds_other:
        for alert in incidents.values():
            if alert.slot_id() in watcher.disk.journal:
                watcher.observe(alert)
        return
    slots = {alert.slot_id(): int(alert.slot.anchor_number) for alert in incidents.values()}
    others = {slot: make_claim(world.operator_set, number, "other") for slot, number in slots.items()}
    watcher.view = lambda slot: others.get(slot) if slot in watcher.disk.journal else incidents.get(slot)
    for alert in others.values():
        # what it signed before stands in its journal, unless it forgets
        if world.truth.digests[watcher.index, alert.slot_id()]:
            watcher.observe(alert)


def _greet_back(world: World, other: int, index: int) -> None:
    greet = world.greeters.get(other)
    if greet is not None and world.is_up(other):
        greet(index)


def _reconnect(watchers: list[Watcher], world: World) -> None:
    for watcher in watchers:
        for other in range(len(world.operator_set.operators)):
            if other != watcher.index and (watcher.index in world.faults.cut_off) != (
                other in world.faults.cut_off
            ):
                watcher.greet(other)


def _check_end(watchers: list[Watcher], world: World, liars: frozenset[int]) -> None:
    for (index, _slot), digests in world.truth.digests.items():
        if index not in liars and len(digests) > 1:
            raise Violation(f"honest operator {index} signed {len(digests)} alerts for one slot")
    for watcher in watchers:
        if watcher.accused & ~compute_signers(liars):
            raise Violation(f"watcher {watcher.index} accuses an honest operator")
        watcher.check_bounds()


def _check_certified(
    watchers: list[Watcher],
    world: World,
    incidents: dict[SlotId, Alert],
    changed: set[OperatorIndex],
) -> int:
    """Every real incident is certified at everybody, if those who could sign it weigh over two thirds."""
    operator_set, certified = world.operator_set, 0
    able = compute_signers(each.index for each in watchers if each.index not in changed)
    if not meets(compute_weight(able, operator_set), operator_set.total_weight, 2, 3):
        return 0
    for alert in incidents.values():
        for watcher in watchers:
            if Level.PAUSE not in watcher.tally.levels(alert.digest()):
                raise Violation(
                    f"watcher {watcher.index} has no quorum for a real incident: "
                    f"{watcher.tally.weight(alert.digest())} of {operator_set.total_weight}"
                )
        certificate = watchers[0].tally.certificate(alert.digest())
        assert certificate is not None
        verify_certificate(
            encode_certificate(certificate),
            digest=alert.digest(),
            epoch=operator_set.epoch,
            header_hash=operator_set.header_hash(),
            threshold_bps=Bps(6_666),
        )
        certified += 1
    return certified
