"""A series signal on a live chain: a block's number depends on the file and the canonical chain alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest
import trio
import trio.testing

from consensus.alert import Level
from consensus.errors import Reason, Unavailable
from consensus.types import BlockHash, BlockNumber
from node.backtest.series import learn_series
from node.chain.reader import ChainReader
from node.chain.types import BlockRef
from node.detect.series.learned import SeriesLearned
from node.detect.series.levels import SeriesLevels
from node.detect.series.policy import SeriesPolicy
from node.detect.series.sample import Sample
from node.detect.series.watch import SeriesWatch
from node.devnet.anvil import Mining, running_anvil
from node.evaluate.engine import Engine
from node.evaluate.expressions import Undefined
from node.evaluate.findings import Finding
from node.evaluate.lookups import LookedUpSignal
from node.evaluate.views import Wants
from node.live.room import LiveRoom
from node.live.row import JudgedBlock, Standing
from node.live.series import LiveSeries
from node.observe.ancestry import Ancestry
from node.policies import read_policy
from tests.chain.doubles import doubles, pool_of
from tests.detect.series import POLICY, make_series_policy
from tests.detect.test_series_watch import SURGE, usual
from tests.evaluate.policies import TOKEN, make_policy_text
from tests.live.chains import CHAIN_ID, MemoryChain

UNTIL = 400
NAMES = ("volume", "price", "market")
Values = Mapping[str, int | None]


@dataclass(frozen=True, slots=True)
class Source:
    """A signal whose value stands in the test; None: undefined there for everybody."""

    name: str
    values: Mapping[BlockHash, Values]
    unreadable: set[int]

    def wants(self) -> Wants:
        return Wants()

    async def read(self, view: Any) -> int | Undefined:
        ref: BlockRef = view.ref
        if ref.number in self.unreadable:
            raise Unavailable(f"no state of block {ref.number}")
        value = self.values[ref.hash][self.name]
        return value if value is not None else Undefined(Reason.CALL_REVERTED, "reverts")

    def form(self) -> dict[str, object]:
        return {}


@dataclass(frozen=True, slots=True)
class At:
    ref: BlockRef


class Story:
    """A chain, and what the signals are at each block of each branch."""

    def __init__(self, blocks: int = UNTIL) -> None:
        self.chain = MemoryChain()
        self.values: dict[BlockHash, Values] = {self.chain.head.hash: usual(0).values}
        self.unreadable: set[int] = set()
        for _ in range(blocks):
            self.extend()

    def extend(self, **changes: int | None) -> BlockRef:
        """One more usual block, but for the changes."""
        ref = self.chain.extend(())
        self.values[ref.hash] = {**usual(ref.number).values, **changes}
        return ref

    def sample(self, ref: BlockRef) -> Sample:
        told = self.values[ref.hash].items()
        values = {name: each for name, each in told if each is not None and each < 2**512}
        return Sample(
            block_number=ref.number,
            block_hash=ref.hash,
            parent_hash=ref.parent_hash,
            timestamp=ref.timestamp,
            values=values,
        )

    def learn(self) -> SeriesLearned:
        refs = self.chain.blocks[: UNTIL + 1]
        return learn_series(
            map(self.sample, refs), make_series_policy(), name="pool", points=len(refs), chain_id=CHAIN_ID
        )

    def levels(self, learned: SeriesLearned | None, *, to_learn: int = 1, **changes: Any) -> SeriesLevels:
        sources = {name: Source(name, self.values, self.unreadable) for name in NAMES}
        details = {"policy": make_series_policy(), "rule": None, **changes}
        return SeriesLevels(chain_id=CHAIN_ID, sources=sources, learned=learned, to_learn=to_learn, **details)

    def expected(self, learned: SeriesLearned) -> list[int]:
        """What a watch that is shown the canonical chain alone says of the blocks after what was learned."""
        watch = learned.make_watch(make_series_policy().with_learned(learned.state_hash))
        found = [watch.judge(self.sample(ref)) for ref in self.chain.blocks[UNTIL + 1 :]]
        return [max((each.level + 1 for each in said if each.level is not None), default=0) for said in found]


class Room:
    def __init__(self, story: Story, levels: SeriesLevels, **options: Any) -> None:
        self.story, self.levels = story, levels
        self.told: list[JudgedBlock] = []
        self.series = LiveSeries(levels, cast(Any, story.chain), cast(Any, At), self._tell, **options)

    async def _tell(self, block: JudgedBlock) -> None:
        self.told.append(block)

    async def settle(self) -> None:
        for _ in range(4):
            self.series.wake()
            await trio.testing.wait_all_tasks_blocked()

    @property
    def standing(self) -> Standing:
        return self.series.sight().standing

    def numbers(self, first: int = UNTIL + 1) -> list[int | Undefined]:
        return [self.levels.at(ref) for ref in self.story.chain.blocks[first:]]


@asynccontextmanager
async def running(story: Story, levels: SeriesLevels, **options: Any) -> AsyncIterator[Room]:
    room = Room(story, levels, **options)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(room.series.run)
        await room.settle()
        yield room
        nursery.cancel_scope.cancel()


async def test_blocks_since_the_file_are_caught_up_with_and_the_rest_followed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    story = Story(UNTIL + 5)
    learned = story.learn()
    async with running(story, story.levels(learned)) as room:
        surge = story.extend(volume=SURGE)
        story.extend()
        await room.settle()

        numbers = room.numbers()
        standing = room.standing

    assert numbers == story.expected(learned)
    assert room.levels.at(surge) == Level.LIMIT + 1
    assert sum(number for number in numbers if isinstance(number, int)) == Level.LIMIT + 1
    assert standing is Standing.LIVE
    assert [each.is_live for each in room.told] == [False] * 4 + [True] * 3
    assert isinstance(room.levels.at(story.chain.blocks[UNTIL]), Undefined)


async def test_a_reorg_leaves_what_the_canonical_chain_alone_would_have_given(
    autojump_clock: trio.testing.MockClock,
) -> None:
    story = Story(UNTIL + 20)
    learned = story.learn()
    async with running(story, story.levels(learned)) as room:
        story.extend(volume=SURGE)
        left = story.extend(volume=SURGE)
        await room.settle()
        story.chain.leave(UNTIL + 15)
        for _ in range(9):
            story.extend()
        surge = story.extend(volume=SURGE)
        await room.settle()
        seen = room.numbers()

    async with running(story, story.levels(learned)) as late:
        assert late.numbers() == seen

    assert seen == story.expected(learned)
    assert room.levels.at(surge) == Level.LIMIT + 1, "the surge on the other branch set no cooldown here"
    assert room.levels.at(left) == 0
    assert room.series.sight().restarts == 0


async def test_a_reorg_below_what_is_kept_begins_again_at_the_file(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.detect.series.watch.DEPTH", 4)
    story = Story(UNTIL + 20)
    learned = story.learn()
    async with running(story, story.levels(learned)) as room:
        story.chain.leave(UNTIL + 3)
        for _ in range(30):
            story.extend()
        await room.settle()
        await room.settle()

        assert room.numbers() == story.expected(learned)
        assert room.series.sight().restarts == 1


async def test_a_block_that_cannot_be_read_is_waited_for_and_not_passed_over(
    autojump_clock: trio.testing.MockClock,
) -> None:
    story = Story(UNTIL + 2)
    learned = story.learn()
    story.unreadable.add(UNTIL + 3)
    async with running(story, story.levels(learned)) as room:
        for _ in range(3):
            story.extend()
        await room.settle()

        before = room.standing
        assert room.levels.knows(story.chain.blocks[UNTIL + 2])
        for ref in story.chain.blocks[UNTIL + 3 :]:
            assert not room.levels.knows(ref)
            with pytest.raises(Unavailable, match="did not judge block"):
                room.levels.at(ref)

        story.unreadable.clear()
        await room.settle()
        assert (before, room.standing) == (Standing.WAITING, Standing.LIVE)
        assert room.numbers() == story.expected(learned)


async def test_a_value_that_nobody_has_is_missing_for_everybody(
    autojump_clock: trio.testing.MockClock,
) -> None:
    story = Story(UNTIL)
    learned = story.learn()
    async with running(story, story.levels(learned)) as room:
        silent = story.extend(volume=None)
        story.extend(price=2**512)
        loud = story.extend(volume=SURGE)
        await room.settle()

        assert room.levels.at(silent) == 0
        assert room.levels.at(loud) == Level.LIMIT + 1
        assert room.numbers() == story.expected(learned)


async def test_without_a_file_each_learns_first_and_may_only_alert(
    autojump_clock: trio.testing.MockClock,
) -> None:
    story = Story(10)
    levels = story.levels(None, to_learn=250)
    async with running(story, levels) as room:
        for _ in range(252):
            last = story.extend()
        await room.settle()
        surge = story.extend(volume=SURGE)
        await room.settle()

        assert room.standing is Standing.LIVE
        assert isinstance(levels.at(story.chain.blocks[200]), Undefined)
        assert levels.at(last) == 0
        assert levels.at(surge) == Level.ALERT + 1
    assert levels.hardest is Level.ALERT
    assert "tocsin series learn" in levels.remedy


async def test_a_file_of_another_branch_or_of_long_ago_leads_nowhere(
    autojump_clock: trio.testing.MockClock,
) -> None:
    story = Story(UNTIL + 9)
    learned = story.learn()
    elsewhere = replace(learned, last_hash=BlockHash(b"\x07" * 32))

    async with running(story, story.levels(elsewhere)) as lost:
        assert lost.standing is Standing.LOST
    async with running(story, story.levels(learned), max_catch_up=8) as late:
        assert late.standing is Standing.LOST
    async with running(story, story.levels(learned), max_catch_up=9) as near:
        assert near.standing in (Standing.CATCHING_UP, Standing.LIVE)


@pytest.mark.parametrize(
    ("rule", "most", "hardest"), [(None, "limit", Level.PAUSE), ("pool", "limit", Level.PAUSE)]
)
def test_rules_may_ask_for_what_the_series_policys_signals_may(
    rule: str | None, most: str, hardest: Level
) -> None:
    story = Story()
    gentle: SeriesPolicy = make_series_policy(("most: pause", "most: limit"))
    refs = story.chain.blocks
    learned = learn_series(map(story.sample, refs), gentle, name="x", points=len(refs), chain_id=CHAIN_ID)

    assert story.levels(story.learn(), rule=rule).hardest is hardest
    assert story.levels(learned, rule=rule, policy=gentle).hardest is Level[most.upper()]


def test_the_number_is_that_of_the_rule_that_is_named() -> None:
    story = Story()
    two = make_series_policy(("    oracle:\n", "  feed:\n    oracle:\n"))
    watch = SeriesWatch(two)
    for number in range(UNTIL):
        watch.learn(usual(number))
    said = [watch.judge(usual(UNTIL + each, price=5_000)) for each in range(3)]

    any_rule, feed, pool = (story.levels(None, rule=rule, policy=two) for rule in (None, "feed", "pool"))

    assert [any_rule.level_of(each) for each in said][-1] == Level.PAUSE + 1
    assert [feed.level_of(each) for each in said][-1] == Level.PAUSE + 1
    assert [pool.level_of(each) for each in said] == [0, 0, 0]


PATIENCE_SECONDS = 30.0
LIVE_POLICY = POLICY.replace("warmup: 50", "warmup: 20").replace("window: 1_000", "window: 100")
SLOT = "0x" + "0" * 63 + "5"


async def test_a_rule_rings_on_a_real_chain_when_its_signal_surges(tmp_path: Path) -> None:
    (tmp_path / "pool.yaml").write_text(LIVE_POLICY)
    rule = "kind: expression\n    when: stress >= 1\n    cooldown_blocks: 0\n    actions: []\n"
    text = make_policy_text(f"    {rule}").replace(
        "signals:\n",
        "signals:\n  volume: {storage: token, slot: 5}\n  price: {storage: token, slot: 6}\n"
        "  market: {storage: token, slot: 6}\n  stress: {series: pool.yaml, learn: 120}\n",
    )
    (tmp_path / "policy.yaml").write_text(text)
    policy = read_policy(tmp_path / "policy.yaml")
    (values,) = [each.values for each in policy.signals if isinstance(each, LookedUpSignal)]
    judged_in, judged = trio.open_memory_channel[JudgedBlock](256)
    async with (
        running_anvil(mining=Mining.WHEN_TOLD) as anvil,
        doubles(anvil, "ada") as (ada,),
        pool_of(ada, agreement=1) as pool,
        trio.open_nursery() as nursery,
    ):
        room = LiveRoom(
            values=[values], pool=pool, ancestry=Ancestry(), judged=judged_in, is_ready=lambda _: False
        )
        nursery.start_soon(room.run)
        engine, rang = Engine(policy), []
        with trio.fail_after(PATIENCE_SECONDS):
            await ada.wait_asked("eth_getBlockByNumber")  # it has begun
            await pool.call("anvil_mine", (hex(129),))
            await pool.call("anvil_setStorageAt", (TOKEN, SLOT, f"0x{10**12:064x}"))
            await pool.call("evm_mine")
            room.see(await ChainReader(pool).latest())
            async for block in judged:
                said = await engine.evaluate(room.view(block.ref))
                rang += [each.anchor.number for each in said if isinstance(each, Finding)]
                if block.ref.number == 130:
                    break
        nursery.cancel_scope.cancel()

    assert rang == [BlockNumber(129)]  # anvil writes into the state of its newest block
