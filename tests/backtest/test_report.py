"""The report: what was late, lost, saved and held up, and that nothing from a history becomes markup."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from consensus.alert import Level
from consensus.errors import Reason, Refused
from consensus.types import BlockNumber
from node.backtest import figures, plot
from node.backtest.figures import Rate, as_dict, compute_rate
from node.backtest.page import CONTENT_POLICY, render_page
from node.backtest.plot import draw_report
from node.backtest.report import HoldBlocks, Outcome, Point
from node.backtest.shown import printable
from node.backtest.timeline import MAX_POINTS, Timeline
from node.cli import EXIT_REFUSED, cli
from node.detect.evidence import Ppb
from tests.backtest.histories import AFTER, ALL, EXPLOIT, Blocks, play, record, robbed_history
from tests.detect.policies import GENERAL
from tests.detect.recordings import (
    hash_of,
    quiet_history,
    recorded_call,
    recorded_deposit,
    recorded_theft,
    recorded_withdrawal,
)
from tests.detect.traces import COIN, USER, VAULT, WITHDRAW

HELD = 80 * 100 - 40 * 10  # of the quiet history's 120 transactions, each third one takes 10


# ---------------------------------------------------------------------- delay


def test_a_flag_at_the_first_row_that_is_set_aside_is_not_late(tmp_path: Path) -> None:
    flag = play(record(tmp_path, robbed_history())).flag

    assert flag is not None
    assert (flag.transaction_hash, flag.block_number, flag.level) == (EXPLOIT, AFTER, Level.PAUSE)
    assert (flag.transactions_late, flag.blocks_late) == (0, 0)


def test_delay_counts_from_the_first_row_that_is_set_aside(tmp_path: Path) -> None:
    blocks = {
        **robbed_history(),
        AFTER - 40: {hash_of(10**6): recorded_deposit(), hash_of(10**6 + 1): recorded_deposit()},
        AFTER - 10: {hash_of(10**6 + 2): recorded_deposit()},
    }

    flag = play(record(tmp_path, blocks)).flag

    assert flag is not None
    assert (flag.transactions_late, flag.blocks_late) == (3, 40)


def test_an_exploit_that_is_missed_has_no_flag(tmp_path: Path) -> None:
    report = play(record(tmp_path, {**quiet_history(120), AFTER: {EXPLOIT: recorded_deposit()}}))

    assert (report.exploit, report.flag) == (Outcome.MISSED, None)


# ---------------------------------------------------------------------- loss


def losses(report: Any) -> dict[str, Any]:
    (loss,) = as_dict(report)["losses"]
    return {key: value for key, value in loss.items() if key != "token"}


def test_what_the_exploit_took_is_told_with_its_share_of_what_was_held(tmp_path: Path) -> None:
    blocks = {**robbed_history(), AFTER: {EXPLOIT: recorded_theft(HELD // 2)}}

    assert losses(play(record(tmp_path, blocks))) == {
        "held_units": f"{HELD}",
        "lost_units": f"{HELD}",
        "lost_bps": 10_000,
        "moved_after_flag_units": "0",
        "left_units": "0",
    }


def test_what_leaves_in_later_blocks_is_what_a_pause_saves(tmp_path: Path) -> None:
    theft = [
        [recorded_call(WITHDRAW, kind="call", span=(1, 9)), recorded_call(WITHDRAW, kind="call", span=(2, 5))]
    ]
    blocks = {
        **quiet_history(120),
        AFTER - 30: {hash_of(10**6): [*theft, [[COIN, VAULT, USER, HELD * 95 // 100]]]},
        AFTER: {EXPLOIT: recorded_withdrawal(300), hash_of(10**6 + 1): recorded_withdrawal(20)},
        AFTER + 1: {hash_of(10**6 + 2): recorded_withdrawal(30)},
    }

    report = play(record(tmp_path, blocks))

    assert report.exploit is Outcome.BEFORE
    left = HELD - HELD * 95 // 100
    assert losses(report) == {
        "held_units": f"{left}",
        "lost_units": "300",
        "lost_bps": 300 * 10_000 // left,
        "moved_after_flag_units": "350",
        "left_units": f"{left - 300}",
    }


def test_what_leaves_in_the_flags_own_block_is_not_saved(tmp_path: Path) -> None:
    blocks = robbed_history()
    blocks[AFTER] |= {hash_of(10**6): recorded_withdrawal(5)}
    blocks[AFTER + 1] = {hash_of(10**6 + 1): recorded_withdrawal(7)}

    assert losses(play(record(tmp_path, blocks)))["moved_after_flag_units"] == "7"


def test_more_than_the_books_hold_has_no_share(tmp_path: Path) -> None:
    report = play(record(tmp_path, robbed_history()))

    assert losses(report)["lost_units"] == f"{2 * ALL}"
    assert losses(report)["lost_bps"] is None


# ---------------------------------------------------------------------- cost and rates


def with_a_false_pause() -> Blocks:
    """Half way through what is scored, a theft that nobody labelled: quiet transactions follow it."""
    return {**quiet_history(120), 1_000 + 100 * 90 + 50: {hash_of(10**6): recorded_theft(ALL)}}


@pytest.mark.parametrize(("blocks_each", "held_up"), [(0, 0), (49, 0), (50, 1), (150, 2), (10**6, 29)])
def test_a_false_alarm_holds_up_what_follows_while_it_lasts(
    tmp_path: Path, blocks_each: int, held_up: int
) -> None:
    report = play(
        record(tmp_path, with_a_false_pause()), None, hold_blocks=HoldBlocks(pause=blocks_each, limit=10**6)
    )

    assert report.count(Level.PAUSE) == 1
    assert report.held_up == (0, 0, 0, held_up)
    assert as_dict(report)["held_up"]["pause"] == {"transactions": held_up, "blocks_each": blocks_each}


def test_the_interval_is_that_of_clopper_and_pearson() -> None:
    none = compute_rate(0, 2_437)
    some = compute_rate(3, 100)

    assert none.low == 0
    assert none.high == pytest.approx(1000 * (1 - 0.025 ** (1 / 2_437)))
    # 3 of 100, as tables print it.
    assert (some.per_thousand, some.low, some.high) == (
        30.0,
        pytest.approx(6.23, abs=0.01),
        pytest.approx(85.18, abs=0.01),
    )


def test_without_benign_transactions_there_is_no_rate() -> None:
    assert compute_rate(0, 0) == Rate(per_thousand=None, low=None, high=None)


def test_counts_of_a_flood_stay_right_where_its_alarms_are_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.backtest.tally.MAX_ALARMS_KEPT", 2)
    blocks = with_a_false_pause()
    for n in range(4):
        selector = f"0x{n:08x}"
        outer, inner = (recorded_call(selector, kind="call", span=span) for span in ((1, 9), (2, 5)))
        blocks[1_000 + 100 * (95 + n) + 50] = {hash_of(10**7 + n): [[outer, inner], []]}

    report = play(record(tmp_path, blocks), None)

    assert len(report.alarms) == 2
    assert report.count(Level.ALERT) == 2 + report.alarms_left_out > 2


def test_alarms_are_told_with_their_evidence_and_action(tmp_path: Path) -> None:
    (alarm,) = as_dict(play(record(tmp_path, robbed_history())))["alarms"]

    assert (alarm["transaction"], alarm["level"], alarm["is_attack"]) == (EXPLOIT, "pause", True)
    assert alarm["action"] == "pause the protocol"
    assert {"reentrancy", "balance_drain"} <= {each["detector"] for each in alarm["evidence"]}


# ---------------------------------------------------------------------- timeline


def make_point(block: int, **changes: Any) -> Point:
    point = Point(block_number=BlockNumber(block), strangeness=Ppb(10**9), outflow_bps=0, is_attack=False)
    return replace(point, **changes)


def line(points: Iterable[Point]) -> Timeline:
    timeline = Timeline()
    for point in points:
        timeline.add(point)
    return timeline


@pytest.mark.parametrize("length", [MAX_POINTS, MAX_POINTS + 1, 9 * MAX_POINTS + 5])
def test_a_line_of_any_length_is_bounded_and_keeps_its_extremes(length: int) -> None:
    points = [make_point(n) for n in range(length)]
    points[length // 3] = make_point(length // 3, strangeness=Ppb(7))
    points[length // 3 + 1] = make_point(length // 3 + 1, outflow_bps=9_000)
    attack = make_point(length, is_attack=True, outflow_bps=3)

    drawn = line([*points, attack]).points

    assert len(drawn) <= MAX_POINTS
    assert min(drawn, key=lambda point: point.strangeness).block_number == length // 3
    assert max(point.outflow_bps for point in drawn) == 9_000
    assert drawn[-1] == attack
    assert [point.block_number for point in drawn] == sorted(point.block_number for point in drawn)


# ---------------------------------------------------------------------- the page


HOSTILE_TOKEN = "<script>alert(1)</script>\"'&<b>"
HOSTILE_NAME = "<img src=x onerror=alert(1)>&[red]\x1b[31m\"'"


class Markup(HTMLParser):
    """What a browser would take for elements, and what it would load."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def hostile_history(tmp_path: Path) -> Any:
    outer, inner = (recorded_call(WITHDRAW, kind="call", span=span) for span in ((1, 900), (3, 700)))
    hostile = "<script>alert(2)</script>"
    outer[1] = hostile
    blocks = quiet_history(120)
    for rows in blocks.values():
        for _, transfers in rows.values():
            transfers[0][0] = HOSTILE_TOKEN
    blocks[AFTER] = {EXPLOIT: [[outer, inner], [[HOSTILE_TOKEN, VAULT, USER, HELD]]]}
    return record(tmp_path, blocks, HOSTILE_NAME)


