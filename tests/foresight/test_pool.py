"""Which pending transaction is run next: each once a block, what names the watched first."""

from __future__ import annotations

import pytest

from node.foresight import pool as pools
from node.foresight.pool import PendingPool
from node.trace import Account
from tests.foresight.transactions import TARGET, block, sign


def make() -> PendingPool:
    return PendingPool(frozenset({Account(TARGET)}))


def take_all(pool: PendingPool, number: int) -> list[bytes]:
    taken = []
    while (signed := pool.take_next(block(number))) is not None:
        taken.append(signed.hash)
    return taken


def test_each_is_run_once_at_a_block_and_again_at_the_next() -> None:
    pool, signed = make(), sign()
    pool.add([signed, signed])

    assert take_all(pool, 1) == take_all(pool, 2) == [signed.hash]
    assert pool.passed_over == 0


def test_the_new_come_first_then_those_that_name_the_watched_then_those_that_pay() -> None:
    pool = make()
    old = sign(nonce=1, maxFeePerGas=900)
    pool.add([old])
    take_all(pool, 1)
    calls, names = sign(to=TARGET, maxFeePerGas=3), sign(data="0x00" + TARGET[2:], maxFeePerGas=2)
    pays, little = sign(maxFeePerGas=800), sign(nonce=2)
    pool.add([little, pays, names, calls])

    order = [calls.hash, names.hash, pays.hash, little.hash]
    assert take_all(pool, 1) == order
    assert sorted(take_all(pool, 2)) == sorted([*order, old.hash])


def test_what_comes_during_a_block_is_run_at_it() -> None:
    pool = make()
    pool.add([sign(nonce=1)])
    take_all(pool, 1)
    late = sign(nonce=2)
    pool.add([late])

    assert take_all(pool, 1) == [late.hash]


def test_a_block_runs_no_more_than_its_share_and_the_rest_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "MAX_RUN_PER_BLOCK", 2)
    pool = make()
    pool.add([sign(nonce=nonce) for nonce in range(5)])

    assert len(take_all(pool, 1)) == 2
    assert len(take_all(pool, 2)) == 2
    assert pool.passed_over == 3


def test_a_full_pool_keeps_what_ranks_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "MAX_HELD", 3)
    pool, calls = make(), sign(to=TARGET, maxFeePerGas=1)
    pool.add([calls, *(sign(maxFeePerGas=fee) for fee in (10, 40, 20, 30))])

    assert [pool.get(each) is not None for each in (calls.hash, sign(maxFeePerGas=40).hash)] == [True, True]
    assert (len(pool), pool.forgotten) == (3, 2)
    assert pool.get(sign(maxFeePerGas=10).hash) is None


def test_bytes_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "MAX_HELD_BYTES", 1_000)
    pool = make()
    pool.add([sign(data="0x" + "01" * 300, nonce=nonce) for nonce in range(9)])

    assert 1 <= len(pool) <= 3


def test_what_no_block_takes_is_forgotten() -> None:
    pool = make()
    pool.add([sign()])
    take_all(pool, 1)

    assert len(take_all(pool, 1 + pools.MAX_AGE_BLOCKS)) == 1
    assert take_all(pool, 2 + pools.MAX_AGE_BLOCKS) == []
    assert len(pool) == 0
