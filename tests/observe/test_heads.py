"""Following a real chain's head over outages, lies, broken websockets and reorgs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
import trio
import trio.testing

from consensus.types import BlockNumber
from node.chain.reader import ChainReader
from node.chain.rpc import RpcPool
from node.chain.types import BlockRef, Endpoint
from node.devnet.anvil import Anvil, Mining, running_anvil
from node.observe.ancestry import Ancestry
from node.observe.heads import MAX_FRUITLESS, HeadEvent, HeadFollower, HeadKind
from tests.chain.doubles import (
    EndpointDouble,
    Lie,
    WebsocketDouble,
    doubles,
    honest,
    pool_of,
    websocket_double,
)

QUICK_POLL_SECONDS = 0.01
NEVER_POLL_SECONDS = 3600.0
PATIENCE_SECONDS = 20.0
CHANNEL_HEADS = 8


class Chain:
    """An anvil, three endpoints before it, and a pool of which two must agree."""

    def __init__(self, anvil: Anvil, three: tuple[EndpointDouble, ...], pool: RpcPool) -> None:
        self.anvil, self.three, self.pool, self.reader = anvil, three, pool, ChainReader(pool)

    async def mine(self, blocks: int = 1) -> None:
        await self.pool.call("anvil_mine", (hex(blocks),))

    async def reorg(self, depth: int) -> None:
        await self.pool.call("anvil_reorg", (depth, []))

    async def canonical(self, first: int, last: int) -> list[BlockRef]:
        return [await self.reader.block_by_number(BlockNumber(number)) for number in range(first, last + 1)]


class Heads:
    """What a follower emits."""

    def __init__(self, follower: HeadFollower, receive: trio.MemoryReceiveChannel[HeadEvent]) -> None:
        self.follower, self._receive = follower, receive

    async def next(self) -> HeadEvent:
        with trio.fail_after(PATIENCE_SECONDS):
            return await self._receive.receive()

    async def take(self, count: int) -> list[HeadEvent]:
        return [await self.next() for _ in range(count)]

    async def wait_statistics(self, name: str, at_least: int) -> None:
        with trio.fail_after(PATIENCE_SECONDS):
            while getattr(self.follower.statistics(), name) < at_least:
                await trio.lowlevel.checkpoint()


@pytest.fixture
async def chain() -> AsyncIterator[Chain]:
    async with (
        running_anvil(mining=Mining.WHEN_TOLD) as anvil,
        doubles(anvil, "ada", "bob", "cyd") as three,
        pool_of(*three) as pool,
    ):
        yield Chain(anvil, three, pool)


@asynccontextmanager
async def following(
    chain: Chain,
    *,
    poll_seconds: float = QUICK_POLL_SECONDS,
    websockets: tuple[Endpoint, ...] = (),
    start: BlockRef | None = None,
    **options: Any,
) -> AsyncIterator[Heads]:
    send, receive = trio.open_memory_channel[HeadEvent](CHANNEL_HEADS)
    follower = HeadFollower(chain.reader, poll_seconds=poll_seconds, websockets=websockets, **options)
    async with trio.open_nursery() as nursery:

        async def follow() -> None:
            await follower.follow(send, start=start)

        nursery.start_soon(follow)
        yield Heads(follower, receive)
        nursery.cancel_scope.cancel()


def subscription(double: WebsocketDouble) -> Endpoint:
    return Endpoint(name="ws", http="http://127.0.0.1:1", ws=double.url)


def require_linked(events: list[HeadEvent]) -> None:
    for earlier, later in pairwise(events):
        if later.kind is HeadKind.EXTENDED:
            assert later.ref.parent_hash == earlier.ref.hash


async def test_begins_with_the_newest_block_and_emits_each_later_one_in_order(chain: Chain) -> None:
    await chain.mine(3)
    async with following(chain) as heads:
        first = await heads.next()
        assert (first.kind, first.ref.number) == (HeadKind.RESUMED, 3)
        await chain.mine(5)
        events = await heads.take(5)
    assert [event.kind for event in events] == [HeadKind.EXTENDED] * 5
    assert [event.ref for event in events] == await chain.canonical(4, 8)


async def test_goes_on_after_the_block_that_it_is_given(chain: Chain) -> None:
    await chain.mine(9)
    (start,) = await chain.canonical(2, 2)
    async with following(chain, start=start) as heads:
        events = await heads.take(7)
    assert [event.ref for event in events] == await chain.canonical(3, 9)
    assert {event.kind for event in events} == {HeadKind.EXTENDED}


@pytest.mark.parametrize("depth", range(1, 9))
async def test_a_reorg_emits_the_new_branch_from_where_it_forks(chain: Chain, depth: int) -> None:
    await chain.mine(2)
    async with following(chain) as heads:
        await heads.next()
        await chain.mine(9)
        before = await heads.take(9)
        await chain.reorg(depth)
        branch = await heads.take(depth)
        await chain.mine(1)
        branch.append(await heads.next())
        statistics = heads.follower.statistics()
    assert [event.kind for event in branch] == [HeadKind.REORGED, *[HeadKind.EXTENDED] * depth]
    assert branch[0].ref.parent_hash == before[-depth - 1].ref.hash
    orphans = heads.follower.orphans
    assert all(orphans.has_left(event.ref.number, event.ref.hash) for event in before[-depth:])
    standing = [*before[:-depth], *branch]
    assert not any(orphans.has_left(event.ref.number, event.ref.hash) for event in standing)
    assert [event.ref for event in branch] == await chain.canonical(11 - depth + 1, 12)
    assert (statistics.reorgs, statistics.deepest_reorg) == (1, depth)
    require_linked(branch)


async def test_who_is_told_to_look_now_does_not_wait_for_the_poll(chain: Chain) -> None:
    async with following(chain, poll_seconds=NEVER_POLL_SECONDS) as heads:
        await heads.next()
        await trio.testing.wait_all_tasks_blocked()
        await chain.mine(1)

        heads.follower.look_now()

        assert (await heads.next()).ref.number == 1


async def test_a_branch_that_is_shorter_than_ours_is_followed_too(chain: Chain) -> None:
    await chain.mine(4)
    async with following(chain) as heads:
        await heads.next()
        await chain.mine(4)
        await heads.take(4)
        await chain.pool.call("anvil_rollback", (3,))
        await chain.pool.call("evm_increaseTime", ("0x64",))
        await chain.mine(1)
        event = await heads.next()
    assert event.kind is HeadKind.REORGED
    assert event.ref.number == 6


async def test_endpoints_that_fall_back_for_a_while_cause_no_block_to_come_twice(chain: Chain) -> None:
    await chain.mine(4)
    async with following(chain) as heads:
        await heads.next()

        def lag(method: str, params: list[Any], response: dict[str, Any]) -> dict[str, Any]:
            hidden = method == "eth_getBlockByNumber" and int(params[0], 16) >= 4
            return {**response, "result": None} if hidden else response

        chain.three[0].lie = chain.three[1].lie = lag
        asked = chain.three[2].asked["eth_getBlockByNumber"]
        with trio.fail_after(PATIENCE_SECONDS):
            await chain.three[2].wait_asked("eth_getBlockByNumber", asked + 40)
        for double in chain.three[:2]:
            double.lie = lambda method, params, response: response
        await chain.mine(1)
        event = await heads.next()
    assert (event.kind, event.ref.number) == (HeadKind.EXTENDED, 5)


async def test_a_reorg_deeper_than_what_is_known_resumes_with_every_block_that_was_fetched(
    chain: Chain,
) -> None:
    await chain.mine(8)
    async with following(chain) as heads:
        await heads.next()
        await chain.mine(2)
        await heads.take(2)
        await chain.reorg(5)
        events = await heads.take(3)
    assert [event.kind for event in events] == [HeadKind.RESUMED, HeadKind.EXTENDED, HeadKind.EXTENDED]
    assert [event.ref for event in events] == await chain.canonical(8, 10)


async def test_the_gap_of_an_outage_is_filled_in_order(chain: Chain) -> None:
    async with following(chain) as heads:
        await heads.next()
        for double in chain.three:
            double.is_down = True
        await heads.wait_statistics("unavailable", 1)
        async with pool_of(*chain.three, agreement=1) as direct:
            for double in chain.three:
                double.is_down = False
            chain.three[0].status = chain.three[1].status = None
            await direct.call("anvil_mine", (hex(60),))
        events = await heads.take(60)
    assert [event.ref for event in events] == await chain.canonical(1, 60)
    assert {event.kind for event in events} == {HeadKind.EXTENDED}


async def test_a_gap_beyond_the_bound_is_skipped_and_said_so(chain: Chain) -> None:
    (start,) = await chain.canonical(0, 0)
    await chain.mine(100)
    async with following(chain, start=start, max_catch_up=20) as heads:
        events = []
        while not events or events[-1].ref.number < 100:
            events.append(await heads.next())
        statistics = heads.follower.statistics()
    resumed = [event for event in events if event.kind is HeadKind.RESUMED]
    assert len(resumed) == 1
    assert resumed[0].ref.number == 81
    assert len(events) + resumed[0].skipped == 100
    assert statistics.skipped == resumed[0].skipped


async def test_a_block_that_only_one_endpoint_has_does_not_get_through(chain: Chain) -> None:
    async with following(chain) as heads:
        await heads.next()

        def invent(method: str, params: list[Any], response: dict[str, Any]) -> dict[str, Any]:
            if method != "eth_getBlockByNumber" or response.get("result") is not None:
                return response
            made_up = {"number": params[0], "hash": "0x" + "66" * 32, "parentHash": "0x" + "55" * 32}
            return {**response, "result": {**made_up, "timestamp": "0x99"}}

        chain.three[0].lie = invent
        asked = chain.three[0].asked["eth_getBlockByNumber"]
        await chain.three[0].wait_asked("eth_getBlockByNumber", asked + 10)
        await chain.mine(1)
        event = await heads.next()
    assert [event.ref] == await chain.canonical(1, 1)


async def test_a_websocket_wakes_it_long_before_the_poll(chain: Chain) -> None:
    endpoint = Endpoint(name="anvil", http=chain.anvil.http, ws=chain.anvil.ws)
    async with following(chain, poll_seconds=NEVER_POLL_SECONDS, websockets=(endpoint,)) as heads:
        await heads.next()
        await chain.mine(1)  # may come before the subscription stands
        while heads.follower.statistics().announcements == 0:
            await chain.mine(1)
        last = await chain.reader.latest_number()
        events = await heads.take(last)
    assert [event.ref for event in events] == await chain.canonical(1, last)


async def test_a_websocket_that_breaks_is_opened_again_and_goes_on_waking(chain: Chain) -> None:
    async with websocket_double() as double:
        websockets = (subscription(double),)
        async with following(chain, poll_seconds=NEVER_POLL_SECONDS, websockets=websockets) as heads:
            await heads.next()
            await double.wait_subscribed(1)
            await chain.mine(1)
            await double.announce("0x" + "01" * 32)
            assert (await heads.next()).ref.number == 1
            await double.drop()
            await chain.mine(1)
            assert (await heads.next()).ref.number == 2  # found on reconnecting, though nobody announced it
            await double.wait_subscribed(2)
            await chain.mine(1)
            await double.announce("0x" + "02" * 32)
            assert (await heads.next()).ref.number == 3
            assert heads.follower.statistics().reconnects == 1


async def test_an_announcement_before_the_others_have_the_block_is_tried_again_soon(chain: Chain) -> None:
    async with websocket_double() as double:
        websockets = (subscription(double),)
        async with following(chain, poll_seconds=NEVER_POLL_SECONDS, websockets=websockets) as heads:
            await heads.next()
            await double.wait_subscribed(1)
            asked = chain.three[0].asked["eth_getBlockByNumber"]
            await double.announce("0x" + "01" * 32)
            await chain.three[0].wait_asked("eth_getBlockByNumber", asked + 4)
            await chain.mine(1)
            assert (await heads.next()).ref.number == 1


async def test_a_websocket_cannot_put_a_block_in_nor_make_us_ask_without_end(chain: Chain) -> None:
    async with websocket_double() as double:
        websockets = (subscription(double),)
        async with following(chain, poll_seconds=NEVER_POLL_SECONDS, websockets=websockets) as heads:
            await heads.next()
            await double.wait_subscribed(1)
            for message in ("", "{", "[]", '{"params":null}', '{"params":{"result":{"hash":"0x66"}}}'):
                await double.say(message)
            for number in range(MAX_FRUITLESS):
                await double.announce(f"0x{number:064x}")
                await heads.wait_statistics("announcements", number + 1)
            asked = chain.three[0].asked["eth_getBlockByNumber"]
            for number in range(MAX_FRUITLESS, MAX_FRUITLESS + 50):
                await double.announce(f"0x{number:064x}")
                await heads.wait_statistics("announcements", number + 1)
                await chain.pool.call_agreed("eth_chainId")  # time enough to ask, if it were to
            assert chain.three[0].asked["eth_getBlockByNumber"] < asked + 20
            assert heads.follower.statistics().emitted == 1


def rewritten(method: str, at: int, **fields: str) -> Lie:
    """Change those fields of the block with this number."""

    def lie(called: str, params: list[Any], response: dict[str, Any]) -> dict[str, Any]:
        result = response.get("result")
        if called != method or result is None or int(result["number"], 16) != at:
            return response
        return {**response, "result": result | fields}

    return lie


async def test_a_block_whose_parent_is_not_our_head_is_not_taken_for_its_successor(chain: Chain) -> None:
    async with following(chain) as heads:
        await heads.next()
        for double in chain.three:
            double.lie = rewritten("eth_getBlockByNumber", 1, parentHash="0x" + "66" * 32)
        await chain.mine(1)
        asked = chain.three[0].asked["eth_getBlockByNumber"]
        await chain.three[0].wait_asked("eth_getBlockByNumber", asked + 10)
        assert heads.follower.statistics().emitted == 1
        for double in chain.three:
            double.lie = honest
        assert [(await heads.next()).ref] == await chain.canonical(1, 1)


async def test_a_parent_whose_number_does_not_fit_is_not_walked_over(chain: Chain) -> None:
    await chain.mine(2)
    async with following(chain) as heads:
        await heads.next()
        await chain.mine(4)
        await heads.take(4)
        for double in chain.three:
            double.lie = rewritten("eth_getBlockByHash", 5, number="0x63")
        await chain.reorg(3)
        await heads.wait_statistics("unavailable", 3)
        assert "whose number does not fit" in str(heads.follower.statistics().last_unavailable)
        for double in chain.three:
            double.lie = honest
        events = await heads.take(3)
    assert [event.ref for event in events] == await chain.canonical(4, 6)


async def test_a_websocket_that_is_not_there_does_no_harm(chain: Chain) -> None:
    nobody = Endpoint(name="nobody", http=chain.anvil.http, ws="ws://127.0.0.1:1")
    async with following(chain, websockets=(nobody,)) as heads:
        await heads.next()
        await heads.wait_statistics("reconnects", 1)
        await chain.mine(1)
        assert (await heads.next()).ref.number == 1


async def test_waits_for_its_consumer_and_drops_nothing(chain: Chain) -> None:
    async with following(chain) as heads:
        await heads.next()
        await chain.mine(3 * CHANNEL_HEADS)
        await heads.wait_statistics("emitted", CHANNEL_HEADS)
        events = await heads.take(3 * CHANNEL_HEADS)
    assert [event.ref for event in events] == await chain.canonical(1, 3 * CHANNEL_HEADS)


async def test_ancestry_forgets_the_oldest(chain: Chain) -> None:
    await chain.mine(4)
    refs = await chain.canonical(0, 4)
    ancestry = Ancestry(max_blocks=3)
    for ref in refs:
        ancestry.add(ref)
    assert len(ancestry) == 3
    assert ancestry.get(refs[1].hash) is None
    assert ancestry.get(refs[2].hash) == refs[2]
