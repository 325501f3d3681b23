"""Watchers as operating-system processes, and what they say.

Each writes JSON lines to a log file of its own; what it says arrives here as `Said`, in order. All are
ended by their process id when the block is left.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from consensus.errors import Broken, Unavailable

POLL_SECONDS = 0.05  # a log file has no events to wait for
STOP_SECONDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One log line of one process."""

    watcher: str
    event: str
    at_ms: int
    fields: Mapping[str, Any]


class WatcherProcess:
    """One `python -m <module>` process. `resident_bytes` reads its memory; `lines` follows its log."""

    def __init__(self, *, name: str, module: str, arguments: tuple[str, ...], log: Path) -> None:
        self.name = name
        self._command = [sys.executable, "-m", module, *arguments]
        self._log = log
        self._process: trio.Process | None = None
        self._is_told_to_end = False

    @property
    def pid(self) -> int:
        """The process id; `Broken` when it was never started."""
        if self._process is None:
            raise Broken(f"watcher {self.name} was asked for its pid before start()")
        return self._process.pid

    @property
    def log(self) -> Path:
        """Where its lines are."""
        return self._log

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    async def start(self, *, under: tuple[str, ...] = ()) -> None:
        """Start it; the log file is appended to, so that a restart keeps the history.

        `under` is a module with its arguments that runs this one in circumstances of its own making.
        """
        python, m, *rest = self._command
        with self._log.open("ab") as sink:
            self._process = await trio.lowlevel.open_process(
                [python, m, *under, *rest], stdout=sink, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
            )
        self._is_told_to_end = False  # only now: until then `follow` looks at the life before

    async def stop(self) -> None:
        """Ask it to end, and end it after a few seconds."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        self._is_told_to_end = True
        process.send_signal(signal.SIGTERM)
        with trio.CancelScope(shield=True):
            with trio.move_on_after(STOP_SECONDS):
                await process.wait()
            if process.poll() is None:
                process.kill()
                await process.wait()

    def allow_end(self) -> None:
        """It may end by itself from here until its next start: that is what is being tried."""
        self._is_told_to_end = True

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, where it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    async def kill(self) -> None:
        """SIGKILL: what a power cut looks like to the journal."""
        if self._process is not None and self._process.poll() is None:
            self._is_told_to_end = True
            self._process.kill()
            await self._process.wait()

    def _has_died(self) -> bool:
        return self._process is not None and self._process.poll() is not None and not self._is_told_to_end

    def resident_bytes(self) -> int:
        """Resident memory now, from /proc."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise Unavailable(
            f"/proc says nothing of the memory of {self.name}; has it ended? See {self._log.name}"
        )

    async def follow(self, said: trio.MemorySendChannel[Said]) -> None:
        """Send everything it says, from the beginning of its log, until cancelled or until it ends."""
        async with said:
            with self._log.open("rb") as source:
                partial = b""
                while True:
                    chunk = source.read()
                    if not chunk:
                        if self._has_died():
                            code = self._process.returncode if self._process else None
                            tail = self._log.read_bytes()[-600:].decode(errors="replace")
                            raise Broken(
                                f"watcher {self.name} ended by itself with code {code}; "
                                f"its last words:\n{tail}"
                            )
                        await trio.sleep(POLL_SECONDS)
                        continue
                    *lines, partial = (partial + chunk).split(b"\n")
                    for line in lines:
                        parsed = _parse(self.name, line)
                        if parsed is not None:
                            await said.send(parsed)


def _parse(watcher: str, line: bytes) -> Said | None:
    """A log line as `Said`; None for what is no JSON object (a library's traceback stays in the file)."""
    try:
        fields = json.loads(line)
    except ValueError:
        return None
    if not isinstance(fields, dict) or "event" not in fields:
        return None
    return Said(watcher=watcher, event=str(fields["event"]), at_ms=int(fields.get("at_ms", 0)), fields=fields)
