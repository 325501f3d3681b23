"""Signals that are no calls: slots, balances, events and prices; what has no value never gets one."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from eth_abi.abi import encode
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.errors import Reason, Refused
from consensus.fields import keccak256
from consensus.types import Address
from node.evaluate.expressions import Undefined
from node.evaluate.policy import Policy, parse_policy
from node.evaluate.ticks import MAX_TICK, compute_sqrt_ratio
from tests.evaluate.policies import POOL, TOKEN, make_policy_text
from tests.evaluate.recorded import GENESIS_TIME, RecordedChain, RecordedLog, RecordedView

TRANSFER = "Transfer(address indexed from, address indexed to, uint256 value)"
TRANSFER_TOPIC = keccak256(b"Transfer(address,address,uint256)")
Q112 = 2**112


@cache
def make_policy(entry: str) -> Policy:
    """The default policy with one more signal, called it."""
    return parse_policy(
        make_policy_text().replace("\nactions:", f"\n  it: {{{entry}}}\nactions:", 1).encode()
    )


def view_of(answers: Any = None, **more: Any) -> RecordedView:
    chain = RecordedChain(make_policy("balance: pool").source_chain_id)
    return chain.view(chain.extend(None, answers or {}, **more))


async def read(entry: str, view: RecordedView) -> int | Undefined:
    (signal,) = (each for each in make_policy(entry).signals if each.name == "it")
    return await signal.read(view)


def call(signature: str, types: list[str], values: list[Any], *, encoded: bytes | None = None) -> Any:
    return {(POOL, keccak256(signature.encode())[:4]): encode(types, values) if encoded is None else encoded}


def reason_of(said: int | Undefined) -> Reason:
    assert isinstance(said, Undefined), f"has the value {said}"
    return said.reason


# --- storage and balances


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        ("", 0xAABBCC << 232 | 0x1234),
        (", lowest_bit: 0, bits: 8", 0x34),
        (", lowest_bit: 8, bits: 16", 0x12),
        (", lowest_bit: 232", 0xAABBCC),
        (", bits: 16", 0x1234),
    ],
)
async def test_a_slot_is_read_by_its_bits(bits: str, expected: int) -> None:
    view = view_of(slots={(POOL, 0x10): bytes.fromhex("aabbcc") + bytes(27) + b"\x12\x34"})

    assert await read(f"storage: pool, slot: 0x10{bits}", view) == expected
    assert await read(f"storage: pool, slot: 16{bits}", view) == expected


async def test_a_slot_of_eip_1967_is_a_number_of_32_bytes() -> None:
    slot = int.from_bytes(keccak256(b"eip1967.proxy.implementation"), "big") - 1
    view = view_of(slots={(POOL, slot): bytes(12) + bytes.fromhex(TOKEN[2:])})

    assert await read(f'storage: pool, slot: "{slot:#066x}", bits: 160', view) == int(TOKEN, 16)


async def test_native_and_token_balances() -> None:
    calldata = keccak256(b"balanceOf(address)")[:4] + encode(["address"], [POOL])
    view = view_of({(TOKEN, calldata): (7).to_bytes(32, "big")}, balances={POOL: 5})

    assert await read("balance: pool", view) == 5
    assert await read("balance: pool, token: token", view) == 7


# --- events


def transfer(value: int, sender: str = POOL, **change: Any) -> RecordedLog:
    topics = (TRANSFER_TOPIC, encode(["address"], [sender]), encode(["address"], [TOKEN]))
    log = RecordedLog(address=Address(TOKEN), topics=topics, data=value.to_bytes(32, "big"))
    return replace(log, **change)


def events(rest: str) -> str:
    return f'events: token, event: "{TRANSFER}", {rest}'


async def test_events_are_summed_counted_and_the_largest_found() -> None:
    other = transfer(1_000, address=Address(POOL))
    view = view_of(logs=(transfer(5), transfer(9, TOKEN), transfer(2**256 - 1), other))

    assert await read(events("take: sum, field: value"), view) == 2**256 + 13
    assert await read(events("take: max, field: value"), view) == 2**256 - 1
    assert await read(events("take: count"), view) == 3
    assert await read(events("take: sum, field: value, where: {from: token}"), view) == 9
    assert await read(events(f'take: count, where: {{from: "{TOKEN}", value: 9}}'), view) == 1
    assert await read(events("take: count, where: {from: token, value: 8}"), view) == 0


@pytest.mark.parametrize("take", ["sum, field: value", "max, field: value", "count"])
async def test_a_block_without_events_is_zero(take: str) -> None:
    assert await read(events(f"take: {take}"), view_of()) == 0


@pytest.mark.parametrize(
    "change",
    [
        {"data": b""},
        {"data": bytes(31)},
        {"data": bytes(64)},
        {"data": bytes(5_000_000)},
        {"topics": (TRANSFER_TOPIC,)},
        {"topics": (TRANSFER_TOPIC, b"\x01" * 32, bytes(32))},
        {"topics": (TRANSFER_TOPIC, bytes(32), bytes(32), bytes(32))},
    ],
    ids=["empty", "short", "long", "megabytes", "no topics", "no address", "ERC-721"],
)
@pytest.mark.parametrize("take", ["sum, field: value", "count"])
async def test_a_log_that_does_not_decode_is_unknown_not_zero(change: Any, take: str) -> None:
    view = view_of(logs=(transfer(5), transfer(5, **change)))

    assert reason_of(await read(events(f"take: {take}"), view)) is Reason.SIGNAL_UNDEFINED


async def test_a_field_beside_text_is_read_and_the_text_is_not() -> None:
    topic = keccak256(b"Noted(string,int128,uint256[])")
    data = encode(["string", "int128", "uint256[]"], ["x" * 100, -4, [1, 2]])
    hostile = (2**255).to_bytes(32, "big") + (3).to_bytes(32, "big") + b"\xff" * 32
    logs = tuple(RecordedLog(address=Address(POOL), topics=(topic,), data=each) for each in (data, hostile))

    entry = (
        'events: pool, event: "Noted(string note, int128 change, uint256[] ids)", take: sum, field: change'
    )

    assert await read(entry, view_of(logs=logs)) == -1


@settings(deadline=None)
@given(st.binary(max_size=200), st.lists(st.binary(min_size=32, max_size=32), max_size=4))
def test_no_log_raises(data: bytes, topics: list[bytes]) -> None:
    (signal,) = (each for each in make_policy(events("take: sum, field: value")).signals if each.name == "it")
    log = RecordedLog(address=Address(TOKEN), topics=(TRANSFER_TOPIC, *topics), data=data)

    assert isinstance(signal.compute((log,)), int | Undefined)  # type: ignore[attr-defined]


# --- prices

FEED = "feed: pool, feed_decimals: 8, decimals: 6, max_age_seconds: 60"
ROUND = ["uint80", "int256", "uint256", "uint256", "uint80"]


async def answered(answer: int, updated_at: int) -> int | Undefined:
    return await read(FEED, view_of(call("latestRoundData()", ROUND, [1, answer, 0, updated_at, 1])))


async def test_a_feeds_answer_is_scaled_and_rounded_down() -> None:
    assert await answered(199_999_999, GENESIS_TIME) == 1_999_999
    assert await answered(199_999_999, GENESIS_TIME - 60) == 1_999_999


@pytest.mark.parametrize(
    ("answer", "updated_at"),
    [(1, GENESIS_TIME - 61), (1, GENESIS_TIME + 1), (1, 0), (0, GENESIS_TIME), (-1, GENESIS_TIME)],
    ids=["stale", "of the future", "never", "zero", "negative"],
)
async def test_an_answer_that_is_no_price_is_unknown(answer: int, updated_at: int) -> None:
    assert reason_of(await answered(answer, updated_at)) is Reason.PRICE_UNUSABLE


@pytest.mark.parametrize(
    "returned", [b"", bytes(159), b"\xff" * 160, None], ids=["none", "short", "garbage", "revert"]
)
async def test_a_feed_that_answers_garbage_is_unknown(returned: bytes | None) -> None:
    view = view_of({(POOL, keccak256(b"latestRoundData()")[:4]): returned})

    assert reason_of(await read(FEED, view)) is Reason.SIGNAL_UNDEFINED


def pool(kind: str, of: int, more: str = "", venue: str = "uniswap-v2") -> str:
    return f"{kind}: pool, venue: {venue}, of: token{of}, token_decimals: [18, 6], decimals: 8{more}"


def reserves(zero: int, one: int, at: int = GENESIS_TIME) -> Any:
    return call("getReserves()", ["uint112", "uint112", "uint32"], [zero, one, at])


async def test_a_pairs_spot_price_is_one_reserve_in_the_other() -> None:
    view = view_of(reserves(3 * 10**18, 6_000 * 10**6))

    assert await read(pool("spot", 0), view) == 2_000 * 10**8
    assert await read(pool("spot", 1), view) == 10**8 // 2_000


async def test_an_empty_pair_has_no_price() -> None:
    assert reason_of(await read(pool("spot", 0), view_of(reserves(0, 1)))) is Reason.PRICE_UNUSABLE
    assert reason_of(await read(pool("spot", 1), view_of(reserves(1, 0)))) is Reason.PRICE_UNUSABLE


async def test_a_v3_pools_spot_price_is_the_square_of_its_root() -> None:
    # 2,000 USDC (6 decimals) for one ether (18 decimals): token1/token0 = 2000e6/1e18
    root = 3_543_191_142_285_914_205_922_034  # sqrt(2000e6/1e18) * 2**96, by hand
    view = view_of(call("slot0()", ["uint160"], [root], encoded=root.to_bytes(32, "big") + bytes(192)))

    assert await read(pool("spot", 0, venue="uniswap-v3"), view) == 2_000 * 10**8 - 1
    assert await read(pool("spot", 1, venue="uniswap-v3"), view) == 10**8 // 2_000
    empty = view_of(call("slot0()", ["uint160"], [0]))
    assert reason_of(await read(pool("spot", 0, venue="uniswap-v3"), empty)) is Reason.PRICE_UNUSABLE


def paired(cumulative: int, zero: int, one: int, at: int) -> Any:
    return reserves(zero, one, at % 2**32) | call("price0CumulativeLast()", ["uint256"], [cumulative])


async def v2_mean(blocks: list[Any], window: int) -> int | Undefined:
    chain = RecordedChain(make_policy("balance: pool").source_chain_id)
    tip = None
    for answers in blocks:
        tip = chain.extend(tip, answers)
    assert tip is not None
    return await read(pool("twap", 0, f", window_blocks: {window}"), chain.view(tip))


async def test_a_v2_mean_weighs_each_price_by_its_time() -> None:
    # 12 s a block. The price was 1 until block 1, has been 3 since; nobody has traded after block 1.
    one, three = (10**18, 10**6), (10**18, 3 * 10**6)
    start = paired(0, *one, GENESIS_TIME)
    ratio = 10**6 * Q112 // 10**18
    traded = paired(12 * ratio, *three, GENESIS_TIME + 12)

    # over three blocks: (1 * 12 + 3 * 24) / 36, rounded down, less what Q112 cuts off
    assert await v2_mean([start, traded, traded, traded], 3) == pytest.approx(7 * 10**8 // 3, abs=2)
    assert await v2_mean([start, traded, traded, traded], 2) in (3 * 10**8 - 1, 3 * 10**8)


async def test_accumulators_wrap_and_the_mean_does_not_care() -> None:
    ratio = 10**6 * Q112 // 10**18
    start = paired(2**256 - 5, 10**18, 10**6, GENESIS_TIME)
    later = paired((2**256 - 5 + 12 * ratio) % 2**256, 10**18, 10**6, GENESIS_TIME + 12)

    assert await v2_mean([start, later], 1) in (10**8 - 1, 10**8)


async def test_a_mean_that_reaches_before_the_chain_or_an_empty_pair_is_unknown() -> None:
    good = paired(0, 1, 1, GENESIS_TIME)

    assert reason_of(await v2_mean([good], 1)) is Reason.HISTORY_TOO_SHORT
    assert reason_of(await v2_mean([paired(0, 0, 0, GENESIS_TIME), good], 1)) is Reason.PRICE_UNUSABLE
    assert reason_of(await v2_mean([reserves(1, 1), good], 1)) is Reason.SIGNAL_UNDEFINED


def observed(first: int, second: int) -> bytes:
    return encode(["int56[]", "uint160[]"], [[first, second], [0, 0]])


async def v3_mean(returned: bytes | None, of: int = 0) -> int | Undefined:
    calldata = keccak256(b"observe(uint32[])")[:4] + encode(["uint32[]"], [[100, 0]])
    entry = pool("twap", of, ", window_seconds: 100", "uniswap-v3").replace("[18, 6]", "[18, 18]")
    return await read(entry, view_of({(POOL, calldata): returned}))


async def test_a_v3_mean_is_the_price_at_the_mean_tick_rounded_down() -> None:
    assert await v3_mean(observed(0, 0)) == 10**8
    assert await v3_mean(observed(500, 500 + 100 * 6_931)) == int(1.0001**6_931 * 10**8)
    assert await v3_mean(observed(0, -1)) == int(1.0001**-1 * 10**8)  # tick -1, not 0
    assert await v3_mean(observed(0, 100 * 6_931), of=1) == int(1.0001**-6_931 * 10**8)


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        (None, Reason.SIGNAL_UNDEFINED),
        (b"", Reason.SIGNAL_UNDEFINED),
        (b"\xff" * 320, Reason.SIGNAL_UNDEFINED),
        (encode(["int56[]", "uint160[]"], [[1], [1]]) + bytes(64), Reason.SIGNAL_UNDEFINED),
        ((2**255).to_bytes(32, "big") + bytes(5_000_000), Reason.SIGNAL_UNDEFINED),
        (observed(0, 100 * (MAX_TICK + 1)), Reason.PRICE_UNUSABLE),
    ],
    ids=["revert", "nothing", "garbage", "one value", "megabytes", "no tick"],
)
async def test_an_oracle_that_returns_something_else_is_unknown(
    returned: bytes | None, reason: Reason
) -> None:
    assert reason_of(await v3_mean(returned)) is reason


@pytest.mark.parametrize(
    ("tick", "ratio"),
    [(-887_272, 4_295_128_739), (0, 2**96), (887_272, 1461446703485210103287273052203988822378723970342)],
)
def test_ticks_give_the_roots_that_tickmath_names(tick: int, ratio: int) -> None:
    assert compute_sqrt_ratio(tick) == ratio  # MIN_SQRT_RATIO and MAX_SQRT_RATIO of v3-core


@settings(deadline=None)
@given(st.binary(max_size=400))
async def test_no_answer_raises(returned: bytes) -> None:
    signatures = ("latestRoundData()", "getReserves()", "slot0()", "price0CumulativeLast()")
    view = view_of({(POOL, keccak256(each.encode())[:4]): returned for each in signatures})

    for entry in (FEED, pool("spot", 0), pool("spot", 1, venue="uniswap-v3")):
        assert isinstance(await read(entry, view), int | Undefined)


# --- what is refused


@pytest.mark.parametrize(
    ("entry", "advice"),
    [
        ("slot: 1", "exactly one of the keys call, storage"),
        ("storage: pool, balance: pool, slot: 1", "came storage and balance"),
        ("storage: nobody, slot: 1", "no contract is called"),
        ("storage: away, slot: 1", "on chain 10"),
        ("storage: pool, slot: -1", "slot's number"),
        (f"storage: pool, slot: {2**256}", "below 2**256"),
        ("storage: pool, slot: 1, bits: 257", "from 1 to 256"),
        ("storage: pool, slot: 1, lowest_bit: 200, bits: 57", "there are 56"),
        ("balance: pool, token: nobody", "no contract is called"),
        (events("take: mean, field: value"), "sum, max, count"),
        (events("take: sum"), "write `field: …`"),
        (events("take: count, field: value"), "leave `field` out"),
        (events("take: sum, field: amount"), "no field called 'amount'"),
        (events("take: count, where: {form: pool}"), "did you mean `from`"),
        (events("take: count, where: {from: nobody}"), "neither an address"),
        ('events: pool, event: "Hop(string s)", take: sum, field: s', "only types of one word"),
        ('events: pool, event: "Hop(uint s)", take: count', "a type in full"),
        ('events: pool, event: "Hop(uint256 s, uint256 s)", take: count', "one name"),
        ('events: pool, event: "Hop"', "expected Name(type name"),
        (
            'events: pool, event: "Hop('
            + ", ".join(f"bool indexed b{n}" for n in range(4))
            + ')", take: count',
            "3 indexed",
        ),
        ("feed: pool, feed_decimals: 8, decimals: 8", "`max_age_seconds` is missing"),
        ("feed: pool, feed_decimals: 37, decimals: 8, max_age_seconds: 1", "from 0 to 36"),
        (pool("spot", 2), "token0, token1"),
        (pool("spot", 0).replace("[18, 6]", "[18]"), "decimals of both tokens"),
        (pool("spot", 0, venue="uniswap-v9"), "uniswap-v2, uniswap-v3"),
        (pool("twap", 0, ", window_seconds: 60"), "needs `window_blocks`"),
        (pool("twap", 0, ", window_blocks: 5", "uniswap-v3"), "needs `window_seconds`"),
        (pool("twap", 0, ", window_blocks: 5, window_seconds: 5"), "leave `window_seconds` out"),
        (pool("twap", 0, ", window_blocks: 301"), "from 1 to 300"),
    ],
)
def test_a_signal_that_cannot_be_read_is_refused_with_advice(entry: str, advice: str) -> None:
    with pytest.raises(Refused) as refusal:
        make_policy(entry)

    assert refusal.value.reason is Reason.POLICY_INVALID
    assert advice in refusal.value.message


BASE = events("take: sum, field: value, where: {from: pool}")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("storage: pool, slot: 1", "storage: pool, slot: 2"),
        ("storage: pool, slot: 1", "storage: pool, slot: 1, bits: 8"),
        ("storage: pool, slot: 1, bits: 8", "storage: pool, slot: 1, bits: 8, lowest_bit: 1"),
        ("balance: pool", "balance: token"),
        ("balance: pool", "balance: pool, token: token"),
        (BASE, BASE.replace("sum", "max")),
        (BASE, BASE.replace("address indexed to", "address to")),
        (BASE, BASE.replace("{from: pool}", "{from: token}")),
        (BASE, BASE.replace("{from: pool}", "{to: pool}")),
        (BASE, BASE.replace("field: value", "field: to")),
        (FEED, FEED.replace("60", "61")),
        (FEED, FEED.replace("decimals: 6", "decimals: 7")),
        (pool("spot", 0), pool("spot", 1)),
        (pool("spot", 0), pool("spot", 0, venue="uniswap-v3")),
        (pool("spot", 0), pool("spot", 0).replace("18", "17")),
        (pool("twap", 0, ", window_blocks: 5"), pool("twap", 0, ", window_blocks: 6")),
    ],
)
def test_whatever_changes_a_signal_changes_the_hash(old: str, new: str) -> None:
    assert make_policy(old).hash != make_policy(new).hash
    assert make_policy(old).hash == make_policy(old).hash