def test_nothing_that_a_history_says_becomes_markup(tmp_path: Path) -> None:
    report = play(hostile_history(tmp_path))
    assert report.losses, "the hostile token must be on the page"

    page = render_page([report]).decode()

    found = Markup(page)
    plain = Markup(render_page([play(record(tmp_path, robbed_history()))]).decode())
    assert set(found.tags) == set(plain.tags)
    assert not {"script", "img", "iframe", "link", "object"} & set(found.tags)
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    assert "&lt;script&gt;" in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "\x1b" not in page


def test_the_page_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    page = render_page([play(record(tmp_path, robbed_history()))] * 2).decode()

    found = Markup(page)
    links = [value for name, value in found.attributes if name in {"href", "src", "xlink:href", "action"}]
    assert links
    assert all(value.startswith("#") for value in links)
    assert ("content", CONTENT_POLICY) in found.attributes
    assert "url(" not in re.sub(r"url\(#\w+\)", "", page)
    assert "@import" not in page
    assert found.tags.count("svg") == 2


def test_the_page_names_every_alarm_with_its_evidence(tmp_path: Path) -> None:
    page = render_page([play(record(tmp_path, robbed_history()))]).decode()

    assert EXPLOIT in page
    assert "hard evidence: emptied-by-reentry" in page
    assert "had not ended; never seen" in page
    assert "prefers-color-scheme:dark" in page


