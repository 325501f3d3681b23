"""Every detector: one true case, one near miss, one benign."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from consensus.types import Bps
from node.detect.balance_drain import BalanceDrain
from node.detect.contract_caller import ContractCaller
from node.detect.detector import Detector
from node.detect.mint_anomaly import MintAnomaly
from node.detect.novel_flow import NovelFlow
from node.detect.privileged_change import PrivilegedChange
from node.detect.reentrancy import Reentrancy
from node.detect.repetition_burst import RepetitionBurst
from node.detect.round_trip import RoundTrip
from node.detect.storage_record import StorageRecord
from node.detect.volume_record import VolumeRecord
from node.detect.wrapped_number import WrappedNumber
from node.trace import ZERO_ACCOUNT, CallKind, TransactionTrace
from tests.detect.traces import (
    BORROW,
    COIN,
    DEPOSIT,
    OTHER_VAULT,
    REPAY,
    SHARE,
    USER,
    VAULT,
    WITHDRAW,
    call,
    deposit,
    direct,
    make_transaction,
    read,
    transfer,
    withdrawal,
    write,
)


def train(detector: Detector, transactions: Iterable[TransactionTrace]) -> None:
    for transaction in transactions:
        detector.learn(transaction)
        detector.follow(transaction)


def score(detector: Detector, transaction: TransactionTrace) -> int:
    """What a detector says of it, 0 for nothing; and that saying so changes nothing."""
    before = detector.state()
    evidence = detector.judge(transaction)
    assert detector.judge(transaction) == evidence
    assert detector.state() == before
    if evidence is None:
        return 0
    assert evidence.detector == detector.name
    assert evidence.score > 0
    assert evidence.summary
    return evidence.score


# ---------------------------------------------------------------------- flow


def test_novel_flow_counts_the_steps_that_were_never_seen() -> None:
    detector = NovelFlow()
    train(detector, [deposit(), withdrawal(10)])

    borrowing = make_transaction(
        call(DEPOSIT, span=(10, 20), accesses=[write(7)]),
        call(BORROW, span=(30, 60), accesses=[read(7), write(8)]),
        call(REPAY, span=(40, 50), accesses=[read(8), write(8)]),
    )

    assert score(detector, borrowing) == 2  # deposit then borrow, borrow holds repay


def test_novel_flow_takes_independent_calls_for_what_they_are_alone() -> None:
    detector = NovelFlow()
    train(detector, [deposit(), withdrawal(10)])
    first, reading = call(DEPOSIT, span=(10, 20), accesses=[write(7)]), [read(7), write(8)]

    apart = make_transaction(first, call(WITHDRAW, span=(30, 40), accesses=[read(9), write(8)]))
    together = make_transaction(first, call(WITHDRAW, span=(30, 40), accesses=reading))

    assert score(detector, apart) == 0
    assert score(detector, together) == 1


def test_novel_flow_knows_a_second_contract_of_a_known_kind() -> None:
    detector = NovelFlow()
    train(detector, [deposit()])

    assert score(detector, make_transaction(direct(DEPOSIT, contract=OTHER_VAULT))) == 0
    assert score(detector, make_transaction(direct(BORROW))) == 1


def test_novel_flow_ignores_calls_that_write_nothing() -> None:
    looking = make_transaction(call(BORROW, kind=CallKind.STATIC_CALL, accesses=[read(7)]))

    assert score(NovelFlow(), looking) == 0


def test_contract_caller_rings_when_the_first_contract_calls() -> None:
    detector = ContractCaller(least_direct_calls=8)
    train(detector, [deposit(block=n) for n in range(8)])

    assert score(detector, make_transaction(call(DEPOSIT))) == 2
    assert score(detector, deposit()) == 0


def test_contract_caller_rings_lower_when_contracts_call_other_functions() -> None:
    detector = ContractCaller(least_direct_calls=8)
    train(detector, [deposit(block=n) for n in range(8)])
    train(detector, [make_transaction(call(BORROW))])

    assert score(detector, make_transaction(call(DEPOSIT))) == 1
    assert score(detector, make_transaction(call(BORROW))) == 0


def test_contract_caller_says_nothing_of_few_direct_calls() -> None:
    detector = ContractCaller(least_direct_calls=8)
    train(detector, [deposit(block=n) for n in range(7)])

    assert score(detector, make_transaction(call(DEPOSIT))) == 0


def repeated(times: int, selector: str = WITHDRAW) -> TransactionTrace:
    return make_transaction(*(call(selector, span=(10 * n, 10 * n + 5)) for n in range(times)))


def test_repetition_burst_rings_at_twice_what_was_seen() -> None:
    detector = RepetitionBurst(least_calls=6)
    train(detector, [repeated(5)])

    assert score(detector, repeated(10)) == 10
    assert score(detector, repeated(9)) == 0
    assert score(detector, repeated(3)) == 0


def test_repetition_burst_counts_one_function_and_not_a_batch_of_many() -> None:
    batch = make_transaction(
        *(call(f"0x{n:08x}", span=(10 * n, 10 * n + 5)) for n in range(1, 12)),
    )

    assert score(RepetitionBurst(least_calls=6), batch) == 0
    assert score(RepetitionBurst(least_calls=6), repeated(6)) == 6


# ---------------------------------------------------------------------- nesting


def nested(inner: str = WITHDRAW, **changes: object) -> TransactionTrace:
    return make_transaction(
        call(WITHDRAW, span=(10, 90)),
        call(inner, span=(20, 80), **changes),  # type: ignore[arg-type]
    )


def test_reentrancy_rings_when_a_writing_call_holds_another_of_the_same_contract() -> None:
    assert score(Reentrancy(), nested()) == 1


def test_reentrancy_sees_through_a_call_of_another_contract_in_between() -> None:
    detour = make_transaction(
        call(WITHDRAW, span=(10, 90)),
        call(BORROW, contract=OTHER_VAULT, span=(20, 80)),
        call(DEPOSIT, span=(30, 70)),
    )

    assert score(Reentrancy(), detour) == 1


@pytest.mark.parametrize(
    "harmless",
    [
        make_transaction(call(WITHDRAW, span=(10, 20)), call(WITHDRAW, span=(30, 40))),
        nested(contract=OTHER_VAULT),
        nested(kind=CallKind.DELEGATE_CALL),
        nested(kind=CallKind.STATIC_CALL, accesses=[read(7)]),
    ],
    ids=["one after the other", "another contract", "borrowed code", "only reading"],
)
def test_reentrancy_leaves_other_nesting_alone(harmless: TransactionTrace) -> None:
    assert score(Reentrancy(), harmless) == 0


def test_reentrancy_learns_which_functions_nest_daily() -> None:
    detector = Reentrancy()
    train(detector, [nested(DEPOSIT)])

    assert score(detector, nested(DEPOSIT)) == 0
    assert score(detector, nested(BORROW)) == 1


# ---------------------------------------------------------------------- value


def test_balance_drain_says_which_part_of_the_balance_leaves() -> None:
    detector = BalanceDrain(least_bps=Bps(3_000), dust_bps=Bps(500))
    train(detector, [deposit(800), deposit(200)])

    assert score(detector, withdrawal(990)) == 9_900
    assert score(detector, withdrawal(299)) == 0
    assert score(detector, deposit(10_000)) == 0


def test_balance_drain_sets_off_what_comes_back_in_the_same_transaction() -> None:
    detector = BalanceDrain(least_bps=Bps(3_000), dust_bps=Bps(500))
    train(detector, [deposit(1_000)])
    out, back = transfer(900, sender=VAULT, receiver=USER), transfer(899)

    assert score(detector, make_transaction(call(WITHDRAW), transfers=[out, back])) == 0


def test_balance_drain_leaves_remainders_and_strangers_balances_alone() -> None:
    detector = BalanceDrain(least_bps=Bps(3_000), dust_bps=Bps(500))
    train(detector, [deposit(1_000), withdrawal(960)])
    stranger = transfer(50, sender=USER, receiver=OTHER_VAULT)

    assert score(detector, withdrawal(40)) == 0
    assert score(detector, make_transaction(direct(), transfers=[stranger])) == 0


def test_volume_record_compares_with_the_largest_movement() -> None:
    detector = VolumeRecord(least_bps=Bps(20_000), least_movements=8)
    train(detector, [deposit(100, block=n) for n in range(8)])

    assert score(detector, deposit(500)) == 50_000
    assert score(detector, withdrawal(500)) == 50_000
    assert score(detector, deposit(199)) == 0
    assert score(detector, deposit(100)) == 0


def test_volume_record_says_nothing_of_a_token_that_hardly_moved() -> None:
    detector = VolumeRecord(least_bps=Bps(20_000), least_movements=8)
    train(detector, [deposit(100, block=n) for n in range(7)])

    assert score(detector, deposit(10_000)) == 0


def around(came: int, left: int, *extra: object) -> TransactionTrace:
    return make_transaction(
        call(DEPOSIT, span=(10, 20)),
        call(WITHDRAW, span=(30, 40)),
        transfers=[transfer(came), transfer(left, sender=VAULT, receiver=USER), *extra],  # type: ignore[list-item]
    )


def test_round_trip_rings_when_more_comes_out_than_went_in() -> None:
    detector = RoundTrip(least_bps=Bps(5))
    train(detector, [deposit(10_000)])

    assert score(detector, around(5_000, 5_100)) == 100
    assert score(detector, around(5_000, 5_004)) == 0
    assert score(detector, around(5_000, 4_990)) == 0


def test_round_trip_leaves_a_sale_for_another_token_alone() -> None:
    detector = RoundTrip(least_bps=Bps(5))
    train(detector, [deposit(10_000)])

    assert score(detector, around(5_000, 5_100, transfer(95, token=SHARE))) == 0


def test_round_trip_is_not_deceived_by_a_proxy_that_tells_a_movement_twice() -> None:
    detector = RoundTrip(least_bps=Bps(5))
    train(detector, [deposit(10_000)])

    assert score(detector, around(5_000, 5_100, transfer(5_000, token=SHARE))) == 100


def mint(units: int, *paid: object) -> TransactionTrace:
    minted = transfer(units, sender=ZERO_ACCOUNT, receiver=USER, token=SHARE)
    return make_transaction(call(DEPOSIT), transfers=[minted, *paid])  # type: ignore[list-item]


def test_mint_anomaly_rings_for_shares_that_nobody_paid_for() -> None:
    detector = MintAnomaly(least_bps=Bps(2_000), least_mints=4)
    train(detector, [mint(100, transfer(100)) for _ in range(4)])

    assert score(detector, mint(400)) == 10_000
    assert score(detector, mint(79)) == 0
    assert score(detector, mint(400, transfer(400))) == 0


def test_mint_anomaly_counts_burns_and_says_nothing_of_a_young_token() -> None:
    detector = MintAnomaly(least_bps=Bps(2_000), least_mints=4)
    train(detector, [mint(100, transfer(100)) for _ in range(3)])
    assert score(detector, mint(400)) == 0

    burn = transfer(300, sender=USER, receiver=ZERO_ACCOUNT, token=SHARE)
    train(detector, [mint(100), make_transaction(call(WITHDRAW), transfers=[burn])])

    assert score(detector, mint(100)) == 10_000


def setting(value: int, slot: int = 3) -> TransactionTrace:
    return make_transaction(direct(accesses=[write(slot, value)]))


def test_storage_record_compares_a_number_with_the_largest_it_ever_was() -> None:
    detector = StorageRecord(least_bps=Bps(20_000), least_writes=16)
    train(detector, [setting(1_000) for _ in range(16)])

    assert score(detector, setting(7_000)) == 70_000
    assert score(detector, setting(1_999)) == 0
    assert score(detector, setting(3)) == 0


def test_storage_record_says_nothing_of_mappings_packed_words_and_rare_ones() -> None:
    detector = StorageRecord(least_bps=Bps(20_000), least_writes=16)
    train(detector, [setting(1_000, slot=1 << 200) for _ in range(16)])
    train(detector, [setting(1_000) for _ in range(15)])

    assert score(detector, setting(9_000, slot=1 << 200)) == 0
    assert score(detector, setting(9_000)) == 0
    train(detector, [setting(1_000)])
    assert score(detector, setting(1 << 130)) == 0


# ---------------------------------------------------------------------- state


def initialisation() -> TransactionTrace:
    return make_transaction(direct("0x8129fc1c", accesses=[write(0), write(1, 5), write(2, 6)]))


def touching(slot: int) -> TransactionTrace:
    return make_transaction(direct(accesses=[read(1), write(slot)]))


def test_privileged_change_rings_for_a_second_initialisation() -> None:
    detector = PrivilegedChange(cold_calls=16, least_slots=2)
    train(detector, [initialisation(), *(touching(7) for _ in range(50))])

    assert score(detector, initialisation()) == 3


def test_privileged_change_leaves_one_setting_and_a_young_contract_alone() -> None:
    detector = PrivilegedChange(cold_calls=16, least_slots=2)
    train(detector, [initialisation(), *(touching(7) for _ in range(15))])
    assert score(detector, initialisation()) == 0

    train(detector, [touching(7) for _ in range(40)])

    assert score(detector, touching(2)) == 0


def test_privileged_change_leaves_totals_that_change_now_and_then_alone() -> None:
    detector = PrivilegedChange(cold_calls=16, least_slots=1)
    rarely = [touching(2) if n % 20 == 0 else touching(7) for n in range(1, 100)]
    train(detector, rarely)

    assert score(detector, touching(2)) == 0


def test_privileged_change_leaves_a_busy_slot_that_rests_for_once_alone() -> None:
    detector = PrivilegedChange(cold_calls=16, least_slots=1)
    train(detector, [touching(2) for _ in range(60)])
    train(detector, [touching(7) for _ in range(20)])

    assert score(detector, touching(2)) == 0


def test_privileged_change_sees_the_implementation_of_a_proxy() -> None:
    slot = 0x360894A13BA1A3210667C828492DB98DCA3E2076CC3735A920A3CA505D382BBC
    detector = PrivilegedChange(cold_calls=16, least_slots=1)
    looking = make_transaction(direct(accesses=[read(slot), write(7)]))
    train(detector, [looking for _ in range(16)])

    assert score(detector, make_transaction(direct(accesses=[write(slot)]))) == 1
    assert score(detector, make_transaction(direct(accesses=[write(slot + 1)]))) == 0


def subtraction(before: int, after: int, contract: object = VAULT) -> TransactionTrace:
    return make_transaction(
        call(WITHDRAW, contract=contract, accesses=[read(9, before), write(9, after)])  # type: ignore[arg-type]
    )


def test_wrapped_number_rings_when_more_is_subtracted_than_is_there() -> None:
    assert score(WrappedNumber(), subtraction(5, 2**256 - 95)) == 1


@pytest.mark.parametrize(
    ("before", "after"),
    [(5, 2**256 - 1), (2**256 - 1, 2**256 - 95), (5, 2**200), (95, 5)],
    ids=["approved without a limit", "spent of such an approval", "packed", "subtracted"],
)
def test_wrapped_number_leaves_honest_numbers_alone(before: int, after: int) -> None:
    assert score(WrappedNumber(), subtraction(before, after)) == 0


def test_wrapped_number_learns_which_contracts_keep_signed_numbers() -> None:
    detector = WrappedNumber()
    train(detector, [subtraction(5, 2**256 - 95)])

    assert score(detector, subtraction(5, 2**256 - 95)) == 0
    assert score(detector, subtraction(5, 2**256 - 95, OTHER_VAULT)) == 1


def test_a_foreign_tokens_storage_is_not_the_contracts_own() -> None:
    foreign = make_transaction(
        call(WITHDRAW, accesses={COIN: [read(9, 5), write(9, 2**256 - 95)]})  # type: ignore[dict-item]
    )

    assert score(WrappedNumber(), foreign) == 0
