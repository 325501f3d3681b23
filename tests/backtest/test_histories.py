"""Several histories: which exploit is whose, and the same results whatever runs side by side."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from consensus.errors import Reason, Refused, Unavailable
from node.backtest import cluster, processes
from node.backtest.cluster import run_on_cluster
from node.backtest.job import Job, play
from node.backtest.labels import find_exploits, read_labels
from node.backtest.report import HoldBlocks, Report
from node.cli import EXIT_REFUSED, EXIT_UNAVAILABLE, cli
from node.detect.policy import read_detection_policy
from node.observe.history import RecordedHistory
from tests.backtest.histories import EXPLOIT, record, robbed_history, timeless
from tests.detect.policies import GENERAL
from tests.detect.recordings import hash_of, quiet_history, recorded_theft, write_folder

OTHER_EXPLOIT = hash_of(0xBAE)


def three(tmp_path: Path) -> list[RecordedHistory]:
    """Robbed, quiet, and robbed again with another hash."""
    other = {**quiet_history(100), 50_000: {OTHER_EXPLOIT: recorded_theft(4_000)}}
    return [
        record(tmp_path, robbed_history(), "Robbed"),
        record(tmp_path, quiet_history(80), "Quiet"),
        record(tmp_path, other, "Other"),
    ]


def jobs(tmp_path: Path, *exploits: str | None) -> list[Job]:
    three(tmp_path)
    return [
        Job(
            history=tmp_path / f"{name}.zip",
            policy=read_detection_policy(GENERAL),
            exploit_hash=exploit,
            learned=None,
            hold_blocks=HoldBlocks(),
            checkpoints=None,
        )
        for name, exploit in zip(
            ("Robbed", "Quiet", "Other"), exploits or (EXPLOIT, None, OTHER_EXPLOIT), strict=True
        )
    ]


def ignore(place: int, done: int, total: int) -> None:
    """Progress that nobody looks at."""


def told(reports: list[Report]) -> list[dict[str, Any]]:
    return [timeless(report) for report in reports]


# ---------------------------------------------------------------------- labels


def test_an_exploit_belongs_to_the_history_that_recorded_it(tmp_path: Path) -> None:
    histories = three(tmp_path)

    assert find_exploits([OTHER_EXPLOIT.upper().replace("X", "x"), EXPLOIT], histories) == [
        EXPLOIT,
        None,
        OTHER_EXPLOIT,
    ]
    assert find_exploits([], histories) == [None, None, None]


@pytest.mark.parametrize(
    ("hashes", "said"),
    [
        ([EXPLOIT, hash_of(0x123456)], "recorded in 0 of the histories"),
        ([hash_of(3)], "recorded in 3 of the histories"),
        ([EXPLOIT, hash_of(110)], "Robbed has two exploits"),
    ],
)
def test_a_hash_that_belongs_to_none_or_to_several_is_refused(
    tmp_path: Path, hashes: list[str], said: str
) -> None:
    with pytest.raises(Refused, match=said) as caught:
        find_exploits(hashes, three(tmp_path))

    assert caught.value.reason is Reason.LABEL_INVALID


def test_two_exploits_of_the_only_history_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="two exploits"):
        find_exploits([EXPLOIT, hash_of(110)], three(tmp_path)[:1])


def write_labels(tmp_path: Path, labels: object) -> Path:
    path = tmp_path / "labels.json"
    path.write_text(labels if isinstance(labels, str) else json.dumps(labels))
    return path


def test_labels_name_the_exploit_of_each_history_and_may_name_more(tmp_path: Path) -> None:
    names = {"Robbed": EXPLOIT, "Quiet": None, "Other": OTHER_EXPLOIT, "Elsewhere": None}
    path = write_labels(tmp_path, {name: {"exploit_tx": exploit} for name, exploit in names.items()})

    assert read_labels(path, three(tmp_path)) == [EXPLOIT, None, OTHER_EXPLOIT]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ("{", "expected"),
        ("[" * 100_000, "expected"),
        ({"Robbed": EXPLOIT}, "expected"),
        ({"Robbed": {}}, "expected"),
        ({"Robbed": {"exploit_tx": 7}}, "expected"),
        ({"Robbed": {"exploit_tx": None, "more": 1}}, "expected"),
        ({"Robbed": {"exploit_tx": EXPLOIT}}, "nothing is said of 'Quiet'"),
    ],
)
def test_labels_of_another_form_are_refused_with_their_path(
    tmp_path: Path, labels: object, said: str
) -> None:
    path = write_labels(tmp_path, labels)

    with pytest.raises(Refused, match=said) as caught:
        read_labels(path, three(tmp_path))

    assert caught.value.reason is Reason.LABEL_INVALID
    assert str(path) in caught.value.message


def test_labels_that_are_not_there_or_too_many_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Refused, match="cannot be read"):
        read_labels(tmp_path / "none.json", three(tmp_path))
    monkeypatch.setattr("node.backtest.labels.MAX_LABEL_BYTES", 10)
    with pytest.raises(Refused, match="more than 10 bytes"):
        read_labels(write_labels(tmp_path, {"Robbed": {"exploit_tx": None}}), three(tmp_path))


# ---------------------------------------------------------------------- side by side


def test_two_processes_say_what_one_says_in_the_same_order(tmp_path: Path) -> None:
    seen: dict[int, tuple[int, int]] = {}

    def advance(place: int, done: int, total: int) -> None:
        seen[place] = (done, total)

    alone = processes.run_in_processes(jobs(tmp_path), processes=1, advance=ignore)
    together = processes.run_in_processes(jobs(tmp_path), processes=2, advance=advance)

    assert told(together) == told(alone)
    assert [report.exploit for report in together] == ["at", None, "at"]
    assert seen == {0: (121, 121), 1: (80, 80), 2: (101, 101)}


def test_a_refusal_in_another_process_is_a_refusal_here(tmp_path: Path) -> None:
    with pytest.raises(Refused) as caught:
        processes.run_in_processes(jobs(tmp_path, None, EXPLOIT, None), processes=2, advance=ignore)

    assert caught.value.reason is Reason.LABEL_INVALID


def test_a_process_that_is_ended_from_outside_is_told_with_what_to_do(tmp_path: Path) -> None:
    deadly = [deadly_job(job) for job in jobs(tmp_path)]

    with pytest.raises(Unavailable, match="--resume FOLDER"):
        processes.run_in_processes(deadly, processes=2, advance=ignore)


def deadly_job(job: Job) -> Job:
    return Job(
        history=job.history,
        policy=job.policy,
        exploit_hash=Deadly(),
        learned=None,
        hold_blocks=job.hold_blocks,
        checkpoints=None,
    )


class Deadly(str):
    """A label that ends the process that looks at it."""

    __slots__ = ()

    def lower(self) -> str:
        import os

        os._exit(9)


def test_a_history_that_is_another_one_elsewhere_is_refused(tmp_path: Path) -> None:
    (job, *_) = jobs(tmp_path)
    fingerprint = RecordedHistory(job.history).fingerprint()
    as_made = Job(
        **{name: getattr(job, name) for name in Job.__slots__ if name != "fingerprint"},
        fingerprint=fingerprint,
    )
    assert play(as_made).exploit == "at"
    record(tmp_path, {**robbed_history(), 10**6: {hash_of(10**6): recorded_theft(1)}}, "Robbed")

    with pytest.raises(Refused, match="another history stands here") as caught:
        play(as_made)

    assert caught.value.reason is Reason.HISTORY_INVALID


def test_a_history_has_one_fingerprint_packed_or_not(tmp_path: Path) -> None:
    packed = record(tmp_path, robbed_history())
    folder = RecordedHistory(write_folder(tmp_path / "Folder", robbed_history()))
    other = record(tmp_path, {**robbed_history(), 10**6: {}}, "Other")

    assert packed.fingerprint() == folder.fingerprint() != other.fingerprint()


# ---------------------------------------------------------------------- a cluster


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """The address of a cluster of two workers, here in threads: processes take seconds to start."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=False,
        protocol="tcp://",
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
    ) as running:
        yield running.scheduler_address


