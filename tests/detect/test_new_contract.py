"""New contracts: made for a protected one with borrowed money, made for it alone, or for nothing of ours."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.errors import Reason, Refused
from consensus.fields import keccak256
from node.chain.reader import ChainReader
from node.chain.types import CodeRead
from node.detect.new_contract import (
    FRESH_POINTS,
    FRESH_SHARE,
    HIGHEST_CODE_SCORE,
    HIGHEST_SCORE,
    MAX_CODE_BYTES,
    YOUNG_POINTS,
    YOUNG_TRANSACTIONS,
    Deployer,
    NewContract,
    NewContractDetector,
    find_constants,
    find_functions,
)
from node.devnet.anvil import running_anvil
from node.devnet.deployer import open_deployer
from node.trace import Account

POOL, CREATOR, NEW = (Account("0x" + two * 20) for two in ("c1", "ee", "99"))
BORROW, SEIZE, SWEEP = "borrow(uint256)", "seize(address,uint256)", "sweep()"
LOAN = "onFlashLoan(address,address,uint256,uint256,bytes)"


def selector(signature: str) -> str:
    return keccak256(signature.encode())[:4].hex()


def code_of(*answers: str, names: tuple[str, ...] = (), holds: tuple[str, ...] = ()) -> bytes:
    """A dispatcher for the functions `answers`, whose end pushes the selectors and constants of the rest."""
    end = 6 + 11 * len(answers) + 1
    text = "5f3560e01c"
    for signature in answers:
        text += f"8063{selector(signature)}1461{end:04x}57"
    text += "00" + "00" * (end - 6 - 11 * len(answers)) + "5b"
    for signature in names:
        text += f"63{selector(signature)}50"
    for constant in holds:
        text += f"{0x5F + len(constant) // 2:02x}{constant}50"
    return bytes.fromhex(text + "00")


TOKEN = ("transfer(address,uint256)", "balanceOf(address)")
VICTIM = code_of(BORROW, SEIZE, SWEEP, *TOKEN)
DETECTOR = NewContractDetector({POOL: VICTIM}, least_score=6)
OLD = Deployer(sent=YOUNG_TRANSACTIONS + 1, coin=10**18, coin_before=0)
YOUNG = Deployer(sent=YOUNG_TRANSACTIONS, coin=10**18, coin_before=10**18)
FRESH = Deployer(sent=1, coin=10**18, coin_before=10**18 // FRESH_SHARE)


def judged(code: bytes, deployer: Deployer = OLD) -> int | None:
    found = DETECTOR.judge(NewContract(address=NEW, creator=CREATOR, code=code), deployer)
    return None if found is None else found.score


def test_what_a_contract_answers_to_and_names_is_found() -> None:
    assert find_functions(VICTIM) == {selector(each) for each in (BORROW, SEIZE, SWEEP, *TOKEN)}
    assert selector(BORROW) in find_constants(code_of("go()", names=(BORROW,)))


@pytest.mark.parametrize(
    ("code", "score"),
    [
        (code_of(LOAN, holds=(POOL[2:],)), 6),
        (code_of(LOAN, names=(BORROW, SEIZE)), 6),
        (code_of(LOAN, names=(BORROW, SEIZE, SWEEP), holds=(POOL[2:],)), HIGHEST_CODE_SCORE),
        (code_of(LOAN, holds=("00" * 12 + POOL[2:],)), 6),
        (code_of(LOAN, names=(BORROW,), holds=(selector(SEIZE) + "00" * 28,)), 6),
    ],
    ids=["address", "two functions", "all", "immutable address", "selector in a word"],
)
def test_borrowed_money_and_a_victim_are_told(code: bytes, score: int) -> None:
    assert judged(code) == score


@pytest.mark.parametrize("deployer", [OLD, YOUNG, FRESH], ids=["old", "young", "fresh"])
@pytest.mark.parametrize(
    "code",
    [
        code_of("go()", names=(BORROW, SEIZE, SWEEP), holds=(POOL[2:],)),
        code_of(LOAN),
        code_of(LOAN, names=TOKEN),
        code_of(LOAN, holds=("c1" * 19 + "c2",)),
        code_of(LOAN, holds=("00" * 11 + "01" + POOL[2:],)),
    ],
    ids=["an integrator", "a borrower", "a token's functions", "another address", "a number"],
)
def test_half_of_it_is_not_told_whoever_deployed_it(code: bytes, deployer: Deployer) -> None:
    assert judged(code, deployer) is None


@pytest.mark.parametrize(
    ("deployer", "points"),
    [
        (OLD, 0),
        (YOUNG, YOUNG_POINTS),
        (FRESH, YOUNG_POINTS + FRESH_POINTS),
        (replace(FRESH, coin_before=FRESH.coin_before + 1), YOUNG_POINTS),
        (replace(FRESH, coin=0, coin_before=0), YOUNG_POINTS + FRESH_POINTS),
    ],
    ids=["old, topped up", "young", "fresh", "held a little more", "spent all that came"],
)
def test_a_drainer_scores_by_who_deployed_it(deployer: Deployer, points: int) -> None:
    assert judged(code_of(LOAN, holds=(POOL[2:],)), deployer) == 6 + points


def test_a_loan_and_one_function_are_told_of_a_young_deployer_alone() -> None:
    code = code_of(LOAN, names=(BORROW,))

    assert judged(code, OLD) is None
    assert judged(code, YOUNG) == 6


def test_the_evidence_names_what_was_found() -> None:
    found = DETECTOR.judge(
        NewContract(address=NEW, creator=CREATOR, code=code_of(LOAN, names=(BORROW,), holds=(POOL[2:],))),
        FRESH,
    )

    assert found is not None
    assert "0xc1c1c1c1…c1c1 among its constants" in found.summary
    assert f"0x{selector(BORROW)}" in found.summary
    assert f"flash loans by 0x{selector(LOAN)}" in found.summary
    assert f"has sent 1 transactions, and held {FRESH.coin_before} wei shortly before" in found.summary


def test_a_lower_threshold_tells_of_integrators_too() -> None:
    eager = NewContractDetector({POOL: VICTIM}, least_score=5)
    integrator = code_of("go()", names=(BORROW, SEIZE, SWEEP), holds=(POOL[2:],))

    assert eager.judge(NewContract(address=NEW, creator=CREATOR, code=integrator), OLD) is not None


@pytest.mark.parametrize("least_score", [0, HIGHEST_SCORE + 1])
def test_a_threshold_that_means_nothing_is_refused(least_score: int) -> None:
    with pytest.raises(Refused) as raised:
        NewContractDetector({}, least_score=least_score)
    assert raised.value.reason is Reason.OUT_OF_RANGE


def test_more_code_than_any_chain_takes_is_refused() -> None:
    for read in (find_functions, find_constants):
        with pytest.raises(Refused) as raised:
            read(bytes(MAX_CODE_BYTES + 1))
        assert raised.value.reason is Reason.OVERSIZED


@given(st.binary(max_size=400))
def test_no_code_does_worse_than_being_silent_or_told(code: bytes) -> None:
    score = judged(code)
    assert score is None or 6 <= score <= HIGHEST_SCORE


async def test_an_attacker_that_was_compiled_names_its_victim_and_a_token_does_not() -> None:
    async with running_anvil() as anvil, open_deployer(anvil) as chain:
        reader = ChainReader(chain.pool)

        async def code_at(address: str) -> bytes:
            (code,) = await reader.read_each((CodeRead(account=address),), await reader.latest())  # type: ignore[arg-type]
            assert isinstance(code, bytes)
            return code

        pool = chain.accounts[5]  # the attacker only remembers it
        attack = await chain.deploy("DrainAttack", pool)
        token = await chain.deploy("DemoToken", "Demo Dollar", "DUSD")
        victim = code_of(BORROW, "withdrawCollateral(uint256)", "liquidity()")
        eager = NewContractDetector({Account(pool.lower()): victim}, least_score=2)

        found = eager.judge(NewContract(address=NEW, creator=CREATOR, code=await code_at(attack)), OLD)
        nothing = eager.judge(NewContract(address=NEW, creator=CREATOR, code=await code_at(token)), OLD)

    assert found is not None
    assert found.score == 5, "the address, and three functions that it calls from a contract within its own"
    assert nothing is None
