"""Budgets: a flooder exhausts its own, faults add up to a ban, and a ban ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.gossip.budgets import LONE_VERIFICATION_US, Budgets, Limits, Rate
from node.gossip.transport import PeerId

ALICE, BOB = PeerId("alice"), PeerId("bob")


class FakeClock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def make_limits(**changes: float) -> Limits:
    rate = Rate(messages_per_second=10, message_burst=5, bytes_per_second=100, byte_burst=200)
    return Limits(author=rate, link=rate, strikes_to_ban=10, strikes_forgiven_per_second=1, ban_seconds=60)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def budgets(clock: FakeClock) -> Budgets:
    return Budgets(make_limits(), clock)


def test_message_burst_is_the_limit_and_refills_with_time(budgets: Budgets, clock: FakeClock) -> None:
    assert [budgets.charge_author(ALICE, 1) for _ in range(6)] == [True] * 5 + [False]

    clock.now += 0.2

    assert [budgets.charge_author(ALICE, 1) for _ in range(3)] == [True, True, False]


def test_byte_burst_is_the_limit_too(budgets: Budgets, clock: FakeClock) -> None:
    assert budgets.charge_author(ALICE, 200)
    assert not budgets.charge_author(ALICE, 1)

    clock.now += 1

    assert budgets.charge_author(ALICE, 100)


def test_flooder_spends_nobody_elses_budget(budgets: Budgets) -> None:
    while budgets.charge_author(ALICE, 1):
        pass

    assert budgets.charge_author(BOB, 1)
    assert budgets.charge_link(ALICE, 1)


@given(steps=st.lists(st.tuples(st.floats(0, 5), st.integers(0, 150)), min_size=1, max_size=60))
def test_nobody_gets_more_than_burst_and_rate(steps: list[tuple[float, int]]) -> None:
    clock, limits = FakeClock(), make_limits()
    budgets = Budgets(limits, clock)
    began, messages, size_bytes = clock.now, 0, 0

    for pause, size in steps:
        clock.now += pause
        if budgets.charge_author(ALICE, size):
            messages, size_bytes = messages + 1, size_bytes + size

    elapsed = clock.now - began
    assert messages <= limits.author.message_burst + elapsed * limits.author.messages_per_second + 1e-6
    assert size_bytes <= limits.author.byte_burst + elapsed * limits.author.bytes_per_second + 1e-6


def test_strikes_add_up_to_a_ban_that_expires(budgets: Budgets, clock: FakeClock) -> None:
    assert not budgets.strike(ALICE, 9)
    assert budgets.strike(ALICE, 1)
    assert budgets.is_banned(ALICE)
    assert budgets.banned() == (ALICE,)
    assert not budgets.is_banned(BOB)

    clock.now += 60

    assert not budgets.is_banned(ALICE)
    assert budgets.banned() == ()
    assert not budgets.strike(ALICE, 1)


def test_a_ban_is_told_once(budgets: Budgets) -> None:
    assert [budgets.strike(ALICE, 10) for _ in range(3)] == [True, False, False]


def test_strikes_are_forgiven_with_time(budgets: Budgets, clock: FakeClock) -> None:
    for _ in range(10):
        assert not budgets.strike(ALICE, 5)
        clock.now += 5


def test_leaving_the_set_forgets_budgets_but_pardons_no_ban(budgets: Budgets) -> None:
    budgets.strike(ALICE, 10)
    while budgets.charge_author(BOB, 1):
        pass

    budgets.keep_only([])

    assert budgets.is_banned(ALICE)
    assert budgets.charge_author(BOB, 1)


def test_accounts_are_bounded(budgets: Budgets) -> None:
    for number in range(3_000):
        budgets.charge_author(PeerId(f"peer {number}"), 1)

    assert len(budgets._accounts) <= 1_024


def test_limits_that_ban_nobody_are_refused() -> None:
    with pytest.raises(ValueError, match="expected positive strikes_to_ban"):
        Limits(strikes_to_ban=0)


def test_time_to_verify_is_charged_before_it_is_spent_and_comes_back(clock: FakeClock) -> None:
    limits = Limits(verification_us_per_second=1_000, verification_burst_us=10_000)
    budgets = Budgets(limits, clock)
    assert [budgets.charge_verification(ALICE, 4_000) for _ in range(3)] == [True, True, False]
    assert budgets.charge_verification(BOB, 10_000)
    assert budgets.charge_verification(ALICE, 2_000)

    clock.now += 3

    assert not budgets.charge_verification(ALICE, 3_001)
    assert budgets.charge_verification(ALICE, 3_000)


def test_the_default_burst_lets_an_incident_of_200_alerts_through(clock: FakeClock) -> None:
    budgets = Budgets(Limits(), clock)

    assert all(budgets.charge_verification(ALICE, LONE_VERIFICATION_US) for _ in range(200))


def test_each_further_ban_lasts_twice_as_long_up_to_an_hour(clock: FakeClock) -> None:
    budgets = Budgets(Limits(), clock)
    lasted = []
    for _ in range(7):
        assert budgets.strike(ALICE, 100)
        began = clock.now
        while budgets.is_banned(ALICE):
            clock.now += 100
        lasted.append(clock.now - began)

    assert lasted == [300, 600, 1_200, 2_400, 3_600, 3_600, 3_600]


def test_a_day_without_a_ban_is_a_pardon_and_leaving_the_set_is_none(clock: FakeClock) -> None:
    budgets = Budgets(Limits(), clock)
    budgets.strike(ALICE, 100)
    clock.now += 400
    budgets.keep_only([])
    budgets.strike(ALICE, 100)
    clock.now += 599
    assert budgets.is_banned(ALICE)

    clock.now += 86_402
    budgets.strike(ALICE, 100)
    clock.now += 300

    assert not budgets.is_banned(ALICE)