def test_a_cluster_of_two_workers_says_what_one_process_says(tmp_path: Path, scheduler: str) -> None:
    done: list[tuple[int, int, int]] = []
    alone = processes.run_in_processes(jobs(tmp_path), processes=1, advance=ignore)

    spread = run_on_cluster(
        jobs(tmp_path), scheduler=scheduler, workers=2, advance=lambda *told: done.append(told)
    )

    assert told(spread) == told(alone)
    assert sorted(done) == [(0, 121, 121), (1, 80, 80), (2, 101, 101)]


def test_a_refusal_on_a_worker_is_a_refusal_here(tmp_path: Path, scheduler: str) -> None:
    with pytest.raises(Refused) as caught:
        run_on_cluster(jobs(tmp_path, None, EXPLOIT, None), scheduler=scheduler, workers=2, advance=ignore)

    assert caught.value.reason is Reason.LABEL_INVALID


def test_a_scheduler_that_does_not_answer_is_told_by_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.5)

    with pytest.raises(Unavailable, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        run_on_cluster(jobs(tmp_path), scheduler="tcp://127.0.0.1:9", workers=2, advance=ignore)


def test_a_history_that_its_workers_die_of_is_told_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "DEATHS", 1)
    deadly = [deadly_job(job) for job in jobs(tmp_path)][:1]

    with pytest.raises(Unavailable, match="the workers that took a history died 1 times"):
        run_on_cluster(deadly, scheduler=None, workers=1, advance=ignore)


