"""When a merged certificate is passed on: once complete or late, a bounded number of times, never in vain."""

from consensus.alert import Alert
from consensus.partial import compute_signers, indices_of, merge
from consensus.tally import Tally
from consensus.types import OperatorIndex
from node.gossip.forwarder import (
    LEVEL_SECONDS,
    MAX_ANSWERS,
    MAX_ASKED,
    MAX_COURSES,
    MAX_SENDS,
    SLACK_SECONDS,
    Forwarder,
    Parcel,
)
from node.gossip.levels import compute_levels_of
from tests.consensus.factories import (
    EXPIRES_AT,
    NETWORK_ID,
    NOW,
    make_alert,
    make_attestation,
    make_operator_set,
    make_slot,
)

SET = make_operator_set((1_000,) * 24)
ALERT = make_alert(SET)
ME = OperatorIndex(5)
OWN_GROUP, LEVEL_1 = compute_levels_of(
    ME, digest=ALERT.digest(), epoch=ALERT.epoch, operator_count=len(SET.operators)
)


class Desk:
    """A forwarder over a real tally, in the hands of the test."""

    def __init__(self) -> None:
        self.tally = Tally(NETWORK_ID)
        self.tally.add_operator_set(SET)
        self.forwarder = Forwarder(self.tally)

    def learn(self, *indices: int, at: float, alert: Alert = ALERT) -> None:
        self.tally.add([make_attestation(alert, index) for index in indices], NOW)
        self.forwarder.learned(alert, SET, ME, at=at)

    def due(self, at: float) -> tuple[Parcel, ...]:
        return self.forwarder.take_due(at=at)


def names(parcels: tuple[Parcel, ...]) -> set[int]:
    return {each.to for each in parcels}


def primaries() -> set[int]:
    return {index for part in LEVEL_1.parts for index in part.primary}


def test_a_complete_group_is_told_at_once_to_one_of_each_other_group() -> None:
    desk = Desk()

    desk.learn(*indices_of(LEVEL_1.block), at=1.0)

    parcels = desk.due(1.0)
    assert names(parcels) == primaries()
    assert {each.partial.signers for each in parcels} == {LEVEL_1.block}
    assert desk.due(1.1) == ()


def test_an_incomplete_group_is_told_when_its_time_is_over() -> None:
    desk = Desk()

    desk.learn(ME, at=1.0)

    assert desk.forwarder.next_due_at() == 1.0 + LEVEL_SECONDS
    assert desk.due(1.0 + LEVEL_SECONDS - 0.001) == ()
    assert names(desk.due(1.0 + LEVEL_SECONDS)) == primaries()


def test_what_grows_is_told_again_a_bounded_number_of_times() -> None:
    desk, sends, at = Desk(), 0, 1.0
    members = [index for index in indices_of(LEVEL_1.block) if index != ME]
    desk.learn(ME, at=at)

    for index in members:
        at += 100 * LEVEL_SECONDS
        told = [each for each in desk.due(at) if each.to in primaries()]
        sends += bool(told)
        desk.learn(index, at=at)

    assert sends == MAX_SENDS


def test_nothing_of_other_groups_is_told_on_our_level() -> None:
    desk = Desk()
    strangers = indices_of(LEVEL_1.parts[0].members)

    desk.learn(*strangers[:2], at=1.0)

    assert not any(each.to in primaries() for each in desk.due(1.0 + LEVEL_SECONDS))


def test_with_a_quorum_nobody_is_asked_and_nothing_told_twice() -> None:
    desk = Desk()
    desk.learn(*range(24), at=1.0)

    first = desk.due(1.0)

    assert {each.partial.signers for each in first} == {compute_signers(range(24))}
    assert desk.due(100.0) == ()
    assert desk.forwarder.next_due_at() is None


def test_missing_groups_are_asked_for_through_others_a_bounded_number_of_times() -> None:
    desk = Desk()
    desk.learn(*range(9), at=1.0)  # more than a third claims it, no quorum
    late = 1.0 + 2 * LEVEL_SECONDS + SLACK_SECONDS
    asked: list[Parcel] = []

    for step in range(50):
        asked += [each for each in desk.due(late + step) if each.to not in primaries()]

    assert 0 < len(asked) <= MAX_ASKED * len(LEVEL_1.parts)
    assert len(names(tuple(asked))) == len(asked), "each time somebody else"
    assert desk.forwarder.next_due_at() is None


def test_a_claim_of_few_that_is_not_ours_makes_us_ask_nobody() -> None:
    desk = Desk()
    few = [index for index in range(24) if not LEVEL_1.block >> index & 1][:2]

    desk.learn(*few, at=1.0)

    assert [parcel for step in range(20) for parcel in desk.due(1.0 + step)] == []


def test_who_asks_is_answered_what_it_lacks_and_only_so_often() -> None:
    desk = Desk()
    desk.learn(*range(24), at=1.0)
    asker = next(index for part in LEVEL_1.parts for index in part.others)
    lonely = merge([make_attestation(ALERT, asker)])

    answers = [desk.forwarder.heard(lonely, asker) for _ in range(MAX_ANSWERS + 3)]

    assert [len(each) for each in answers] == [1] * MAX_ANSWERS + [0, 0, 0]
    assert answers[0][0].partial.signers == compute_signers(range(24))


def test_who_tells_us_on_its_level_is_not_answered_the_first_time() -> None:
    desk = Desk()
    desk.learn(*range(24), at=1.0)
    teller = indices_of(LEVEL_1.parts[0].tellers)[0]
    told = merge([make_attestation(ALERT, index) for index in indices_of(LEVEL_1.parts[0].members)])

    assert desk.forwarder.heard(told, teller) == ()
    assert len(desk.forwarder.heard(told, teller)) == 1


def test_who_knows_as_much_or_has_a_quorum_is_not_answered() -> None:
    desk = Desk()
    desk.learn(*range(24), at=1.0)
    asker = next(index for part in LEVEL_1.parts for index in part.others)

    everything = merge([make_attestation(ALERT, index) for index in range(24)])
    quorum = merge([make_attestation(ALERT, index) for index in range(17)])

    assert desk.forwarder.heard(everything, asker) == ()
    assert desk.forwarder.heard(quorum, asker) == ()


def test_alerts_on_their_way_are_bounded_and_end_with_their_window() -> None:
    desk = Desk()
    small = Forwarder(desk.tally)
    for number in range(MAX_COURSES + 3):
        alert = make_alert(SET, slot=make_slot(anchor_number=number))
        small.learned(alert, SET, ME, at=1.0)

    assert small.statistics().courses == MAX_COURSES
    small.prune(EXPIRES_AT)
    assert small.statistics().courses == MAX_COURSES
    small.prune(EXPIRES_AT + 1)
    assert small.statistics().courses == 0


def test_small_sets_take_no_part() -> None:
    small = make_operator_set()
    forwarder = Forwarder(Tally(NETWORK_ID))

    forwarder.learned(make_alert(small), small, OperatorIndex(0), at=1.0)

    assert not forwarder.forwards_in(small)
    assert forwarder.statistics().courses == 0
