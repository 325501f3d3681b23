"""A detection on a live chain: a block's number depends on the learned file and the canonical chain alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import pytest
import trio
import trio.testing

from consensus.alert import Level
from consensus.errors import Broken, Reason, Unavailable
from consensus.types import Address, BlockHash, BlockNumber
from node.detect.block_levels import KEPT_BLOCKS
from node.detect.evidence import Judgement
from node.detect.learned import Learned, RecordedSpan
from node.detect.levels import Levels
from node.detect.watch import Watch
from node.evaluate.expressions import Undefined
from node.live.detection import LiveDetection
from node.live.row import MAX_AHEAD, PASS_OVER_BLOCKS, STRIDE, JudgedBlock, Standing
from node.observe.heads import LONGEST_STRIDE
from node.trace import TransactionTrace
from tests.detect.policies import make_policy
from tests.detect.traces import VAULT, deposit, withdrawal
from tests.live.chains import CHAIN_ID, MemoryChain

LEARNED_UNTIL = 60
Blocks = Sequence[Sequence[TransactionTrace]]


def quiet(number: int) -> tuple[TransactionTrace, ...]:
    return (withdrawal(10, block=number) if number % 3 == 2 else deposit(100, block=number),)


def theft(number: int) -> tuple[TransactionTrace, ...]:
    return (withdrawal(3_700, block=number),)


def two_of(first: tuple[TransactionTrace, ...], second: TransactionTrace) -> tuple[TransactionTrace, ...]:
    """Two transactions of one block."""
    return (*first, replace(second, index=1, hash=f"{second.hash[:-1]}f"))


def quiet_blocks(first: int, last: int) -> Blocks:
    return [quiet(number) for number in range(first, last + 1)]


def make_chain(*more: Sequence[TransactionTrace]) -> MemoryChain:
    """Quiet blocks as long as was learned, then these."""
    chain = MemoryChain()
    chain.extend(*quiet_blocks(1, LEARNED_UNTIL), *more)
    return chain


def make_learned(chain: MemoryChain, **changes: Any) -> Learned:
    watch = Watch(make_policy())
    for block in quiet_blocks(1, LEARNED_UNTIL):
        for trace in block:
            watch.learn(trace)
    span = {
        "chain_id": CHAIN_ID,
        "contracts": (VAULT,),
        "until_block": BlockNumber(LEARNED_UNTIL),
        "until_hash": chain.blocks[LEARNED_UNTIL].hash,
    }
    return Learned(
        history="vault",
        transactions=LEARNED_UNTIL,
        rows=bytes(32),
        last_position=watch.last_position,
        state=watch.state(),
        recorded=RecordedSpan(**(span | changes)),  # type: ignore[arg-type]
    )


def make_levels(learned: Learned | None, *, to_learn: int = 1) -> Levels:
    return Levels(
        policy=make_policy(),
        chain_id=CHAIN_ID,
        contracts={"vault": Address(VAULT)},
        learned=learned,
        to_learn=to_learn,
    )


class Room:
    """A detection that runs, and the blocks that it told of."""

    def __init__(self, chain: MemoryChain, levels: Levels, **options: Any) -> None:
        self.chain, self.levels = chain, levels
        self.told: list[JudgedBlock] = []
        self.detection = LiveDetection(
            levels, cast(Any, chain), cast(Any, chain), self._tell, **({"keep_blocks": 20} | options)
        )

    async def _tell(self, block: JudgedBlock) -> None:
        self.told.append(block)

    async def settle(self) -> None:
        """Until it has made of the chain what it can."""
        for _ in range(4):
            self.detection.wake()
            await trio.testing.wait_all_tasks_blocked()

    @property
    def standing(self) -> Standing:
        return self.detection.statistics().standing

    def numbers(self, first: int) -> list[int | Undefined]:
        return [self.levels.at(ref) for ref in self.chain.blocks[first:]]


@asynccontextmanager
async def running(chain: MemoryChain, levels: Levels, **options: Any) -> AsyncIterator[Room]:
    room = Room(chain, levels, **options)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(room.detection.run)
        await room.settle()
        yield room
        nursery.cancel_scope.cancel()


async def test_a_block_has_the_level_of_its_worst_transaction_and_quiet_ones_have_none() -> None:
    chain = make_chain()
    async with running(chain, make_levels(make_learned(chain))) as room:
        chain.extend(quiet(61), (), two_of(theft(63), deposit(1, block=63)), quiet(64))
        await room.settle()

        assert room.numbers(61) == [0, 0, Level.ALERT + 1, 0]
        assert [block.ref for block in room.told] == chain.blocks[61:]
        assert all(block.is_live for block in room.told)
        assert room.standing is Standing.LIVE


async def test_a_transaction_that_may_come_is_judged_at_the_head_as_it_would_be_when_it_comes() -> None:
    chain = make_chain()
    levels = make_levels(make_learned(chain))
    async with running(chain, levels) as room:
        chain.extend(quiet(61), quiet(62))
        await room.settle()
        (coming,) = theft(63)
        state = room.detection._course.summary().state_hash

        foreseen = levels.preview(coming, chain.head)

        assert foreseen.level is not None
        assert levels.preview(coming, chain.head) == foreseen
        assert room.detection._course.summary().state_hash == state
        for elsewhere in (chain.blocks[61], chain.blocks[60]):
            with pytest.raises(Unavailable, match="stand at block 62"):
                levels.preview(coming, elsewhere)
        chain.extend((coming,))
        await room.settle()
        assert levels.at(chain.head) == foreseen.level + 1


async def test_nothing_is_foreseen_at_a_block_that_the_chain_left_or_that_cannot_be_traced() -> None:
    chain = make_chain()
    levels = make_levels(make_learned(chain))
    async with running(chain, levels) as room:
        chain.extend(quiet(61), quiet(62))
        await room.settle()
        left = chain.head
        assert levels.stands_at(left)
        chain.leave(62)
        chain.extend((deposit(77, block=62),), quiet(63))
        await room.settle()
        assert not levels.stands_at(left)
        assert levels.stands_at(chain.head)
        chain.without_traces.add(64)
        chain.extend(quiet(64))
        await room.settle()
        with pytest.raises(Unavailable):
            levels.preview(theft(65)[0], chain.head)


async def test_nothing_is_foreseen_while_it_learns() -> None:
    chain = MemoryChain()
    levels = make_levels(None, to_learn=3)
    async with running(chain, levels) as room:
        stood = []
        for number in range(1, 7):
            chain.extend(quiet(number))
            await room.settle()
            stood.append(levels.stands_at(chain.head))

        assert stood == [False] * 3 + [True] * 3


async def test_who_starts_late_catches_up_from_the_file_and_comes_to_the_same() -> None:
    chain = make_chain()
    learned = make_learned(chain)
    async with running(chain, make_levels(learned)) as early:
        for number in range(61, 100):
            chain.extend(theft(number) if number in (70, 80) else quiet(number))
            await early.settle()
        async with running(chain, make_levels(learned)) as late:
            assert late.numbers(61) == early.numbers(61)
            assert sum(cast(int, each) for each in late.numbers(61)) >= 2
            assert [block.ref for block in late.told] == chain.blocks[61:]
            assert [block.is_live for block in late.told] == [False] * 38 + [True]
            assert late.standing is Standing.LIVE


@pytest.mark.parametrize("fork", [62, 68, 75])
async def test_who_saw_a_reorg_comes_to_the_same_as_who_did_not(fork: int) -> None:
    chain = make_chain()
    learned = make_learned(chain)
    async with running(chain, make_levels(learned)) as room:
        chain.extend(*quiet_blocks(61, fork - 1))
        await room.settle()
        chain.extend(*(theft(number) for number in range(fork, 76)))
        await room.settle()
        left = chain.blocks[fork]
        chain.leave(fork)
        chain.extend(*((deposit(77, block=n),) for n in range(fork, 76)), *quiet_blocks(76, 90), theft(91))
        await room.settle()
        async with running(chain, make_levels(learned)) as straight:
            assert room.numbers(61) == straight.numbers(61)
            assert straight.numbers(91) == [Level.ALERT + 1]
            assert not straight.levels.knows(left)
        assert room.detection.statistics().restarts == 0


async def test_a_reorg_below_what_is_kept_begins_again_at_the_file() -> None:
    chain = make_chain()
    learned = make_learned(chain)
    async with running(chain, make_levels(learned), keep_blocks=5) as room:
        chain.extend(*quiet_blocks(61, 90))
        await room.settle()
        chain.leave(65)
        chain.extend(*((deposit(77, block=n),) for n in range(65, 80)), theft(80))
        await room.settle()
        async with running(chain, make_levels(learned)) as straight:
            assert room.numbers(61) == straight.numbers(61)
        assert room.detection.statistics().restarts == 1
        told = [block.ref for block in room.told]
        assert len(set(told)) == len(told), "nothing is told again for having begun again"
        assert told[-16:] == chain.blocks[65:]


async def test_a_block_that_the_chain_left_and_came_back_to_is_told_again() -> None:
    chain = make_chain(quiet(61))
    async with running(chain, make_levels(make_learned(chain))) as room:
        chain.extend(theft(62))
        await room.settle()
        left = chain.head
        chain.leave(62)
        chain.extend(quiet(62))
        await room.settle()
        chain.leave(62)
        chain.blocks.append(left)
        await room.settle()

        assert [block.ref for block in room.told].count(left) == 2
        assert room.numbers(61) == [0, Level.ALERT + 1]


async def test_nothing_is_known_from_a_block_without_traces_on_until_it_has_them() -> None:
    chain = make_chain()
    async with running(chain, make_levels(make_learned(chain))) as room:
        chain.without_traces.add(62)
        chain.extend(quiet(61), theft(62), quiet(63))
        await room.settle()

        assert room.levels.at(chain.blocks[61]) == 0
        for ref in chain.blocks[62:]:
            with pytest.raises(Unavailable, match=f"did not judge block {ref.number}"):
                room.levels.at(ref)
        assert room.standing is Standing.WAITING
        assert room.detection.statistics().gaps == 1

        chain.without_traces.clear()
        await room.settle()
        assert room.numbers(61) == [0, Level.ALERT + 1, 0]
        assert room.standing is Standing.LIVE


async def test_a_block_that_waits_for_traces_and_is_left_by_the_chain_is_not_waited_for() -> None:
    chain = make_chain()
    async with running(chain, make_levels(make_learned(chain))) as room:
        chain.without_traces.add(62)
        chain.extend(quiet(61), theft(62), quiet(63))
        await room.settle()
        chain.leave(62)
        chain.without_traces.clear()
        chain.extend(quiet(62), quiet(63), quiet(64))
        await room.settle()

        assert room.numbers(61) == [0, 0, 0, 0]


async def test_what_waits_for_traces_is_bounded_and_a_chain_that_leaves_it_is_noticed() -> None:
    chain = make_chain()
    async with running(chain, make_levels(make_learned(chain))) as room:
        chain.is_blind = True
        chain.extend(*quiet_blocks(61, 61 + 400))
        await room.settle()
        assert MAX_AHEAD <= room.detection.statistics().ahead < MAX_AHEAD + LONGEST_STRIDE
        chain.leave(61)
        chain.is_blind = False
        chain.extend(*quiet_blocks(61, 70))
        await room.settle()

        assert room.numbers(61) == [0] * 10


async def test_a_block_that_cannot_be_traced_while_the_newest_can_is_passed_over_and_stays_unknown() -> None:
    chain = make_chain()
    async with running(chain, make_levels(make_learned(chain))) as room:
        chain.without_traces |= {62, 63}
        chain.extend(quiet(61), theft(62))
        await room.settle()
        chain.extend(theft(63))
        await room.settle()
        chain.extend(*quiet_blocks(64, 61 + PASS_OVER_BLOCKS))
        await room.settle()
        assert room.detection.statistics().passed_over == 0

        chain.extend(theft(62 + PASS_OVER_BLOCKS))
        await room.settle()
        assert room.detection.statistics().passed_over == 1
        assert not room.levels.knows(chain.blocks[64]), "the next is waited for as long"

        chain.extend(quiet(63 + PASS_OVER_BLOCKS))
        await room.settle()
        statistics = room.detection.statistics()
        assert (statistics.passed_over, statistics.gaps, room.standing) == (2, 1, Standing.LIVE)
        assert room.numbers(64) == [0] * (PASS_OVER_BLOCKS - 2) + [Level.ALERT + 1, 0]
        assert not any(room.levels.knows(ref) for ref in chain.blocks[62:64])


async def test_who_catches_up_waits_for_a_block_by_the_chains_growth_and_not_by_its_own() -> None:
    chain = make_chain(*quiet_blocks(61, 61 + 2 * PASS_OVER_BLOCKS))
    chain.without_traces.add(61)
    async with running(chain, make_levels(make_learned(chain))) as room:
        assert room.detection.statistics().passed_over == 0
        assert room.detection.statistics().ahead > PASS_OVER_BLOCKS

        chain.without_traces.clear()
        await room.settle()
        assert room.numbers(61) == [0] * (2 * PASS_OVER_BLOCKS + 1)


@pytest.mark.parametrize(("forgotten", "passed_over"), [(1, 1), (15, 15), (STRIDE, 0)])
async def test_blocks_that_a_node_forgot_are_not_passed_over_one_by_one(
    forgotten: int, passed_over: int
) -> None:
    chain = make_chain(*quiet_blocks(61, 100))
    chain.without_traces |= set(range(61, 61 + forgotten))
    async with running(chain, make_levels(make_learned(chain))) as room:
        chain.extend(*quiet_blocks(101, 100 + PASS_OVER_BLOCKS))
        await room.settle()

        assert room.detection.statistics().passed_over == passed_over
        assert (room.standing is Standing.LIVE) == (passed_over > 0)


async def test_while_no_block_can_be_traced_none_is_passed_over() -> None:
    chain = make_chain()
    async with running(chain, make_levels(make_learned(chain))) as room:
        chain.is_blind = True
        chain.extend(*quiet_blocks(61, 62 + 2 * PASS_OVER_BLOCKS))
        await room.settle()

        assert room.detection.statistics().passed_over == 0
        assert room.told == []


async def test_a_file_that_ends_too_long_ago_is_named_and_nothing_is_known() -> None:
    chain = make_chain(*quiet_blocks(61, 80))
    async with running(chain, make_levels(make_learned(chain)), max_catch_up=19) as room:
        assert room.standing is Standing.LOST
        assert room.told == []
        with pytest.raises(Unavailable):
            room.levels.at(chain.head)
    async with running(chain, make_levels(make_learned(chain)), max_catch_up=20) as room:
        assert room.standing is Standing.LIVE


async def test_a_file_of_a_branch_that_the_chain_left_is_named_and_nothing_is_known() -> None:
    chain = make_chain()
    levels = make_levels(make_learned(chain))
    chain.leave(60)
    chain.extend(*quiet_blocks(60, 61))
    async with running(chain, levels) as room:
        assert room.standing is Standing.LOST
        assert room.told == []


class Brittle(Watch):
    def judge(self, transaction: TransactionTrace) -> Judgement:
        if transaction.block_number == 62:
            raise Broken("the detector 'brittle' failed")
        return super().judge(transaction)


async def test_a_transaction_that_breaks_a_detector_ends_the_detection_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chain = make_chain()
    levels = make_levels(make_learned(chain))

    def make_watch() -> Watch:
        watch = Brittle(make_policy())
        assert levels.learned is not None
        watch.restore(levels.learned.state, {})
        return watch

    monkeypatch.setattr(levels, "make_watch", make_watch)
    async with running(chain, levels) as room:
        chain.extend(quiet(61), quiet(62), quiet(63))
        await room.settle()

        assert room.levels.at(chain.blocks[61]) == 0
        assert not any(room.levels.knows(ref) for ref in chain.blocks[62:])
        assert room.standing is Standing.LOST
        assert "'brittle' failed" in room.detection.sight().detail


async def test_without_a_file_a_block_counts_from_the_first_that_is_judged_whole() -> None:
    chain = MemoryChain()
    async with running(chain, make_levels(None, to_learn=61)) as room:
        chain.extend(*quiet_blocks(1, 60), two_of(quiet(61), deposit(1, block=61)))
        await room.settle()
        assert room.standing is Standing.LIVE
        assert room.told == []
        chain.extend(theft(62))
        await room.settle()

        assert [block.ref.number for block in room.told] == [62]
        assert isinstance(room.levels.at(chain.blocks[61]), Undefined), "it was learned from in part"
        assert room.levels.at(chain.head) == Level.ALERT + 1


def test_what_was_learned_from_has_no_number_for_anybody() -> None:
    chain = make_chain(quiet(61))
    levels = make_levels(make_learned(chain))

    told = levels.at(chain.blocks[LEARNED_UNTIL])

    assert isinstance(told, Undefined)
    assert told.reason is Reason.HISTORY_TOO_SHORT
    assert levels.knows(chain.blocks[LEARNED_UNTIL])
    assert not levels.knows(chain.head)


def test_the_oldest_blocks_make_room() -> None:
    levels, first = make_levels(None), make_chain().blocks[1]
    for number in range(KEPT_BLOCKS):
        levels.put(replace(first, hash=BlockHash(bytes([1]) + number.to_bytes(31, "big"))), 0)
    oldest = replace(first, hash=BlockHash(bytes([1]) + bytes(31)))
    assert levels.knows(oldest)

    levels.put(first, 0)

    assert levels.knows(first)
    assert not levels.knows(oldest)