def test_without_dask_the_engine_is_refused_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)

    with pytest.raises(Refused, match=r"pip install 'tocsin\[backtest\]'") as caught:
        run_on_cluster(jobs(tmp_path), scheduler=None, workers=2, advance=ignore)

    assert caught.value.reason is Reason.EXTRA_MISSING


# ---------------------------------------------------------------------- the command


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["backtest", "--policy", str(GENERAL), *map(str, arguments)])


def all_three(tmp_path: Path) -> list[object]:
    three(tmp_path)
    histories = [("--history", tmp_path / f"{name}.zip") for name in ("Robbed", "Quiet", "Other")]
    return [
        *(part for pair in histories for part in pair),
        *("--exploit-tx", OTHER_EXPLOIT, "--exploit-tx", EXPLOIT),
    ]


def lines(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.stderr
    untimed = {"seconds": 0, "transactions_per_second": 0}
    return [json.loads(line) | untimed for line in result.stdout.splitlines()]


def test_several_histories_print_a_line_each_and_one_with_the_sums(tmp_path: Path) -> None:
    *printed, sums = lines(run(*all_three(tmp_path), "--json", "--jobs", 2))

    assert [(line["history"], line["exploit"]) for line in printed] == [
        ("Robbed", "at"),
        ("Quiet", None),
        ("Other", "at"),
    ]
    assert (sums["histories"], sums["exploits"], sums["flagged"]) == (3, 2, 2)
    assert sums["benign"] == sum(line["benign"] for line in printed) == 60 + 40 + 50
    assert sums["per_thousand"]["alerts"]["high"] == pytest.approx(1000 * (1 - 0.025 ** (1 / 150)), abs=0.001)


def test_a_local_cluster_prints_what_processes_print(tmp_path: Path) -> None:
    spread = lines(run(*all_three(tmp_path), "--json", "--engine", "dask", "--jobs", 2))

    assert spread == lines(run(*all_three(tmp_path), "--json", "--jobs", 1))


def test_several_histories_are_summed_up_for_people_too(tmp_path: Path) -> None:
    said = run(*all_three(tmp_path), "--jobs", 1).stdout

    assert "2 of 2 flagged" in said
    assert "0 of 150 benign transactions" in said


def test_each_history_has_its_own_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    arguments = [*all_three(tmp_path), "--json", "--resume", folder, "--jobs", 1]
    first = lines(run(*arguments))

    assert {path.name for path in folder.iterdir()} == {
        f"{name}.checkpoint.json" for name in ("Robbed", "Quiet", "Other")
    }
    assert lines(run(*arguments)) == first


def test_two_histories_of_one_name_are_refused(tmp_path: Path) -> None:
    record(tmp_path, robbed_history(), "Vault")
    write_folder(tmp_path / "Vault", quiet_history(10))

    result = run("--history", tmp_path / "Vault.zip", "--history", tmp_path / "Vault")

    assert result.exit_code == EXIT_REFUSED
    assert "two histories are called 'Vault'" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--labels", "labels.json", "--exploit-tx", EXPLOIT),
        ("--scheduler", "tcp://127.0.0.1:9"),
        ("--jobs", "0"),
        ("--checkpoint-every", "0"),
        ("--hold-blocks", "1", "2", "-3"),
    ],
)
def test_options_that_contradict_each_other_are_refused(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    record(tmp_path, robbed_history())

    assert run("--history", tmp_path / "Vault.zip", *arguments).exit_code == 2


def test_labels_can_be_given_to_the_command(tmp_path: Path) -> None:
    record(tmp_path, robbed_history())
    path = write_labels(tmp_path, {"Vault": {"exploit_tx": EXPLOIT}})

    (printed,) = lines(run("--history", tmp_path / "Vault.zip", "--labels", path, "--json"))

    assert printed["exploit"] == "at"


def test_a_scheduler_that_is_not_there_ends_the_command_with_its_own_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.5)
    record(tmp_path, robbed_history())

    result = run(
        *("--history", tmp_path / "Vault.zip", "--engine", "dask", "--scheduler", "tcp://127.0.0.1:9")
    )

    assert result.exit_code == EXIT_UNAVAILABLE
