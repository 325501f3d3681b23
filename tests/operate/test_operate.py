"""What an operator reads: lines for people and machines, peers and heads that come and go."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field, replace

import pytest
import structlog
import trio
import trio.testing
from structlog.testing import capture_logs

from consensus.types import ChainId
from node.config import LogFormat
from node.gossip.memory import MemoryNetwork
from node.gossip.transport import PeerId
from node.observe.heads import HeadStatistics
from node.operate.heads import LOOK_SECONDS, report_heads
from node.operate.logs import configure_logs
from node.operate.peers import report_peers

CHAIN = ChainId(1)
QUIET = HeadStatistics(
    head=None,
    emitted=5,
    reorgs=0,
    deepest_reorg=0,
    skipped=0,
    unavailable=0,
    announcements=0,
    reconnects=0,
    last_unavailable=None,
)


def test_a_line_for_machines_is_one_json_object_with_the_time_and_what_was_bound(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs(LogFormat.JSON, watcher="w1")
    structlog.get_logger("test").info("alert.raised", digest=b"\x01\xff", chain_id=CHAIN)

    (line,) = capsys.readouterr().out.splitlines()
    told = json.loads(line)
    assert told.pop("at_ms") > 1_700_000_000_000
    assert told == {
        "event": "alert.raised",
        "digest": "0x01ff",
        "chain_id": 1,
        "level": "info",
        "watcher": "w1",
    }


def test_the_libraries_are_heard_in_the_same_form_from_warnings_up(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs(LogFormat.JSON)
    logging.getLogger("some.library").info("GET https://rpc.example/s3cret")
    logging.getLogger("some.library").warning("a stream broke")

    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["event"] == "a stream broke"


def test_a_line_for_people_says_the_event_and_its_values(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogFormat.CONSOLE)
    structlog.get_logger("test").warning("peer.banned", reason="stalled_frame")

    said = capsys.readouterr().out
    assert "peer.banned" in said
    assert "stalled_frame" in said


async def test_peers_are_told_of_when_they_change_and_not_otherwise(
    autojump_clock: trio.testing.MockClock,
) -> None:
    network = MemoryNetwork()
    here, there = (network.transport(PeerId(name)) for name in ("here", "there"))
    with capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(report_peers, here)
            await trio.sleep(10)
            await here.register({PeerId("there"): ()})
            await there.register({PeerId("here"): ()})
            await trio.sleep(10)
            nursery.cancel_scope.cancel()

    assert [line["connected"] for line in logs if line["event"] == "peers.changed"] == [0, 1]


@dataclass
class Heads:
    """A follower whose statistics the test sets."""

    now: HeadStatistics = field(default=QUIET)

    def statistics(self) -> HeadStatistics:
        return self.now


async def test_heads_that_stop_coming_are_told_of_once_with_the_reason_and_again_when_they_come(
    autojump_clock: trio.testing.MockClock,
) -> None:
    heads = Heads()
    with capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(report_heads, {CHAIN: heads})
            await trio.sleep(LOOK_SECONDS / 2)
            for step in range(1, 4):
                heads.now = replace(QUIET, unavailable=step, last_unavailable="first says 7, second says 8")
                await trio.sleep(LOOK_SECONDS)
            heads.now = replace(heads.now, emitted=6)
            await trio.sleep(LOOK_SECONDS)
            nursery.cancel_scope.cancel()

    assert [(line["event"], line["chain_id"]) for line in logs] == [
        ("head.unavailable", CHAIN),
        ("head.available", CHAIN),
    ]
    assert logs[0]["detail"] == "first says 7, second says 8"


async def test_a_poll_that_fails_while_heads_come_is_no_outage_nor_is_a_quiet_chain(
    autojump_clock: trio.testing.MockClock,
) -> None:
    heads = Heads()
    with capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(report_heads, {CHAIN: heads})
            await trio.sleep(LOOK_SECONDS * 1.5)
            heads.now = replace(QUIET, emitted=6, unavailable=1)
            await trio.sleep(LOOK_SECONDS * 2)
            nursery.cancel_scope.cancel()

    assert logs == []
