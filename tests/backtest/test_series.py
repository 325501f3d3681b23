"""Series from files and nodes, learned and played: what is counted by which budget, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import trio
from click.testing import CliRunner, Result

from consensus.alert import Level
from consensus.errors import Reason, Refused
from consensus.types import BlockHash, BlockNumber
from node.backtest.series import SeriesReport, learn_series, play_series
from node.backtest.series_report import as_dict, render_text
from node.cli import EXIT_REFUSED, cli
from node.detect.series.sample import Sample
from node.detect.series.table import SeriesFile
from node.devnet.anvil import Mining, running_anvil
from tests.chain.doubles import doubles, pool_of
from tests.detect.series import POLICY, make_sample, make_series_policy
from tests.detect.test_series_watch import SURGE, usual
from tests.evaluate.policies import POOL, TOKEN, make_policy_text

POINTS = 600
ATTACK = 560


def life(*, surge_at: int | None = ATTACK, points: int = POINTS) -> list[Sample]:
    """Usual blocks, and at one of them a surge of volume."""
    return [usual(number, volume=SURGE if number == surge_at else None) for number in range(points)]


def played(samples: Iterable[Sample], attack: int | None = ATTACK, **details: Any) -> SeriesReport:
    given = list(samples)
    attack_block = None if attack is None else BlockNumber(attack)
    return play_series(lambda: given, make_series_policy(), name="pool", attack_block=attack_block, **details)


# ---------------------------------------------------------------------- what is counted


def test_the_first_half_is_learned_and_the_attack_is_found_at_its_first_point() -> None:
    report = played(life())

    assert (report.learned, report.scored, report.benign) == (300, 300, 260)
    (rule,) = report.rules
    assert rule.flag == (ATTACK, Level.LIMIT, 0)
    assert sum(rule.false_alarms[level] for level in Level if level >= Level.LIMIT) == 0
    alarms = [(judgement.block_number, is_attack) for judgement, is_attack in rule.alarms]
    assert (ATTACK, True) in alarms


def test_without_an_attack_the_same_surge_is_a_false_alarm() -> None:
    (rule,) = played(life(), attack=None).rules

    assert rule.flag is None
    assert rule.false_alarms[Level.LIMIT] == 1


def test_an_attack_that_is_found_late_says_by_how_many_points() -> None:
    (rule,) = played(life(), attack=ATTACK - 7).rules

    assert rule.flag == (ATTACK, Level.LIMIT, 7)


def test_an_attack_that_no_signal_shows_is_not_found() -> None:
    report = played(life(surge_at=None))

    assert report.rules[0].flag is None
    assert "attack    not found" in render_text(report)


def test_the_budget_is_that_of_the_benign_span() -> None:
    report = played(life())
    told: Any = as_dict(report)

    seconds = 260 * 12
    (rule,) = told["rules"]
    assert told["benign_seconds"] == seconds
    assert rule["false_alarms"]["alert"]["allowed"] == f"{float(Fraction(5 * seconds, 3_600)):.3f}"
    assert rule["false_alarms"]["limit"]["allowed"] == f"{float(Fraction(seconds, 3_600)):.3f}"
    assert rule["false_alarms"]["limit"]["budget"] == "at most one false limit per hour and rule"
    assert rule["references"] == {"volume": [], "oracle": ["market"]}


def test_alarms_come_with_their_evidence_and_missing_values_are_counted() -> None:
    samples = life()
    samples[400] = usual(400, price=None)

    report = played(samples)
    told: Any = as_dict(report)

    (rule,) = told["rules"]
    assert rule["unjudged_points"] == {"oracle": 1}
    (alarm,) = [each for each in rule["alarms"] if each["attack"]]
    (evidence,) = alarm["evidence"]
    assert (evidence["signal"], evidence["detector"]) == ("volume", "abnormal_volume")
    assert str(SURGE) in evidence["summary"]
    assert evidence["p_value_ppb"] > 0
    text = render_text(report)
    assert f"found at block {ATTACK}, limit, after 0 points of it" in text
    assert "unjudged  oracle at 1 points" in text


def test_what_a_policy_does_not_name_yet_is_said() -> None:
    before = played(life())
    published = make_series_policy().with_learned(before.learned_hash)
    given = life()

    after = play_series(lambda: given, published, name="pool", attack_block=BlockNumber(ATTACK))

    assert not before.is_published
    assert f"`learned: 0x{before.learned_hash.hex()}`" in render_text(before)
    assert after.is_published
    assert after.rules[0].flag == before.rules[0].flag


def test_what_was_learned_from_a_file_is_skipped_and_the_rest_is_judged_alike() -> None:
    learned = learn_series(life(), make_series_policy(), name="pool", points=300)

    of_file, of_half = played(life(), learned=learned), played(life())

    assert (of_file.learned, of_file.scored) == (300, 300)
    assert {**as_dict(of_file), "seconds": 0} == {**as_dict(of_half), "seconds": 0}


@pytest.mark.parametrize("attack", [0, 299, POINTS])
def test_an_attack_outside_of_what_is_judged_is_refused(attack: int) -> None:
    with pytest.raises(Refused, match="what was learned from is not scored") as caught:
        played(life(), attack=attack)

    assert caught.value.reason is Reason.LABEL_INVALID


def test_a_file_that_ends_with_what_was_learned_is_refused() -> None:
    learned = learn_series(life(), make_series_policy(), name="pool", points=POINTS)

    with pytest.raises(Refused, match="give more points") as caught:
        played(life(), attack=None, learned=learned)

    assert caught.value.reason is Reason.OUT_OF_RANGE


def test_nothing_to_learn_from_is_refused() -> None:
    with pytest.raises(Refused, match="no point of pool to learn from"):
        played(life(points=1), attack=None)


# ---------------------------------------------------------------------- files


def write_csv(path: Path, samples: Iterable[Sample]) -> Path:
    names = ("volume", "price", "market")
    rows = [
        ",".join(
            [f"{each.block_number}", f"{each.timestamp}", f"0x{each.block_hash.hex()}"]
            + [str(each.values.get(name, "")) for name in names]
        )
        for each in samples
    ]
    path.write_text("\n".join([",".join(("block", "time", "hash", *names)), *rows, ""]))
    return path


def write_lines(path: Path, samples: Iterable[Sample]) -> Path:
    rows = [
        {
            "block": each.block_number,
            "time": each.timestamp,
            "hash": f"0x{each.block_hash.hex()}",
            **each.values,
        }
        for each in samples
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_both_forms_of_a_file_give_the_samples_that_went_in(tmp_path: Path) -> None:
    samples = [make_sample(7, {"volume": 2**512 - 1, "price": -5}), make_sample(8, {"volume": 0}),
               make_sample(10, {"market": 3})]  # fmt: skip

    of_csv = list(SeriesFile(path=write_csv(tmp_path / "a.csv", samples)).samples())
    of_lines = list(SeriesFile(path=write_lines(tmp_path / "a.jsonl", samples)).samples())

    assert of_csv == of_lines
    assert [(each.block_number, each.timestamp, each.block_hash, each.values) for each in of_csv] == [
        (each.block_number, each.timestamp, each.block_hash, each.values) for each in samples
    ]
    assert [each.parent_hash for each in of_csv] == [bytes(32), samples[0].block_hash, bytes(32)]


def test_without_hashes_rows_follow_each_other_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "plain.csv"
    path.write_text("block,time,volume\n1,10,5\n\n2,22,\n")

    first, second = SeriesFile(path=path).samples()

    assert second.parent_hash == first.block_hash == BlockHash((1).to_bytes(32, "big"))
    assert second.values == {}


HEAD = "block,time,volume\n"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("", 1, "expected the names of the columns"),
        ("block,volume\n1,2\n", 1, "block and time among them"),
        ("block,time,time\n", 1, "each once"),
        (HEAD + "1,2\n", 2, "expected 3 cells, came 2"),
        (HEAD + "1,2,3.5\n", 2, "expected a whole number, came '3.5'"),
        (HEAD + "1,2,1e3\n", 2, "expected a whole number"),
        (HEAD + "1,2,0x10\n", 2, "expected a whole number"),
        (HEAD + f"1,2,{2**512}\n", 2, "less than 2**512"),
        (HEAD + f"1,2,{'9' * 5_000}\n", 2, "expected a whole number"),
        (HEAD + "-1,2,3\n", 2, "block: expected 0 to"),
        (HEAD + f"{2**63},2,3\n", 2, "block: expected 0 to"),
        (HEAD + ",2,3\n", 2, "block: expected a whole number, came nothing"),
        (HEAD + "5,2,3\n\n5,3,3\n", 4, "expected a block after 5, came 5"),
        ("block,time,hash\n1,2,0x12\n", 2, "hash: expected 0x and 64 digits"),
        ("block,time,Volume\n1,2,3\n", 2, "a name starts with a-z"),
        (HEAD + "1,2," + "3" * 70_000 + "\n", 2, "more than 65536 bytes in a line"),
        ("block,time," + ",".join(f"s{n}" for n in range(600)) + "\n1,2" + ",3" * 600, 2, "512 columns"),
        ('{"block": 1, "time": 2, "volume": 1.5}', 1, "expected {"),
        ('{"block": 1, "time": 2, "volume": true}', 1, "expected {"),
        ('{"block": 1, "time": 2, "volume": [1]}', 1, "expected {"),
        ('{"block": 1, "time": 2}\n[' + "[" * 5_000, 2, "expected {"),
        ('{"time": 2}', 1, "block: expected a whole number, came nothing"),
    ],
)
def test_what_is_no_series_file_is_refused_with_its_line(
    tmp_path: Path, text: str, line: int, said: str
) -> None:
    path = tmp_path / "series"
    path.write_text(text)

    with pytest.raises(Refused) as caught:
        list(SeriesFile(path=path).samples())

    assert caught.value.reason is Reason.HISTORY_INVALID
    assert caught.value.message.startswith(f"{path}:{line}: ")
    assert said in caught.value.message


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"block,time\n\xff\xfe\n")

    for path in (tmp_path / "none", binary):
        with pytest.raises(Refused) as caught:
            list(SeriesFile(path=path).samples())
        assert caught.value.reason is Reason.HISTORY_INVALID
        assert str(path) in caught.value.message


# ---------------------------------------------------------------------- the commands


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["series", *map(str, arguments)])


def told_by(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def prepared(folder: Path) -> tuple[Path, Path]:
    policy = folder / "policy.yaml"
    policy.write_text(POLICY)
    return policy, write_csv(folder / "pool.csv", life())


def test_the_commands_learn_once_and_judge_what_came_later(tmp_path: Path) -> None:
    policy, table = prepared(tmp_path)
    both = ("--policy", policy, "--series", table)
    learned = told_by(run("learn", *both, "--until-block", 299, "--out", tmp_path / "learned", "--json"))
    of_file = told_by(
        run("backtest", *both, "--learned", tmp_path / "learned", "--attack-block", ATTACK, "--json")
    )
    at_once = told_by(run("backtest", *both, "--attack-block", ATTACK, "--json"))
    prose = run("backtest", *both, "--attack-block", ATTACK).stdout

    assert (learned["learned"], learned["last_block"]) == (300, 299)
    assert of_file | {"seconds": 0} == at_once | {"seconds": 0}
    assert of_file["learned_hash"] == learned["learned_hash"]
    assert of_file["rules"][0]["attack"] == {
        "found": True, "block": ATTACK, "level": "limit", "points_late": 0,
    }  # fmt: skip
    assert "found at block 560" in prose


def test_without_an_end_the_first_half_is_learned(tmp_path: Path) -> None:
    policy, table = prepared(tmp_path)

    result = run("learn", "--policy", policy, "--series", table, "--out", tmp_path / "learned", "--json")

    assert told_by(result)["learned"] == POINTS // 2


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / "pool.csv").write_text("block\n"), "expected the names of the columns"),
        (lambda folder: (folder / "policy.yaml").write_text("tocsin_series: 1\n"), "is missing"),
    ],
)
def test_what_cannot_be_played_is_refused(
    tmp_path: Path, spoil: Callable[[Path], object], words: str
) -> None:
    policy, table = prepared(tmp_path)
    spoil(tmp_path)

    result = run("backtest", "--policy", policy, "--series", table)

    assert result.exit_code == EXIT_REFUSED
    assert words in result.output


RETURNS_BLOCK_NUMBER = "0x435f5260205ff3"
REVERTS_BEFORE_BLOCK_4 = "0x43600411600a57435f5260205ff35b5f5ffd"


async def test_a_node_is_recorded_and_a_stopped_recording_goes_on(tmp_path: Path) -> None:
    policy, out = tmp_path / "rules.yaml", tmp_path / "pool.csv"
    policy.write_text(make_policy_text())

    async def record(blocks: str) -> Result:
        arguments = ("record", "--signals", policy, "--blocks", blocks, "--out", out, "--json")
        return await trio.to_thread.run_sync(lambda: run(*arguments))

    async with (
        running_anvil(mining=Mining.WHEN_TOLD) as anvil,
        doubles(anvil, "ada") as (ada,),
        pool_of(ada, agreement=1) as pool,
    ):
        await pool.call("anvil_setCode", (TOKEN, RETURNS_BLOCK_NUMBER))
        await pool.call("anvil_setCode", (POOL, REVERTS_BEFORE_BLOCK_4))
        await pool.call("anvil_mine", (hex(9),))
        first = await record(f"{ada.endpoint.http}#2:5")
        whole = await record(f"{ada.endpoint.http}#2:8")
        again = await record(f"{ada.endpoint.http}#2:8")
    policy.write_text(make_policy_text().replace("\n  y: {", "\n  z: {"))
    other = await record("http://127.0.0.1:9/s3cret#2:8")
    nowhere = await record("pool.zip")

    assert [told_by(each)["points"] for each in (first, whole, again)] == [4, 7, 7]
    samples = list(SeriesFile(path=out).samples())
    assert [each.block_number for each in samples] == [2, 3, 4, 5, 6, 7, 8]
    assert [each.values["x"] for each in samples] == [2, 3, 4, 5, 6, 7, 8]
    assert [each.values.get("y") for each in samples] == [None, None, 4, 5, 6, 7, 8]
    assert all(later.parent_hash == sooner.block_hash for sooner, later in pairwise(samples))
    assert (other.exit_code, nowhere.exit_code) == (EXIT_REFUSED, EXIT_REFUSED)
    assert "recorded of other signals" in other.output
    assert "s3cret" not in "".join(each.output for each in (first, whole, again, other))
