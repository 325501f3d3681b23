"""What the next block could hold, by the state of the one before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from consensus.errors import Unavailable
from node.chain.types import BalanceRead, NonceRead
from node.foresight.admission import Standing, compute_standing
from tests.foresight.transactions import block, sign

COST = 100_000 * 100


class State:
    """What all accounts have at every block."""

    def __init__(self, *, nonce: Any = 0, balance_wei: Any = COST, code: Any = b"") -> None:
        self._nonce, self._balance_wei, self._code = nonce, balance_wei, code

    async def read_each(self, reads: Sequence[object], _at: object) -> tuple[Any, ...]:
        return tuple(
            self._nonce
            if isinstance(read, NonceRead)
            else self._balance_wei
            if isinstance(read, BalanceRead)
            else self._code
            for read in reads
        )


async def standing(state: State, *, base_fee_wei: int | None = 100, **changes: Any) -> Standing:
    return await compute_standing(sign(**changes), block(1), state, base_fee_wei=base_fee_wei)  # type: ignore[arg-type]


async def test_with_its_nonce_funds_and_fee_it_could_be_in_the_next_block() -> None:
    assert await standing(State()) is Standing.MINABLE


@pytest.mark.parametrize(
    ("state", "changes", "expected"),
    [
        (State(nonce=1), {}, Standing.PAST),
        (State(), {"nonce": 1}, Standing.WAITS),
        (State(balance_wei=COST - 1), {}, Standing.WAITS),
        (State(), {"value": 1}, Standing.WAITS),
        (State(), {"chainId": 1}, Standing.FOREIGN),
        (State(code=b"\x00"), {}, Standing.FOREIGN),
        (State(code=bytes.fromhex("ef0100") + bytes(20)), {}, Standing.MINABLE),
    ],
    ids=[
        "nonce used",
        "nonce ahead",
        "cannot pay gas",
        "cannot pay value",
        "other chain",
        "contract",
        "delegated",
    ],
)
async def test_what_the_chain_would_not_take_is_told_apart(
    state: State, changes: dict[str, Any], expected: Standing
) -> None:
    assert await standing(state, **changes) is expected


@pytest.mark.parametrize(
    ("base_fee_wei", "expected"), [(114, Standing.MINABLE), (115, Standing.WAITS), (None, Standing.MINABLE)]
)
async def test_the_base_fee_may_fall_by_an_eighth_before_the_next_block(
    base_fee_wei: int | None, expected: Standing
) -> None:
    assert await standing(State(), base_fee_wei=base_fee_wei) is expected


async def test_a_transaction_of_before_eip_155_is_for_any_chain() -> None:
    signed = sign(type=None, chainId=None, maxFeePerGas=None, maxPriorityFeePerGas=None, gasPrice=100)

    assert signed.chain_id is None
    assert await compute_standing(signed, block(1), State(), base_fee_wei=1) is Standing.MINABLE  # type: ignore[arg-type]


async def test_without_an_agreed_answer_there_is_none() -> None:
    with pytest.raises(Unavailable):
        await standing(State(nonce=Unavailable("two endpoints say two things")))
