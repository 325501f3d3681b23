"""Watchers as processes: heard from the first line on, restarted, and missed when they end by themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from consensus.errors import Broken
from node.devnet.processes import Said, WatcherProcess

PATIENCE_SECONDS = 30


@asynccontextmanager
async def followed(process: WatcherProcess) -> AsyncIterator[trio.MemoryReceiveChannel[Said]]:
    """What the started process says."""
    said_in, said = trio.open_memory_channel[Said](8)
    await process.start()
    try:
        with trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(process.follow, said_in)
                yield said
                nursery.cancel_scope.cancel()
    finally:
        await process.kill()


def make_process(folder: Path, conduct: str) -> WatcherProcess:
    return WatcherProcess(
        name="w1", module="tests.devnet.talker", arguments=(conduct,), log=folder / "log.jsonl"
    )


async def test_a_restart_is_heard_behind_the_life_before_and_taken_for_no_death(tmp_path: Path) -> None:
    process = make_process(tmp_path, "stay")
    async with followed(process) as said:
        first = await said.receive()
        for end in (process.stop, process.kill):
            await end()
            await process.start()
            assert await said.receive() == first

    assert first == Said(watcher="w1", event="talker.ready", at_ms=7, fields=first.fields)


async def test_a_watcher_that_ends_by_itself_is_noticed_with_its_code_and_last_words(tmp_path: Path) -> None:
    process = make_process(tmp_path, "die")
    said_in, said = trio.open_memory_channel[Said](8)
    await process.start()

    with trio.fail_after(PATIENCE_SECONDS), pytest.raises(Broken, match="ended by itself") as caught:
        await process.follow(said_in)

    assert said.receive_nowait().event == "talker.ready"
    assert "w1 ended by itself with code 3" in str(caught.value)
    assert "no json" in str(caught.value)


async def test_a_process_that_was_never_started_has_no_pid(tmp_path: Path) -> None:
    with pytest.raises(Broken, match="before start"):
        _ = make_process(tmp_path, "stay").pid
