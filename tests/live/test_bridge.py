"""A bridge between two real chains: both read back at the start, followed, and taken back over reorgs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio

from consensus.errors import Reason, Refused
from consensus.fields import address_from_hex, keccak256
from consensus.types import ChainId, Seconds
from node.chain.reader import ChainReader
from node.chain.rpc import open_pool
from node.chain.types import BlockRef, Endpoint
from node.detect.bridge_book import BridgeValues, Take
from node.detect.bridge_policy import BridgePolicy, read_bridge_policy
from node.devnet.anvil import Mining, running_anvil
from node.devnet.deployer import Deployer
from node.live.bridge import LiveBridge
from node.live.row import JudgedBlock

BRIDGE, TOKEN, USER = ("0x" + each * 20 for each in ("b1", "d1", "aa"))
EVENT = "Moved(uint256 id, address token, address to, uint256 units)"
FIELDS = "id: id, token: token, beneficiary: to, units: units"
TOPIC = keccak256(b"Moved(uint256,address,address,uint256)").hex()
TELL = f"366000600037 7f{TOPIC} 36 6000 a1 00".replace(" ", "")
"""Emits its calldata as the data of one event."""
HOME, AWAY = 31337, 31338
PATIENCE_SECONDS = 20
POLICY = f"""
tocsin_bridge: 1
name: two-chains
version: 1
timing: {{finality_seconds: 0, clock_seconds: 0, window_seconds: 100}}
room: {{outstanding_burns: 100, waiting_releases: 100}}
levels: {{alert: 0, limit: 1, freeze: 1, pause: 1}}
tokens:
  coin: {{burnt: "{TOKEN}", released: "{TOKEN}", worth: 2, per_units: 1}}