def test_equal_reports_have_equal_pages(tmp_path: Path) -> None:
    report = play(record(tmp_path, robbed_history()))

    assert render_page([report]) == render_page([report])


def test_the_plot_draws_levels_alarms_and_the_exploit_in_the_pages_colours(tmp_path: Path) -> None:
    report = play(record(tmp_path, robbed_history()))
    blind = replace(report, alarms=(), exploit_block=None, first_attack_block=None, level_lines=())

    drawn, bare = draw_report(report), draw_report(blind)

    for name in ("alert", "limit", "freeze", "pause", "exploit"):
        assert f">{name}<" in drawn
        assert f">{name}<" not in bare
    assert "alarm on what was set aside" in drawn
    assert "var(--shade)" in drawn
    assert "var(--shade)" not in bare
    assert not re.search(r"#0[0-9a]0[0-9a]0[0-9a]\b", drawn), "a stand-in was left"


def test_a_history_without_anything_scored_has_a_page(tmp_path: Path) -> None:
    report = play(record(tmp_path, {1: {hash_of(1): []}}), None)

    assert report.scored == 0
    assert b"no benign transaction" in render_page([report])


# ---------------------------------------------------------------------- the terminal


def run(*arguments: object) -> Any:
    return CliRunner().invoke(cli, ["backtest", "--policy", str(GENERAL), *map(str, arguments)])


