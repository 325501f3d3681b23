"""Who waits for the tally, and who gives way when too many do."""

from collections import Counter

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from consensus.types import Weight
from node.gossip.intake import Intake

ONE = Weight(1)


async def drain(intake: Intake[str]) -> list[str]:
    return [await intake.take() for _ in range(len(intake))]


async def test_what_came_first_is_taken_first() -> None:
    intake = Intake[str](10)
    for item in ("a1", "b1", "a2"):
        assert intake.put_nowait(item, member=item[0], weight=ONE) is None

    assert await drain(intake) == ["a1", "b1", "a2"]


async def test_a_flooder_fills_its_own_share_and_no_other() -> None:
    intake = Intake[str](4)
    for number in range(4):
        intake.put_nowait(f"flood {number}", member="f", weight=ONE)

    assert intake.put_nowait("flood 4", member="f", weight=ONE) == "flood 4"
    assert intake.put_nowait("honest", member="h", weight=ONE) == "flood 3"
    assert await drain(intake) == ["flood 0", "flood 1", "flood 2", "honest"]


async def test_stake_decides_how_much_may_wait() -> None:
    intake = Intake[str](8)
    for number in range(20):
        intake.put_nowait(f"large {number}", member="large", weight=Weight(300))
        intake.put_nowait(f"small {number}", member="small", weight=Weight(100))

    waiting = Counter(item.split()[0] for item in await drain(intake))

    assert waiting == {"large": 6, "small": 2}


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 5)), max_size=60), st.integers(1, 8))
def test_every_item_is_taken_or_gives_way_once(offers: list[tuple[int, int]], room: int) -> None:
    async def scenario() -> None:
        intake = Intake[str](room)
        items = [f"{member} {number}" for number, (member, _) in enumerate(offers)]
        gone = [
            intake.put_nowait(item, member=member, weight=Weight(weight))
            for item, (member, weight) in zip(items, offers, strict=True)
        ]

        assert len(intake) <= room
        assert sorted([*filter(None, gone), *await drain(intake)]) == sorted(items)
        assert not intake._places
        assert not intake._weights

    trio.run(scenario)


async def test_taking_waits_for_an_item() -> None:
    intake = Intake[str](1)
    taken: list[str] = []

    async def take() -> None:
        taken.append(await intake.take())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        await wait_all_tasks_blocked()
        intake.put_nowait("late", member="m", weight=ONE)

    assert taken == ["late"]


def test_an_intake_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Intake[str](0)
