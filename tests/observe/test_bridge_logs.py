"""A bridge's two sides from logs: decoded by the policy's shape, garbage refused and counted."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from consensus.alert import Level
from consensus.errors import Reason, Refused
from consensus.fields import address_from_hex, keccak256
from consensus.types import Address, BlockHash, BlockNumber, ChainId, Seconds
from node.bridge import Claim, EventShape
from node.chain.reader import ChainReader
from node.chain.types import BlockRef, Log
from node.detect.bridge_mismatch import Backing, BridgeMismatch, BridgeParameters, TokenValue, Verdict
from node.devnet.anvil import running_anvil
from node.devnet.deployer import Deployer, open_deployer
from node.observe.bridge_logs import MAX_DATA_BYTES, BurnReader, EventReader, ReleaseReader
from node.observe.view import BlockView
from node.trace import Account, Token

BRIDGE = address_from_hex("0x" + "b1" * 20)
OTHER = address_from_hex("0x" + "b2" * 20)
COIN, LOCAL_COIN, ALICE = (Account("0x" + two * 20) for two in ("c0", "c1", "a1"))
SHAPE = EventShape(
    chain_id=ChainId(1),
    contract=BRIDGE,
    signature="Paid(uint indexed nonce, address token, bytes32 indexed to, string note, uint256 amount)",
    message_id="nonce",
    token="token",
    beneficiary="to",
    units="amount",
)
TOPIC = keccak256(b"Paid(uint256,address,bytes32,string,uint256)")


def word(value: int | str) -> bytes:
    raw = bytes.fromhex(value[2:]) if isinstance(value, str) else value.to_bytes(32)
    return raw.rjust(32, b"\0")


def log(**changes: object) -> Log:
    values: dict[str, object] = {
        "address": BRIDGE,
        "topics": (TOPIC, word(7), word(ALICE)),
        "data": encode(["address", "string", "uint256"], [COIN, "thanks", 10**30]),
        "index": 0,
        "transaction_hash": bytes(32),
        "block_number": BlockNumber(1),
        "block_hash": BlockHash(bytes(32)),
    }
    return Log(**(values | changes))  # type: ignore[arg-type]


def test_the_shape_says_which_parameter_is_what() -> None:
    assert EventReader(SHAPE).decode(log()) == (7, COIN, ALICE, 10**30)


def test_a_token_is_named_as_on_the_other_side() -> None:
    reader = EventReader(SHAPE, {Token(COIN): Token(LOCAL_COIN)})

    assert reader.decode(log()).token == LOCAL_COIN
    with pytest.raises(Refused, match="no counterpart"):
        reader.decode(log(data=encode(["address", "string", "uint256"], [ALICE, "", 1])))


def test_a_bridge_that_numbers_nothing_gives_zero() -> None:
    assert EventReader(replace(SHAPE, message_id=None)).decode(log()).message_id == 0


@pytest.mark.parametrize(
    "garbage",
    [
        log(address=OTHER),
        log(topics=(keccak256(b"Paid()"), word(7), word(ALICE))),
        log(topics=(TOPIC, word(7))),
        log(topics=(TOPIC, word(7), word(ALICE), word(1))),
        log(topics=()),
        log(topics=(TOPIC, word(7), b"\x01" + word(ALICE)[1:])),
        log(data=b""),
        log(data=b"\xff" * 96),
        log(data=log().data + bytes(MAX_DATA_BYTES)),
        log(data=encode(["address", "bytes", "uint256"], [COIN, b"\xff\xfe", 1])),
    ],
)
def test_a_log_that_is_no_such_event_is_refused(garbage: Log) -> None:
    with pytest.raises(Refused) as raised:
        EventReader(SHAPE).decode(garbage)
    assert raised.value.reason is Reason.EVENT_INVALID


@given(
    topics=st.lists(st.binary(min_size=32, max_size=32), max_size=3).map(lambda some: (TOPIC, *some)),
    data=st.binary(max_size=300),
)
def test_no_log_does_worse_than_being_refused(topics: tuple[bytes, ...], data: bytes) -> None:
    claims = []
    with contextlib.suppress(Refused):
        claims.append(EventReader(SHAPE).decode(log(topics=topics, data=data)))

    assert all(isinstance(claim, Claim) for claim in claims)


@pytest.mark.parametrize(
    "changes",
    [
        {"signature": "Paid"},
        {"signature": "Paid(uint256)"},
        {"signature": "Paid((uint256 a) b)"},
        {"token": "nothing"},
        {"token": "amount"},
        {"units": "note"},
        {"message_id": "note"},
        {"beneficiary": "amount"},
    ],
)
def test_a_shape_that_makes_no_sense_is_refused_before_any_log(changes: dict[str, str]) -> None:
    with pytest.raises(Refused) as raised:
        EventReader(replace(SHAPE, **changes))  # type: ignore[arg-type]
    assert raised.value.reason is Reason.POLICY_INVALID


async def test_another_block_of_the_same_second_may_still_burn() -> None:
    reader = BurnReader(shape(1, BURNT))
    detector = BridgeMismatch(PARAMETERS)
    first, second = Block(ref(1)), Block(ref(2), message(1, COIN, 500))

    for view in (first, second):
        for burn in await reader.read(view):
            detector.add_burn(burn)
        detector.advance_source(reader.seen_until(view))

    assert first.ref.timestamp == second.ref.timestamp
    assert detector.statistics().outstanding == 1


class Block:
    """A block with at most one event of `BURNT`."""

    def __init__(self, ref: BlockRef, data: bytes | None = None) -> None:
        self.ref, self._data = ref, data

    async def logs(
        self, *, addresses: tuple[Address, ...] = (), topics: tuple[bytes | None, ...] = ()
    ) -> tuple[Log, ...]:
        assert addresses == (BRIDGE,)
        (topic,) = topics
        return () if self._data is None else (log(topics=(topic,), data=self._data),)


def ref(number: int) -> BlockRef:
    """Blocks that all bear the same second."""
    hashes = [BlockHash(bytes(31) + bytes([each])) for each in (number, number - 1)]
    return BlockRef(
        chain_id=ChainId(1),
        number=BlockNumber(number),
        hash=hashes[0],
        parent_hash=hashes[1],
        timestamp=Seconds(5_000),
    )


# --- two live chains

# LOG1 with the first word of the calldata as topic and the rest as data
EMITTER = "0x365f5f375f5160203603" + "6020a100"
BURNT = "Burnt(uint256 nonce, address token, address to, uint256 amount)"
PAID = "Paid(uint256 nonce, address token, address to, uint256 amount)"
PARAMETERS = BridgeParameters(
    finality_seconds=Seconds(0),
    clock_seconds=Seconds(0),
    outstanding_burns=100,
    waiting_releases=100,
    window_seconds=Seconds(600),
    least_values=((Level.ALERT, 0), (Level.PAUSE, 1_000)),
    values={Token(COIN): TokenValue(numerator=1, denominator=1)},
)


def shape(chain_id: int, signature: str) -> EventShape:
    return EventShape(
        chain_id=ChainId(chain_id),
        contract=BRIDGE,
        signature=signature,
        message_id="nonce",
        token="token",
        beneficiary="to",
        units="amount",
    )


async def emit(chain: Deployer, event: str, data: bytes, at: int) -> BlockView:
    """One block with one event, at a time of our choosing; the view of that block."""
    await chain.pool.call("anvil_setCode", (BRIDGE, EMITTER))
    await chain.pool.call("evm_setNextBlockTimestamp", (at,))
    topic = keccak256(f"{event}(uint256,address,address,uint256)".encode())
    await chain.send_data(BRIDGE, topic + data, event)
    return await view_of(chain)


async def view_of(chain: Deployer) -> BlockView:
    reader = ChainReader(chain.pool)
    return BlockView(await reader.latest(), reader)


def message(nonce: int, token: str, units: int) -> bytes:
    return encode(["uint256", "address", "address", "uint256"], [nonce, token, ALICE, units])


async def test_on_two_chains_a_forged_release_is_told_and_a_true_one_is_not() -> None:
    async with (
        running_anvil(chain_id=1) as home,
        running_anvil(chain_id=2) as away,
        open_deployer(home) as target,
        open_deployer(away) as source,
    ):
        burns = BurnReader(shape(2, BURNT), {Token(LOCAL_COIN): Token(COIN)})
        releases = ReleaseReader(shape(1, PAID))
        detector = BridgeMismatch(PARAMETERS)
        start = await target.timestamp() + 1_000

        async def read_source(view: BlockView) -> tuple[Verdict, ...]:
            for burn in await burns.read(view):
                detector.add_burn(burn)
            return detector.advance_source(burns.seen_until(view))

        await read_source(await emit(source, "Burnt", message(1, LOCAL_COIN, 500), start))
        await read_source(await emit(source, "Burnt", b"no such event", start + 1))
        true_one = await emit(target, "Paid", message(1, COIN, 500), start + 10)
        forged = await emit(target, "Paid", message(2, COIN, 5_000), start + 20)
        for view in (true_one, forged):
            for release in await releases.read(view):
                assert detector.add_release(release) == (), "the source chain is not there yet"
        last = await emit(source, "Burnt", message(3, LOCAL_COIN, 9), start + 21)

        verdicts = await read_source(last)

        assert [each.backing for each in verdicts] == [Backing.BACKED, Backing.UNBACKED]
        assert verdicts[1].level is Level.PAUSE
        assert burns.events.refused == 1
        assert burns.events.last_refusal is not None
        with pytest.raises(Refused, match="is read on chain 2") as raised:
            await burns.read(true_one)
        assert raised.value.reason is Reason.WRONG_CHAIN