def test_the_terminal_obeys_no_name_and_reads_none_as_markup(tmp_path: Path) -> None:
    hostile_history(tmp_path)

    said = run("--history", tmp_path / f"{HOSTILE_NAME}.zip", "--exploit-tx", EXPLOIT)

    assert said.exit_code == 0
    assert "\x1b" not in said.stdout
    assert "&[red]" in said.stdout
    assert HOSTILE_TOKEN in said.stdout


def test_what_a_terminal_obeys_is_replaced() -> None:
    assert printable("a\x1b[2J\r\n\u202eb") == "a�[2J���b"
    assert len(printable("a" * 10_000)) == 400


def test_the_terminal_tells_loss_delay_and_cost(tmp_path: Path) -> None:
    record(tmp_path, {**robbed_history(), AFTER: {EXPLOIT: recorded_theft(HELD // 2)}})

    said = run("--history", tmp_path / "Vault.zip", "--exploit-tx", EXPLOIT, "--hold-blocks", 1, 2, 3).stdout

    assert "none: flagged at the first transaction that was set aside" in said
    assert "100.00 %" in said
    assert "pause the protocol, at block 13000" in said
    assert "0 of 60 benign transactions, 0.00 per thousand (95 %: 0.00 to 59.63)" in said
    assert "0 benign transactions in restrictions of 3 blocks each" in said
    assert "holds no prices and no decimals" in said


# ---------------------------------------------------------------------- without the extra


def test_without_scipy_a_backtest_still_prints_its_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "find_spec", lambda name: None)
    figures._interval.cache_clear()
    record(tmp_path, robbed_history())

    said = run("--history", tmp_path / "Vault.zip", "--exploit-tx", EXPLOIT, "--json")
    figures._interval.cache_clear()

    assert said.exit_code == 0
    assert json.loads(said.stdout)["per_thousand"]["alerts"] == {"rate": 0.0, "low": None, "high": None}
    assert "pip install 'tocsin[backtest]'" in said.stderr


def test_without_matplotlib_the_page_is_refused_before_anything_is_played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plot, "find_spec", lambda name: None)
    monkeypatch.setattr("node.backtest.processes.play", lambda *_: pytest.fail("played"))
    record(tmp_path, robbed_history())

    said = run("--history", tmp_path / "Vault.zip", "--html", tmp_path / "page.html")

    assert said.exit_code == EXIT_REFUSED
    assert "pip install 'tocsin[backtest]'" in said.stderr
    with pytest.raises(Refused) as caught:
        plot.require_matplotlib()
    assert caught.value.reason is Reason.EXTRA_MISSING


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    record(tmp_path, robbed_history())

    said = run("--history", tmp_path / "Vault.zip", "--exploit-tx", EXPLOIT, "--html", tmp_path / "page.html")

    assert said.exit_code == 0
    assert (tmp_path / "page.html").read_bytes().startswith(b"<!DOCTYPE html>\n<html")