burns: {{chain_id: {AWAY}, contract: "{BRIDGE}", event: "{EVENT}", {FIELDS}}}
releases: {{chain_id: {HOME}, contract: "{BRIDGE}", event: "{EVENT}", {FIELDS}}}
"""


def write_policy(folder: Path, text: str = POLICY) -> BridgePolicy:
    (folder / "bridge.yaml").write_text(text)
    return read_bridge_policy(folder / "bridge.yaml")


@dataclass(slots=True)
class Chain:
    deployer: Deployer
    reader: ChainReader

    async def tell(self, number: int, units: int = 100) -> BlockRef:
        """One burn or release, in a block of its own."""
        words = (number, int(TOKEN, 16), int(USER, 16), units)
        data = "0x" + b"".join(word.to_bytes(32) for word in words).hex()
        await self.deployer.submit(
            {"from": self.deployer.governance, "to": BRIDGE, "data": data, "gas": hex(200_000)}
        )
        return await self.mine()

    async def mine(self, *, at: int | None = None) -> BlockRef:
        if at is not None:
            await self.deployer.pool.call("evm_setNextBlockTimestamp", (at,))
        await self.deployer.mine()
        return await self.reader.latest()


@dataclass(slots=True)
class Stage:
    home: Chain
    away: Chain
    policy: BridgePolicy

    async def later(self, chain: Chain, than: BlockRef) -> BlockRef:
        """A block of that chain which is past a block of the other."""
        now = await chain.reader.latest()
        return await chain.mine(at=max(than.timestamp, now.timestamp) + 2)

    @asynccontextmanager
    async def watching(self, take: Take = Take.COUNT, lookback: int = 10**6) -> AsyncIterator[Watching]:
        values = BridgeValues(self.policy, take=take, lookback_seconds=Seconds(lookback))
        judged_in, judged = trio.open_memory_channel[JudgedBlock](1_000)
        readers = {ChainId(HOME): self.home.reader, ChainId(AWAY): self.away.reader}
        live = LiveBridge(values, readers, judged_in, poll_seconds=0.02)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(live.run)
            with trio.fail_after(PATIENCE_SECONDS):
                while None in (live.sight().burns_until, live.sight().releases_until):  # noqa: ASYNC110
                    await trio.sleep(0.005)
            yield Watching(values, live, judged)
            nursery.cancel_scope.cancel()


@dataclass(slots=True)
class Watching:
    values: BridgeValues
    live: LiveBridge
    judged: trio.MemoryReceiveChannel[JudgedBlock]

    async def value_of(self, ref: BlockRef) -> Any:
        """Once the block is told to be known."""
        with trio.fail_after(PATIENCE_SECONDS):
            while (await self.judged.receive()).ref != ref:
                pass
        return self.values.book.value(ref, self.values.take)


@asynccontextmanager
async def staged(folder: Path) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        chains = []
        for chain_id in (HOME, AWAY):
            anvil = await stack.enter_async_context(
                running_anvil(chain_id=chain_id, mining=Mining.WHEN_TOLD, timestamp=1_700_000_000)
            )
            endpoint = Endpoint(name="anvil", http=anvil.http)
            pool = await stack.enter_async_context(
                open_pool(anvil.chain_id, (endpoint,), agreement=1, timeout_seconds=10)
            )
            await pool.call("anvil_setCode", (BRIDGE, f"0x{TELL}"))
            chain = Chain(await Deployer.connect(pool), ChainReader(pool))
            await chain.mine()
            chains.append(chain)
        yield Stage(*chains, write_policy(folder))


async def test_what_happened_before_the_start_is_read_back_and_what_follows_is_followed(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path) as stage:
        await stage.away.tell(1)
        await stage.later(stage.home, await stage.away.tell(2))
        await stage.home.tell(1)
        async with stage.watching() as first:
            backed = await stage.home.tell(2)
            again = await stage.home.tell(2)
            forged = await stage.home.tell(3, units=5)
            await stage.later(stage.away, forged)

            assert [await first.value_of(each) for each in (backed, again, forged)] == [0, 1, 1]
        async with stage.watching(Take.VALUE) as second:  # it starts later, and says the same of the past
            quiet = await stage.home.mine()
            await stage.later(stage.away, quiet)
            assert await second.value_of(quiet) == 0
            values = [second.values.book.value(each, Take.VALUE) for each in (backed, again, forged)]
            assert values == [0, 200, 10]


async def test_a_release_waits_for_a_chain_that_lags_and_so_do_the_blocks_after_it(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage, stage.watching() as watching:
        await stage.later(stage.home, await stage.away.mine())
        forged = await stage.home.tell(7)
        after = await stage.home.mine()
        with trio.fail_after(PATIENCE_SECONDS):
            while watching.live.sight().waiting < 2:  # noqa: ASYNC110 - it looks at what the room counts
                await trio.sleep(0.005)
        assert not watching.values.knows(forged)

        await stage.later(stage.away, after)

        assert await watching.value_of(forged) == 1
        assert await watching.value_of(after) == 0


async def test_a_reorg_on_either_side_is_taken_back(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage, stage.watching() as watching:
        before_burn = await stage.away.deployer.pool.call("evm_snapshot")
        burn = await stage.away.tell(1)
        await stage.later(stage.home, burn)
        before_release = await stage.home.deployer.pool.call("evm_snapshot")
        backed = await stage.home.tell(1)
        await stage.later(stage.away, backed)
        assert await watching.value_of(backed) == 0

        # the burn never was: the away chain goes another way, as far as it was and further
        assert await stage.away.deployer.pool.call("evm_revert", (before_burn,)) is True
        for _ in range(4):
            await stage.away.mine(at=(await stage.away.reader.latest()).timestamp + 7)
        unbacked = await stage.home.tell(1)
        await stage.later(stage.away, unbacked)
        assert await watching.value_of(unbacked) == 1
        assert watching.live.sight().burns == 0

        # neither were those releases: of the claim there is one again, and it is backed
        assert await stage.home.deployer.pool.call("evm_revert", (before_release,)) is True
        later = await stage.away.tell(1)
        await stage.later(stage.home, later)
        await stage.home.mine()
        await stage.home.mine()
        release = await stage.home.tell(1)
        await stage.later(stage.away, release)
        assert await watching.value_of(release) == 0
        assert watching.live.sight().releases == 1


async def test_logs_that_do_not_decode_are_counted_and_back_nothing(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage, stage.watching() as watching:
        await stage.away.deployer.submit(
            {"from": stage.away.deployer.governance, "to": BRIDGE, "data": "0x1234", "gas": hex(200_000)}
        )
        await stage.later(stage.home, await stage.away.mine())
        forged = await stage.home.tell(1)
        await stage.later(stage.away, forged)

        assert await watching.value_of(forged) == 1
        assert watching.live.sight().refused == 1


async def test_a_chain_that_is_not_configured_is_refused_by_name(tmp_path: Path) -> None:
    values = BridgeValues(write_policy(tmp_path), take=Take.COUNT, lookback_seconds=Seconds(1))
    send, _ = trio.open_memory_channel[JudgedBlock](1)

    with pytest.raises(Refused, match=f"is on chain {AWAY} too") as refused:
        LiveBridge(values, {}, send)

    assert refused.value.reason is Reason.BAD_CONFIG
    assert address_from_hex(BRIDGE) == values.policy.burns.contract
