"""The cookbook on recorded blocks: a true case for every rule, near misses, honest traffic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode

from consensus.fields import keccak256
from node.evaluate.engine import Engine
from node.evaluate.events import EventSignal
from node.evaluate.findings import Finding, Unknown
from node.evaluate.policy import Policy
from node.evaluate.prices import FeedPrice, MeanPrice
from node.evaluate.signals import BalanceSignal, CallSignal, StorageSignal
from node.policies import read_policy
from tests.evaluate.recorded import GENESIS_TIME, SECONDS_PER_BLOCK, RecordedChain, RecordedLog

COOKBOOK = Path(__file__).resolve().parents[2] / "docs" / "policies" / "cookbook"
E18 = 10**18
BEFORE = 305
"""Quiet blocks before a case, so that the longest window is full."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """Quiet blocks, then `blocks`, each of them the quiet row with changes; what fires at the last one."""

    policy: str
    rule: str
    what: str
    blocks: Sequence[Row]
    fires: frozenset[str] = field(default_factory=frozenset)


def true(policy: str, rule: str, blocks: Sequence[Row], *others: str) -> Case:
    return Case(policy, rule, "true", blocks, frozenset({rule, *others}))


def miss(policy: str, rule: str, blocks: Sequence[Row], *others: str) -> Case:
    return Case(policy, rule, "near miss", blocks, frozenset(others))


def benign(policy: str, rule: str, blocks: Sequence[Row]) -> Case:
    return Case(policy, rule, "benign", blocks)


QUIET: dict[str, Row] = {
    "lending": {
        **{"cash": 1_000 * E18, "debt": 600 * E18, "cover": 900 * E18, "price": 2_000 * 10**8},
        **{"reference": 2_000 * 10**8, "code": 7},
    },
    "amm": {
        **{
            "reserve0": 500 * E18,
            "reserve1": 1_000_000 * 10**6,
            "held0": 500 * E18,
            "held1": 1_000_000 * 10**6,
        },
        **{"shares": 22 * 10**15, "mean": -200_311},  # 1.0001**-200_311 * 10**12 = 2,000
    },
    "vault": {
        **{
            "assets": 1_050 * E18,
            "shares": 1_000 * E18,
            "held": 1_050 * E18,
            "gathered": 50 * E18,
            "owner": 9,
        },
        **{"minted": [], "deposited": []},
    },
    "bridge": {"held": 1_000 * E18, "owed": 1_000 * E18, "released": [], "locked": []},
    "stablecoin": {
        **{"supply": 1_000_000 * E18, "backing": 1_010_000 * E18, "price": 99_990_000},
        **{"pool_coin": 500_000 * E18, "pool_other": 500_000 * E18, "minted": []},
    },
}

CASES = [
    # --- lending
    true("lending", "drained-at-once", [{"cash": 500 * E18}]),
    miss("lending", "drained-at-once", [{"cash": 501 * E18}]),
    true("lending", "drained-in-a-minute", [{"cash": 700 * E18}, {"cash": 400 * E18}]),
    miss("lending", "drained-in-a-minute", [{"cash": 700 * E18}, {"cash": 401 * E18}]),
    true(
        "lending",
        "drained-in-ten-minutes",
        [{"cash": (1_000 - 20 * n) * E18} for n in range(1, 38)] + [{"cash": 250 * E18}],
    ),
    miss("lending", "drained-in-ten-minutes", [{"cash": (1_000 - 16 * n) * E18} for n in range(1, 46)]),
    true("lending", "drained-in-an-hour", [{"cash": (1_000 - 5 * n) * E18} for n in range(1, 181)]),
    miss("lending", "drained-in-an-hour", [{"cash": (1_000 - 5 * n) * E18} for n in range(1, 180)]),
    true("lending", "debt-uncovered", [{"debt": 901 * E18}]),
    miss("lending", "debt-uncovered", [{"debt": 900 * E18}]),
    true("lending", "stuck", [{"cash": 11 * E18, "debt": 589 * E18}] * 8),
    miss("lending", "stuck", [{"cash": 12 * E18, "debt": 588 * E18}] * 8),
    true("lending", "oracle-off", [{"price": 2_061 * 10**8}] * 3),
    miss("lending", "oracle-off", [{"price": 2_061 * 10**8}] * 2),
    miss("lending", "oracle-off", [{"price": 2_060 * 10**8}] * 5),
    true("lending", "new-code", [{"code": 8}]),
    miss("lending", "new-code", [{"code": 8}, {"code": 8}]),
    benign("lending", "market crash", [{"price": n, "reference": n} for n in (1_900 * 10**8, 1_500 * 10**8)]),
    benign("lending", "large loan", [{"cash": 700 * E18, "debt": 880 * E18}]),
    # --- amm
    true("amm", "product-fell", [{"reserve0": 498 * E18, "held0": 498 * E18}]),
    miss("amm", "product-fell", [{"reserve0": 499_500 * 10**15, "held0": 499_500 * 10**15}]),
    true("amm", "books-too-high", [{"held1": 999_999 * 10**6}]),
    miss("amm", "books-too-high", [{"held1": 999_999 * 10**6, "reserve1": 999_999 * 10**6}]),
    true("amm", "price-pushed", [{"reserve0": 480 * E18, "held0": 480 * E18, "reserve1": 1_045_000 * 10**6,
                                  "held1": 1_045_000 * 10**6}]),
    miss("amm", "price-pushed", [{"reserve0": 482 * E18, "held0": 482 * E18, "reserve1": 1_038_000 * 10**6,
                                  "held1": 1_038_000 * 10**6}]),
    true(
        "amm",
        "share-of-a-side-left",
        [{"reserve0": 1_300 * E18, "held0": 1_300 * E18, "reserve1": 4 * 10**11, "held1": 4 * 10**11}],
        "price-pushed",
    ),
    miss(
        "amm",
        "share-of-a-side-left",
        [{"reserve0": 1_300 * E18, "held0": 1_300 * E18,
          "reserve1": 400_001 * 10**6, "held1": 400_001 * 10**6}],
        "price-pushed",
    ),
    benign("amm", "half of the liquidity leaves", [{name: QUIET["amm"][name] // 2 for name in (
        "reserve0", "reserve1", "held0", "held1", "shares")}]),
    benign("amm", "a gift", [{"held0": 600 * E18}]),
    # --- vault
    true("vault", "share-price-fell", [{"assets": 1_039 * E18}]),
    miss("vault", "share-price-fell", [{"assets": 1_040 * E18}]),
    true("vault", "share-price-jumped", [{"assets": 2_101 * E18}]),
    miss("vault", "share-price-jumped", [{"assets": 2_100 * E18}]),
    true("vault", "minted-unpaid", [{"minted": [5, 7], "deposited": [11]}]),
    miss("vault", "minted-unpaid", [{"minted": [5, 7], "deposited": [12]}]),
    true("vault", "drained", [{"held": 420 * E18}]),
    miss("vault", "drained", [{"held": 421 * E18}]),
    true("vault", "votes-gathered", [{"gathered": 151 * E18}]),
    miss("vault", "votes-gathered", [{"gathered": 150 * E18}]),
    true("vault", "new-owner", [{"owner": 10}]),
    miss("vault", "new-owner", [{"owner": 10}, {"owner": 10}]),
    benign("vault", "a deposit", [{"assets": 1_155 * E18, "shares": 1_100 * E18, "held": 1_155 * E18,
                                   "minted": [100 * E18], "deposited": [100 * E18]}]),
    benign("vault", "a harvest", [{"assets": 1_100 * E18, "held": 1_000 * E18}]),
    # --- bridge
    true("bridge", "released-more-than-locked", [{"held": 999 * E18, "released": [1 * E18]}]),
    miss("bridge", "released-more-than-locked", [{"held": 999 * E18, "owed": 999 * E18, "released": [E18]}]),
    true("bridge", "left-unsaid", [{"held": 990 * E18, "owed": 990 * E18, "released": [9 * E18]}]),
    miss("bridge", "left-unsaid", [{"held": 990 * E18, "owed": 990 * E18, "released": [10 * E18]}]),
    true(
        "bridge",
        "hour-limit",
        [{"held": (1_000 - 4 * n) * E18, "owed": 0, "released": [4 * E18]} for n in range(1, 64)],
        *(),
    ),
    miss(
        "bridge",
        "hour-limit",
        [{"held": (1_000 - 4 * n) * E18, "owed": 0, "released": [4 * E18]} for n in range(1, 63)],
    ),
    true("bridge", "ten-minutes-limit", [
        {"held": (1_000 - 50 * n) * E18, "owed": 0, "released": [50 * E18]} for n in range(1, 6)]),
    miss("bridge", "ten-minutes-limit", [
        {"held": (1_000 - 50 * n) * E18, "owed": 0, "released": [50 * E18]} for n in range(1, 5)]),
    true("bridge", "burst", [{"held": 1_000 * E18 - 11, "owed": 0, "released": [1] * 11}]),
    miss("bridge", "burst", [{"held": 1_000 * E18 - 10, "owed": 0, "released": [1] * 10}]),
    true("bridge", "one-large", [{"held": 899 * E18, "owed": 0, "released": [101 * E18]}]),
    miss("bridge", "one-large", [{"held": 900 * E18, "owed": 0, "released": [100 * E18]}]),
    benign("bridge", "in and out", [{"held": 1_040 * E18, "owed": 1_040 * E18, "released": [60 * E18],
                                     "locked": [100 * E18]}]),
    # --- stablecoin
    true("stablecoin", "unbacked", [{"backing": 979_999 * E18}]),
    miss("stablecoin", "unbacked", [{"backing": 980_000 * E18}]),
    true("stablecoin", "price-fell", [{"price": 96_999_999}] * 3),
    miss("stablecoin", "price-fell", [{"price": 96_999_999}] * 2),
    miss("stablecoin", "price-fell", [{"price": 97_000_000}] * 5),
    true("stablecoin", "pool-one-sided", [{"pool_coin": 810_000 * E18, "pool_other": 190_000 * E18}] * 8),
    miss("stablecoin", "pool-one-sided", [{"pool_coin": 800_000 * E18, "pool_other": 200_000 * E18}] * 8),
    miss("stablecoin", "pool-one-sided", [{"pool_coin": 810_000 * E18, "pool_other": 190_000 * E18}] * 7),
    true("stablecoin", "minted-fast", [{"minted": [60_000 * E18]}, {}, {"minted": [40_001 * E18]}]),
    miss("stablecoin", "minted-fast", [{"minted": [60_000 * E18]}, {}, {"minted": [40_000 * E18]}]),
    benign("stablecoin", "more", [{"supply": 1_001_000 * E18, "backing": 1_020_000 * E18, "minted": [E18]}]),
]  # fmt: skip


def state_of(policy: Policy, row: Row, timestamp: int) -> dict[str, Any]:
    """What the contracts hold and answer in a block where the signals have these values."""
    words: dict[tuple[Any, bytes], dict[int, int]] = {}
    answers: dict[tuple[Any, bytes], bytes] = {}
    slots: dict[tuple[Any, int], bytes] = {}
    logs: list[RecordedLog] = []
    for signal in policy.signals:
        if signal.name not in row:
            continue
        value = row[signal.name]
        match signal:
            case CallSignal():
                found = words.setdefault((signal.to, signal.calldata), {})
                found |= {position: found.get(position, 0) for position in range(len(signal.return_types))}
                found[signal.position] = value
            case StorageSignal():
                slots[signal.account, signal.slot] = (value << signal.lowest_bit).to_bytes(32, "big")
            case EventSignal():
                logs += [_log(signal, each) for each in value]
            case FeedPrice():
                answers[signal.to, keccak256(b"latestRoundData()")[:4]] = encode(
                    ["uint80", "int256", "uint256", "uint256", "uint80"], [1, value, 0, timestamp, 1]
                )
            case MeanPrice():
                calldata = keccak256(b"observe(uint32[])")[:4] + encode(["uint32[]"], [[signal.window, 0]])
                answers[signal.to, calldata] = encode(
                    ["int56[]", "uint160[]"], [[0, value * signal.window], [0, 0]]
                )
            case BalanceSignal() | _:
                raise AssertionError(f"the cookbook's tests do not know {signal}")
    for call, found in words.items():
        answers[call] = b"".join(found[position].to_bytes(32, "big") for position in sorted(found))
    return {"answers": answers, "slots": slots, "logs": tuple(logs)}


def _log(signal: EventSignal, amount: int) -> RecordedLog:
    values = {each.name: 0 for each in signal.event.fields} | {
        each.name: value for each, value in signal.where
    }
    assert signal.field is not None
    values[signal.field.name] = amount
    encoded = [(each, values[each.name].to_bytes(32, "big")) for each in signal.event.fields]
    return RecordedLog(
        address=signal.address,
        topics=(signal.event.topic(), *(word for each, word in encoded if each.is_indexed)),
        data=b"".join(word for each, word in encoded if not each.is_indexed),
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.policy}: {case.rule}: {case.what}")
async def test_each_rule_rings_where_it_should_and_nowhere_else(case: Case) -> None:
    policy = read_policy(COOKBOOK / f"{case.policy}.yaml")
    chain = RecordedChain(policy.source_chain_id)
    tip = None
    for number, row in enumerate([{}] * BEFORE + list(case.blocks)):
        timestamp = GENESIS_TIME + SECONDS_PER_BLOCK * number
        tip = chain.extend(tip, **state_of(policy, {**QUIET[case.policy], **row}, timestamp))
    assert tip is not None

    said = await Engine(policy).evaluate(chain.view(tip))

    assert [each for each in said if isinstance(each, Unknown)] == []
    assert {each.rule for each in said if isinstance(each, Finding)} == case.fires


def test_every_rule_of_the_cookbook_has_a_true_case_and_a_near_miss_and_every_policy_a_benign_one() -> None:
    policies = {path.stem: read_policy(path) for path in COOKBOOK.glob("*.yaml")}

    assert set(policies) == {"lending", "amm", "vault", "bridge", "stablecoin"}
    for name, policy in policies.items():
        own = [case for case in CASES if case.policy == name]
        told = {
            what: {case.rule for case in own if case.what == what} for what in ("true", "near miss", "benign")
        }
        assert told["true"] == told["near miss"] == {rule.name for rule in policy.rules}
        assert told["benign"]
