"""A local chain: one anvil process on a loopback port of its own choosing, ended with its block."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import IO

import trio

from consensus.errors import Unavailable
from consensus.types import ChainId

HARDFORK = "osaka"  # has the EIP-2537 precompiles at today's prices
START_SECONDS, POLL_SECONDS = 20, 0.01
MAX_BANNER_BYTES = 65_536
_LISTENING = re.compile(rb"Listening on 127\.0\.0\.1:(\d+)")


class Mining(Enum):
    """When blocks come; a running chain can be moved to another rhythm (`Deployer.mine_every_second`)."""

    INSTANT = "a block for each transaction"
    WHEN_TOLD = "a block for each evm_mine"

    @property
    def arguments(self) -> list[str]:
        return ["--no-mining"] if self is Mining.WHEN_TOLD else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Anvil:
    """A running chain. `mnemonic` accounts are unlocked and hold 10,000 ether each."""

    chain_id: ChainId
    port: int
    pid: int

    @property
    def http(self) -> str:
        """Where it answers JSON-RPC."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        """Where it answers subscriptions."""
        return f"ws://127.0.0.1:{self.port}"


def find_anvil() -> Path:
    """The anvil binary: `TOCSIN_ANVIL`, else this checkout's npm package, else the PATH.

    The npm package's own launcher is passed by: it is a Node process that leaves anvil behind when it is
    killed. Raises `Unavailable` with what to do where there is none.
    """
    named = os.environ.get("TOCSIN_ANVIL")
    if named:
        return Path(named)
    packages = Path(__file__).resolve().parents[2] / "contracts" / "node_modules" / "@foundry-rs"
    for binary in sorted(packages.glob("anvil-*/bin/anvil")):
        return binary
    on_path = shutil.which("anvil")
    if on_path is None:
        raise Unavailable("no anvil here: run `make setup` in a checkout, or set TOCSIN_ANVIL to the binary")
    return Path(on_path)


@asynccontextmanager
async def running_anvil(
    *,
    chain_id: int = 31337,
    mining: Mining = Mining.INSTANT,
    genesis: Path | None = None,
    timestamp: int | None = None,
    arguments: tuple[str, ...] = (),
) -> AsyncIterator[Anvil]:
    """Run a chain until the block is left.

    `genesis` is a file for `--init`, `timestamp` the genesis block's time in Unix seconds.
    """
    command = [str(find_anvil()), "--hardfork", HARDFORK, "--port", "0", "--chain-id", str(chain_id)]
    command += mining.arguments
    if genesis is not None:
        command += ["--init", str(genesis)]
    if timestamp is not None:
        command += ["--timestamp", str(timestamp)]
    command += arguments
    with tempfile.TemporaryFile() as said:  # a pipe would have to be emptied for ever
        process = await trio.lowlevel.open_process(command, stdout=said, stderr=subprocess.STDOUT)
        try:
            port = await _wait_listening(process, said)
            yield Anvil(chain_id=ChainId(chain_id), port=port, pid=process.pid)
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()


async def _wait_listening(process: trio.Process, said: IO[bytes]) -> int:
    words = b""
    with trio.move_on_after(START_SECONDS):
        while process.poll() is None:
            words = os.pread(said.fileno(), MAX_BANNER_BYTES, 0)
            found = _LISTENING.search(words)
            if found:
                return int(found.group(1))
            await trio.sleep(POLL_SECONDS)
    raise Unavailable(
        f"anvil did not come up within {START_SECONDS} s; it said: {words[-400:].decode(errors='replace')}"
    )
