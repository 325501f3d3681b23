"""What a shadow run tells, and that a reorg leaves nothing of what it took back."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from consensus.alert import Level
from consensus.types import BlockHash, BlockNumber, ChainId, Seconds
from node.chain.types import BlockRef
from node.detect.watch import Watch
from node.live.course import Course, Finding, Line, Restarted, Uncovered, Withdrawn
from node.observe.heads import HeadEvent, HeadKind
from node.observe.traces import GapKind, TraceGap
from node.trace import TransactionTrace
from tests.detect.policies import make_policy
from tests.detect.traces import deposit, withdrawal

QUIET = 60


def make_ref(number: int, branch: int = 0) -> BlockRef:
    return BlockRef(
        chain_id=ChainId(1),
        number=BlockNumber(number),
        hash=BlockHash(bytes([branch]) + number.to_bytes(31, "big")),
        parent_hash=BlockHash(bytes([branch]) + (number - 1).to_bytes(31, "big")),
        timestamp=Seconds(1_000 + number),
    )


def event(number: int, kind: HeadKind = HeadKind.EXTENDED, *, branch: int = 0, skipped: int = 0) -> HeadEvent:
    return HeadEvent(ref=make_ref(number, branch), kind=kind, skipped=skipped)


def make_course(*, to_learn: int = QUIET, keep_blocks: int = 20) -> Course:
    return Course(lambda: Watch(make_policy()), to_learn=to_learn, keep_blocks=keep_blocks)


def quiet(number: int) -> TransactionTrace:
    return withdrawal(10, block=number) if number % 3 == 2 else deposit(100, block=number)


def theft(number: int) -> TransactionTrace:
    """Takes nearly all that is there."""
    return withdrawal(3_700, block=number)


def take_quiet(course: Course, numbers: Sequence[int]) -> list[Line]:
    return [line for number in numbers for line in course.take(event(number), (quiet(number),))]


def test_nothing_is_told_of_a_quiet_chain_and_the_figures_say_so() -> None:
    course = make_course()

    assert take_quiet(course, range(1, 101)) == []

    summary = course.summary()
    assert (summary.blocks, summary.learned, summary.scored) == (100, QUIET, 100 - QUIET)
    assert summary.counts == {"alerts": 0, "limits": 0, "pauses": 0}
    assert summary.as_dict()["per_thousand"] == {"alerts": 0.0, "limits": 0.0, "pauses": 0.0}


def test_a_theft_is_a_finding_in_its_block() -> None:
    course = make_course()
    take_quiet(course, range(1, 62))

    (finding,) = course.take(event(62), (theft(62),))

    assert isinstance(finding, Finding)
    assert finding.ref == make_ref(62)
    assert finding.level is Level.ALERT
    told = finding.as_dict()
    assert (told["event"], told["block_number"], told["transaction"]) == ("finding", 62, theft(62).hash)
    assert told["evidence"][0]["detector"] == "balance_drain"
    assert course.summary().counts == {"alerts": 1, "limits": 0, "pauses": 0}


def test_a_finding_in_a_retracted_block_is_withdrawn_from_the_figures() -> None:
    course = make_course()
    take_quiet(course, range(1, 62))
    (finding,) = course.take(event(62), (theft(62),))

    lines = course.take(event(62, HeadKind.REORGED, branch=1), ())

    assert lines == [Withdrawn(finding=finding)]
    summary = course.summary()
    assert (summary.withdrawn, summary.retracted_blocks) == (1, 1)
    assert summary.counts["alerts"] == 0
    assert (summary.blocks, summary.scored) == (62, 1)


@pytest.mark.parametrize("keep_blocks", [20, 200])
@pytest.mark.parametrize("fork", [62, 66, 70])
def test_after_a_reorg_the_state_is_that_of_the_canonical_chain(fork: int, keep_blocks: int) -> None:
    course, straight = make_course(keep_blocks=keep_blocks), make_course(keep_blocks=keep_blocks)
    take_quiet(course, range(1, fork))
    for number in range(fork, 72):
        course.take(event(number), (theft(number),))

    course.take(event(fork, HeadKind.REORGED, branch=1), (deposit(77, block=fork),))
    take_quiet(course, range(fork + 1, 80))

    take_quiet(straight, range(1, fork))
    straight.take(event(fork), (deposit(77, block=fork),))
    take_quiet(straight, range(fork + 1, 80))
    assert course.summary().state_hash == straight.summary().state_hash
    assert course.summary().counts == straight.summary().counts


def test_a_reorg_while_learning_unlearns() -> None:
    course, straight = make_course(), make_course()
    take_quiet(course, range(1, 31))
    course.take(event(20, HeadKind.REORGED, branch=1), ())

    take_quiet(straight, range(1, 20))

    assert course.summary().learned == straight.summary().learned == 19
    assert course.summary().state_hash == straight.summary().state_hash


@pytest.mark.parametrize("kind", [HeadKind.REORGED, HeadKind.RESUMED])
def test_a_reorg_below_the_settled_blocks_begins_anew(kind: HeadKind) -> None:
    course = make_course(keep_blocks=5)
    take_quiet(course, range(1, 31))

    lines = course.take(event(25, kind, branch=1), ())

    assert lines == [Restarted(ref=make_ref(25, 1))]
    summary = course.summary()
    assert (summary.restarts, summary.learned) == (1, 0)
    assert summary.state_hash == make_course().summary().state_hash


def test_a_reorg_deeper_than_the_follower_remembers_begins_anew() -> None:
    course = make_course(keep_blocks=5)
    take_quiet(course, range(1, 31))

    lines = course.take(event(28, HeadKind.RESUMED, branch=1), ())

    assert [type(line) for line in lines] == [Restarted]


def test_an_outage_is_told_and_what_was_learned_stays() -> None:
    course = make_course(keep_blocks=5)
    take_quiet(course, range(1, 31))

    (line,) = course.take(event(1_000, HeadKind.RESUMED, skipped=969), ())

    assert isinstance(line, Uncovered)
    assert line.blocks == 969
    assert (course.summary().learned, course.summary().uncovered_blocks) == (30, 969)


def test_a_block_without_traces_is_told_and_counted() -> None:
    course = make_course()
    ref = make_ref(1)
    gap = TraceGap(ref=ref, kind=GapKind.NOT_OFFERED, watched=2, said="ada said no")

    (line,) = course.take(event(1), gap)

    assert isinstance(line, Uncovered)
    assert "2 watched contracts are not covered" in line.detail
    assert course.summary().uncovered_blocks == 1
    course.take(event(1, HeadKind.REORGED, branch=1), ())
    assert course.summary().uncovered_blocks == 0


def test_blocks_without_traces_in_a_row_are_told_of_once_and_all_counted() -> None:
    course = make_course()

    def lose(number: int) -> list[Line]:
        ref = make_ref(number)
        return course.take(event(number), TraceGap(ref=ref, kind=GapKind.NO_AGREEMENT, watched=1, said=""))

    assert [len(lose(1)), len(lose(2)), len(lose(3))] == [1, 0, 0]
    course.take(event(4), ())
    assert len(lose(5)) == 1
    assert course.summary().uncovered_blocks == 4
