"""Listens to the watchers of a local network: waiting means waiting for a line that one of them writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import trio

from node.devnet.network import LocalNetwork
from node.devnet.processes import Said

PATIENCE_SECONDS = 60  # only how long a failing test takes: what is waited for is always a line


class Ear:
    """Everything said so far, and the wait for more of it.

    `mark` forgets, so that a phase hears only its own.
    """

    def __init__(self, network: LocalNetwork[Any]) -> None:
        self._said = network.said
        self._names = tuple(network.watchers)
        self.heard: list[Said] = []

    def mark(self) -> None:
        """From here on: what was said before is not looked at again."""
        self.heard.clear()

    def all(self, watcher: str, event: str, **fields: object) -> Iterator[Said]:
        """What was heard since the mark of that kind, with these values."""
        for said in self.heard:
            if (said.watcher, said.event) == (watcher, event) and fields.items() <= said.fields.items():
                yield said

    async def wait(self, watcher: str, event: str, **fields: object) -> Said:
        """The first such line since the mark."""
        await self.wait_until(lambda: any(self.all(watcher, event, **fields)), f"{watcher}: {event} {fields}")
        return next(self.all(watcher, event, **fields))

    async def wait_until(self, is_enough: Callable[[], bool], what: str) -> None:
        """Listen until the condition holds."""
        with trio.move_on_after(PATIENCE_SECONDS):
            while not is_enough():
                self.heard.append(await self._said.receive())
            return
        last = [f"{said.watcher} {said.event}" for said in self.heard[-12:]]
        raise AssertionError(f"waited {PATIENCE_SECONDS} s in vain for {what}; last heard: {last}")

    async def mined(self, network: LocalNetwork[Any], transaction: str) -> int:
        """The block that a transaction of the test landed in.

        Heads are what is waited for between two looks.
        """
        while (receipt := await network.ground.home.receipt(transaction)) is None:
            self.heard.append(await self._said.receive())
        assert receipt["status"] == "0x1", receipt
        return int(receipt["blockNumber"], 16)
