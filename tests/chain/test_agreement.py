"""Counting votes: when enough, when hopeless, and who was outvoted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.chain.agreement import Ballot
from node.chain.request import Json, RpcFault, RpcRequest, Unusable

VOTERS = ("a", "b", "c", "d")


def read(answer: Json | RpcFault) -> int | None:
    if isinstance(answer, RpcFault | str):
        raise Unusable("said nothing")
    assert answer is None or isinstance(answer, int)
    return answer


def ballot_of(*voters: str, agreement: int) -> Ballot[int | None]:
    request = RpcRequest(method="m", params=(), parse=read, is_weak=lambda value: value is None)
    return Ballot(request, voters, agreement)


def test_is_decided_by_the_vote_that_makes_enough() -> None:
    ballot = ballot_of("a", "b", "c", agreement=2)
    ballot.cast("a", 7)
    assert ballot.is_open
    ballot.cast("b", 7)
    assert ballot.decided is not None
    assert ballot.decided.value == 7
    assert not ballot.is_open


def test_is_hopeless_once_those_left_cannot_make_enough() -> None:
    ballot = ballot_of("a", "b", "c", agreement=2)
    ballot.abstain("a", "is down")
    ballot.cast("b", "garbage")
    assert not ballot.is_open
    assert ballot.decided is None
    assert ballot.describe() == "a is down; b said nothing; c had not answered yet"


def test_no_such_block_waits_for_those_who_may_have_it() -> None:
    ballot = ballot_of(*VOTERS, agreement=2)
    ballot.cast("a", None)
    ballot.cast("b", None)
    assert ballot.is_open
    ballot.cast("c", 7)
    ballot.cast("d", 7)
    assert ballot.decided is not None
    assert ballot.decided.value == 7
    assert ballot.outvoted() == ()  # to lag is not to lie


def test_no_such_block_counts_when_no_block_can_be_agreed_on_any_more() -> None:
    ballot = ballot_of("a", "b", "c", agreement=2)
    ballot.cast("a", None)
    ballot.cast("b", None)
    assert ballot.decided is not None
    assert ballot.decided.value is None


def test_who_contradicted_is_outvoted_before_and_after_the_decision() -> None:
    ballot = ballot_of(*VOTERS, agreement=2)
    ballot.cast("a", 6)
    ballot.cast("b", 7)
    ballot.cast("c", 7)
    ballot.cast("d", 8)
    assert ballot.outvoted() == ("a", "d")


@given(st.integers(1, 4), st.lists(st.sampled_from([1, 2, None, "garbage"]), min_size=4, max_size=4))
def test_a_value_is_decided_if_and_only_if_enough_gave_it(agreement: int, answers: list[Json]) -> None:
    ballot = ballot_of(*VOTERS, agreement=agreement)
    for voter, answer in zip(VOTERS, answers, strict=True):
        if ballot.is_open:
            ballot.cast(voter, answer)
    enough = {value for value in (1, 2, None) if answers.count(value) >= agreement}
    assert not ballot.is_open
    if ballot.decided is None:
        assert not enough
    else:
        assert ballot.decided.value in enough
        assert ballot.decided.value is not None or enough == {None}
