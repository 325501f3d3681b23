"""The catalogue case by case: for every detector one true case, one near miss, one benign.

A detector that stands in a catalogue or in the tables of docs/detectors.md and has no triple fails here. What
each looks at in detail, and where its bounds lie, is in the tests beside this one.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from node.bridge import Burn, Release
from node.detect.bridge_mismatch import Backing
from node.detect.catalogue import CATALOGUE
from node.detect.detector import Detector
from node.detect.new_contract import NAME as NEW_CONTRACT
from node.detect.pending_drain import NAME as PENDING_DRAIN
from node.detect.series.catalogue import SERIES_CATALOGUE
from node.detect.series.detector import SeriesDetector
from node.detect.series.finding import Finding, Hint, Proposal
from node.evaluate.engine import Engine
from node.evaluate.findings import Finding as RuleFinding
from node.evaluate.policy import Policy
from node.evaluate.vocabulary import RULE_KINDS
from node.pending import Simulation
from node.trace import TransactionTrace
from tests.detect.series import play
from tests.detect.test_bridge_mismatch import burn, claim, judged, release
from tests.detect.test_detectors import (
    around,
    initialisation,
    mint,
    nested,
    repeated,
    setting,
    subtraction,
    touching,
    train,
)
from tests.detect.test_new_contract import BORROW as BORROW_FUNCTION
from tests.detect.test_new_contract import LOAN, POOL, SEIZE, TOKEN, code_of
from tests.detect.test_new_contract import judged as judged_code
from tests.detect.test_patterns import borrowing, loan
from tests.detect.test_pending_drain import DETECTOR as PENDING
from tests.detect.test_pending_drain import simulation
from tests.detect.test_series_detectors import (
    PEAK,
    POINTS_OF_A_DAY,
    daily,
    held,
    lent,
    noise,
    owed,
    pool,
    priced,
    volumes,
    walked,
)
from tests.detect.traces import (
    BORROW,
    DEPOSIT,
    SHARE,
    WITHDRAW,
    call,
    deposit,
    make_transaction,
    read,
    transfer,
    withdrawal,
    write,
)
from tests.evaluate.policies import make_drain_policy, make_policy
from tests.evaluate.recorded import make_chain

DOCS = Path(__file__).resolve().parents[2] / "docs" / "detectors.md"

Speaks = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Triple:
    """Whether a detector speaks of an attack, of what nearly is one, and of what people do every day."""

    true: Speaks
    near: Speaks
    benign: Speaks


def told(what: Callable[[], object]) -> Speaks:
    async def speaks() -> bool:
        return bool(what())

    return speaks


# ---------------------------------------------------------------------- one transaction


def of_traces(
    make: Callable[[], Detector],
    past: Iterable[TransactionTrace],
    *,
    true: TransactionTrace,
    near: TransactionTrace,
    benign: TransactionTrace,
) -> Triple:
    """A trace detector that has learned `past`."""
    learned = tuple(past)

    def judging(transaction: TransactionTrace) -> Speaks:
        def judge() -> bool:
            detector = make()
            train(detector, learned)
            return detector.judge(transaction) is not None

        return told(judge)

    return Triple(judging(true), judging(near), judging(benign))


def made(name: str, **parameters: int) -> Callable[[], Detector]:
    return lambda: CATALOGUE[name](**parameters)


def lending(first: Sequence[Any], second: Sequence[Any]) -> TransactionTrace:
    """A deposit, then a withdrawal of which `second` tells what it reads and writes."""
    return make_transaction(
        call(DEPOSIT, span=(10, 20), accesses=first), call(WITHDRAW, span=(30, 40), accesses=second)
    )


USUAL = [deposit(100, block=n) for n in range(1, 30)]
THIRDS = [deposit(1_000, block=1), *(withdrawal(100, block=1_000 + n) for n in range(3))]

TRACES = {
    "novel_flow": of_traces(
        made("novel_flow"),
        [deposit(), withdrawal(10)],
        true=lending([write(7)], [read(7), write(8)]),
        near=lending([write(7)], [read(9), write(8)]),  # the same calls, and none needs the other
        benign=deposit(),
    ),
    "contract_caller": of_traces(
        made("contract_caller", least_direct_calls=8),
        [*USUAL, make_transaction(call(BORROW))],
        true=make_transaction(call(DEPOSIT)),
        near=make_transaction(call(BORROW)),  # a contract too, by the function that contracts call
        benign=deposit(),
    ),
    "interface_probing": of_traces(
        made("interface_probing", rare_calls=3, least_times=1_000, blocks=100),
        [*USUAL, borrowing(7, block=50)],
        true=borrowing(7_000, block=60),
        near=borrowing(6_999, block=60),
        benign=deposit(100, block=60),
    ),
    "repetition_burst": of_traces(
        made("repetition_burst", least_calls=6),
        [repeated(5)],
        true=repeated(10),
        near=repeated(9),
        benign=repeated(3),
    ),
    "reentrancy": of_traces(
        made("reentrancy"),
        [nested(DEPOSIT)],
        true=nested(BORROW),
        near=make_transaction(call(WITHDRAW, span=(10, 20)), call(BORROW, span=(30, 40))),
        benign=nested(DEPOSIT),
    ),
    "balance_drain": of_traces(
        made("balance_drain", least_bps=3_000, dust_bps=500),
        [deposit(1_000)],
        true=withdrawal(300),
        near=withdrawal(299),
        benign=deposit(10_000),
    ),
    "slow_drain": of_traces(
        made("slow_drain", least_bps=3_000, dust_bps=500),
        THIRDS,
        true=withdrawal(100, block=1_003),
        near=withdrawal(100, block=1_301),  # as much, and an hour later
        benign=deposit(100, block=1_003),
    ),
    "volume_record": of_traces(
        made("volume_record", least_bps=20_000, least_movements=8),
        USUAL,
        true=deposit(200),
        near=deposit(199),
        benign=deposit(100),
    ),
    "round_trip": of_traces(
        made("round_trip", least_bps=5),
        [deposit(10_000)],
        true=around(5_000, 5_100),
        near=around(5_000, 5_004),
        benign=around(5_000, 5_100, transfer(95, token=SHARE)),  # a sale: something else came in
    ),
    "flash_loan": of_traces(
        made("flash_loan", fee_bps=100, least_bps=100),
        [deposit(10_000)],
        true=loan(repaid=1_000, taken=500),
        near=loan(repaid=999, taken=500),
        benign=withdrawal(5_000),
    ),
    "mint_anomaly": of_traces(
        made("mint_anomaly", least_bps=2_000, least_mints=4),
        [mint(100, transfer(100)) for _ in range(4)],
        true=mint(80),
        near=mint(79),
        benign=mint(400, transfer(400)),
    ),
    "privileged_change": of_traces(
        made("privileged_change", cold_calls=16, least_slots=2),
        [initialisation(), *(touching(7) for _ in range(50))],
        true=initialisation(),
        near=touching(2),  # one setting alone
        benign=touching(7),
    ),
    "storage_record": of_traces(
        made("storage_record", least_bps=20_000, least_writes=16),
        [setting(1_000) for _ in range(16)],
        true=setting(2_000),
        near=setting(1_999),
        benign=setting(900),
    ),
    "wrapped_number": of_traces(
        made("wrapped_number"),
        USUAL,
        true=subtraction(5, 2**256 - 95),
        near=subtraction(5, 2**256 - 1),  # an approval without a limit
        benign=subtraction(95, 5),
    ),
}

# ---------------------------------------------------------------------- signals over time

Readings = Sequence[Mapping[str, int | Sequence[int]]]
SERIES_PASTS: dict[str, tuple[Callable[[], SeriesDetector], Readings, Readings]] = {}
"""Each series detector, what it is shown first, and an attack."""


def of_series(
    make: Callable[[], SeriesDetector],
    past: Readings,
    *,
    true: Readings,
    near: Readings,
    benign: Readings,
    seconds: int = 12,
) -> Triple:
    """A series detector that has been shown `past`, a point each so many seconds: whether it then says more
    than it ever said before."""

    SERIES_PASTS[make().name] = (make, past, true)

    def judging(readings: Readings) -> Speaks:
        def judge() -> bool:
            said = play(make(), [*past, *readings], seconds=seconds)
            return max(map(_strength, said[len(past) :])) > max(map(_strength, said[: len(past)]), default=0)

        return told(judge)

    return Triple(judging(true), judging(near), judging(benign))


def _strength(said: Finding | Hint | Proposal | None) -> int:
    match said:
        case Finding():
            return said.score
        case Hint():
            return 1
        case Proposal():
            return said.step
        case None:
            return 0


def gauge(name: str, **parameters: int) -> Callable[[], SeriesDetector]:
    return lambda: SERIES_CATALOGUE[name](**parameters)


SHIFT = {"memory": 500, "warmup": 100, "slack_bps": 10_000, "interval": 20}
LENT = lent(noise(500, around=6_000, spread=20))
POOLED = pool(*noise(500, around=5_000, spread=60, seed=4))
CALM_PRICES = walked((0.001, 600))

SERIES = {
    "abnormal_volume": of_series(
        gauge("abnormal_volume", memory=500, warmup=100, least_deviation=10_000),
        volumes(1_000),
        true=volumes(0, 10**11),
        near=volumes(0, 2 * 10**9),
        benign=volumes(0, 5 * 10**8),
    ),
    "hourly_volume": of_series(
        gauge("hourly_volume", days=1, memory=100, warmup=12, least_deviation=10_000),
        daily(range(5 * POINTS_OF_A_DAY)),
        true=daily([PEAK]),  # at midnight what is usual at noon
        near=daily([PEAK // 8]),  # at midnight what is usual at half past one
        benign=daily(range(5 * POINTS_OF_A_DAY, 6 * POINTS_OF_A_DAY)),
        seconds=300,
    ),
    "utilisation_shift": of_series(
        gauge("utilisation_shift", **SHIFT, least_deviation=5, most_bps=9_500),
        LENT,
        true=lent([6_000 + 12 * n for n in range(40)]),
        near=lent(noise(40, around=6_012, spread=20)),  # a shift below the slack
        benign=lent([6_000 - 12 * n for n in range(40)]),
    ),
    "bad_debt": of_series(
        gauge("bad_debt", most_bps=10, points=3),
        owed(0, 0),
        true=owed(11, 12, 13),
        near=owed(11, 12, 0),
        benign=owed(10, 10, 10),
    ),
    "oracle_deviation": of_series(
        gauge("oracle_deviation", most_bps=200, least_points=3, points=5),
        priced(1_000, 1_000),
        true=priced(1_030, 1_030, 1_030),
        near=priced(1_030, 1_030, 1_000),
        benign=priced(980, 1_020, 1_020),
    ),
    "concentration": of_series(
        gauge("concentration", **SHIFT, least_deviation=2, most_bps=4_000),
        held(*[500] * 200),
        true=held(*[500 + 3 * n for n in range(60)]),
        near=held(*[502] * 60),
        benign=held(*[500] * 60),
    ),
    "depeg": of_series(
        gauge("depeg", **SHIFT, least_deviation=500, most_bps=8_000),
        POOLED,
        true=pool(*[5_000 + 20 * n for n in range(60)]),
        near=pool(5_200, 5_000, 4_980),  # a large swap that is swapped back
        benign=pool(*noise(60, around=5_000, spread=60, seed=5)),
    ),
    "risk_steps": of_series(
        gauge("risk_steps", fast=30, slow=2_000, warmup=300, step_bps=10_000, most_steps=3, calm_points=50),
        CALM_PRICES,
        true=walked((0.001, 600), (0.008, 60))[600:],
        near=walked((0.001, 600), (0.0014, 60))[600:],
        benign=walked((0.001, 660))[600:],
    ),
    "drift": of_series(
        gauge("drift", warmup=200, least_deviation=1, delta_ppm=2_000),
        [{"value": each} for each in noise(1_000, around=1_000, spread=50)],
        true=[{"value": each} for each in noise(400, around=1_100, spread=50, seed=9)],
        near=[{"value": each} for each in [10**30, *noise(399, around=1_000, spread=50, seed=9)]],
        benign=[{"value": each} for each in noise(400, around=1_000, spread=50, seed=9)],
    ),
}

# ---------------------------------------------------------------------- other sources


def unbacked(burns: list[Burn], releases: list[Release]) -> Speaks:
    return told(lambda: [each for each in judged(burns, releases) if each.backing is Backing.UNBACKED])


def pending(simulated: Simulation) -> Speaks:
    return told(lambda: PENDING.judge(simulated) is not None)


def deployed(code: bytes) -> Speaks:
    return told(lambda: judged_code(code) is not None)


BESIDE = {
    "bridge_mismatch": Triple(
        unbacked([], [release(claim())]),
        unbacked([burn(claim(), 2_000)], [release(claim(), 2_000)]),  # in the very second of its burn
        unbacked([burn(claim())], [release(claim())]),
    ),
    PENDING_DRAIN: Triple(
        pending(simulation((1_000, 500))),
        pending(simulation((1_000, 501))),
        pending(simulation((1_000, 1_100))),
    ),
    NEW_CONTRACT: Triple(
        deployed(code_of(LOAN, names=(BORROW_FUNCTION, SEIZE))),
        deployed(code_of(LOAN, names=(BORROW_FUNCTION,))),
        deployed(code_of(*TOKEN, holds=(POOL[2:],))),
    ),
}

# ---------------------------------------------------------------------- stated invariants


def ringing(policy: Policy, *values: int) -> Speaks:
    async def speaks() -> bool:
        chain, blocks = make_chain(policy, [{"x": each, "y": 0} for each in values])
        said = await Engine(policy).evaluate(chain.view(blocks[-1]))
        return any(isinstance(each, RuleFinding) for each in said)

    return speaks


GROWING = make_policy("x < prev(x, 1)")  # such as the product of a pool's sides
DRAINED = make_drain_policy(window_blocks=2, threshold_bps=6_000)

RULES = {
    "expression": Triple(ringing(GROWING, 100, 99), ringing(GROWING, 100, 100), ringing(GROWING, 100, 120)),
    "drain": Triple(
        ringing(DRAINED, 100, 70, 40), ringing(DRAINED, 100, 70, 41), ringing(DRAINED, 100, 130, 160)
    ),
}

TRIPLES: dict[str, Triple] = TRACES | SERIES | BESIDE | RULES


def test_every_detector_has_a_true_case_a_near_miss_and_a_benign_one() -> None:
    documented = set(re.findall(r"^\| `([a-z_]+)` \|", DOCS.read_text(), re.MULTILINE))

    assert set(TRACES) == set(CATALOGUE)
    assert set(SERIES) == set(SERIES_CATALOGUE)
    by_detectors = {"pending", "pending_detection"}  # pending_drain, and those of traces
    assert set(RULES) | by_detectors == set(RULE_KINDS)
    assert documented == set(TRACES) | set(SERIES) | set(BESIDE)


@pytest.mark.parametrize("name", TRIPLES)
async def test_it_speaks_of_the_attack_and_of_nothing_else(name: str) -> None:
    triple = TRIPLES[name]

    assert await triple.true()
    assert not await triple.near()
    assert not await triple.benign()
