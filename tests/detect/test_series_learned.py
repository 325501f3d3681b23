"""What was learned of signals over time goes into a file and comes back, and nothing else with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from consensus.errors import Reason, Refused
from node.backtest.series import learn_series
from node.detect.sealed import seal
from node.detect.series.catalogue import SERIES_CATALOGUE
from node.detect.series.detector import Reading, SeriesDetector
from node.detect.series.learned import SERIES_LEARNED_FORMAT, SeriesLearned, read_series_learned
from node.detect.series.watch import SeriesWatch
from tests.detect.series import make_series_policy
from tests.detect.test_series_watch import usual
from tests.detect.test_triples import SERIES_PASTS

POINTS = 300


def learned(points: int = POINTS) -> SeriesLearned:
    return learn_series(map(usual, range(points)), make_series_policy(), name="pool", points=points)


def written(folder: Path, **changes: Any) -> Path:
    """A sealed file with some of its body's keys replaced."""
    path = folder / "learned"
    body: dict[str, Any] = json.loads(learned().to_bytes())["body"]
    path.write_bytes(seal(body | changes, SERIES_LEARNED_FORMAT))
    return path


def test_a_watch_out_of_a_file_judges_as_the_one_that_learned(tmp_path: Path) -> None:
    taught = SeriesWatch(make_series_policy())
    for number in range(POINTS):
        taught.learn(usual(number))
    state_hash = taught.begin()

    policy = make_series_policy().with_learned(state_hash)
    from_file = read_series_learned(written(tmp_path)).make_watch(policy)

    assert from_file.is_published
    assert from_file.state_hash() != state_hash, "from here on learned evidence may brake"
    taught.policy = policy
    for number in range(POINTS, POINTS + 50):
        sample = usual(number, volume=10**9 if number == POINTS + 40 else None)
        ours, theirs = from_file.judge(sample), taught.judge(sample)
        assert [each.findings for each in ours] == [each.findings for each in theirs]
        assert [each.strangeness for each in ours] == [each.strangeness for each in theirs]


def test_the_hash_that_a_policy_names_is_that_of_the_learned_watch(tmp_path: Path) -> None:
    taught = SeriesWatch(make_series_policy())
    for number in range(POINTS):
        taught.learn(usual(number))

    assert read_series_learned(written(tmp_path)).state_hash == taught.begin()


@pytest.mark.parametrize("name", SERIES_CATALOGUE)
def test_every_detectors_state_is_taken_back_as_it_was_given(name: str) -> None:
    make, past, following = SERIES_PASTS[name]
    taught, fresh = make(), make()
    readings = [
        Reading(
            block_number=number,  # type: ignore[arg-type]
            timestamp=12 * number,  # type: ignore[arg-type]
            values={role: (each,) if isinstance(each, int) else tuple(each) for role, each in values.items()},
        )
        for number, values in enumerate([*past, *following])
    ]
    for reading in readings[: len(past)]:
        taught.observe(reading)

    fresh.restore(json.loads(json.dumps(taught.state())))

    assert fresh.state() == taught.state()
    if name == "drift":
        return  # its window is no part of the state: a hint is never signed
    assert [fresh.observe(each) for each in readings[len(past) :]] == [
        taught.observe(each) for each in readings[len(past) :]
    ]


@pytest.mark.parametrize("wrong", [None, "text", [1, "x"], {"x": 1}, [[1, 2], [3]]])
@pytest.mark.parametrize("make", [pasts[0] for pasts in SERIES_PASTS.values()], ids=list(SERIES_PASTS))
def test_a_detectors_state_of_another_shape_is_refused(
    make: Callable[[], SeriesDetector], wrong: object
) -> None:
    with pytest.raises(ValueError, match=r"[Ee]xpected"):
        make().restore(wrong)


def _line(change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    state: dict[str, Any] = json.loads(learned().to_bytes())["body"]["state"]
    change(state["line"])
    return {"state": state}


@pytest.mark.parametrize(
    "changes",
    [
        {"points": 0},
        {"last_block": -1},
        {"last_block": 7},
        {"more": 1},
        {"state": {}},
        _line(lambda line: line.update(may_brake=1)),
        _line(lambda line: line.update(last=[1])),
        _line(lambda line: line["rules"].pop("pool")),
        _line(lambda line: line["rules"].update(other=line["rules"]["pool"])),
        _line(lambda line: line["rules"]["pool"]["signals"].pop("oracle")),
        _line(lambda line: line["rules"]["pool"].update(raised=[9, 1])),
        _line(lambda line: line["rules"]["pool"].update(past=[-1])),
        _line(lambda line: line["rules"]["pool"]["signals"]["volume"][1][0].append(10**6)),
        _line(lambda line: line["rules"]["pool"]["signals"]["volume"].__setitem__(0, [[0] * 9, [0] * 4])),
    ],
)
def test_a_file_that_learning_never_writes_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(Refused) as caught:
        read_series_learned(written(tmp_path, **changes)).make_watch(make_series_policy())

    assert caught.value.reason is Reason.STATE_CORRUPT


def test_what_was_learned_under_other_rules_is_refused(tmp_path: Path) -> None:
    other = make_series_policy(("memory: 200", "memory: 201"))

    with pytest.raises(Refused, match="learn anew under it") as caught:
        read_series_learned(written(tmp_path)).make_watch(other)

    assert caught.value.reason is Reason.STATE_FOREIGN
