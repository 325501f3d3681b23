"""Errors: one reason, one code, one line; and they survive a process boundary."""

import pickle

import pytest

from consensus.errors import Broken, Reason, Refused, TocsinError, Unavailable


@pytest.mark.parametrize("reason", list(Reason))
def test_each_reason_has_a_code_and_one_line_for_people(reason: Reason) -> None:
    assert reason == reason.name.lower()
    assert f"{reason}" == reason.value
    assert len(reason.explanation) > 10
    assert "\n" not in reason.explanation


def test_no_two_reasons_are_explained_alike() -> None:
    assert len({reason.explanation for reason in Reason}) == len(Reason)


def test_a_refusal_says_its_reason_first_and_survives_pickling() -> None:
    refused = Refused(Reason.OVERSIZED, "10 bytes fit, came 11")

    copy = pickle.loads(pickle.dumps(refused))

    assert str(refused) == "oversized: 10 bytes fit, came 11"
    assert (copy.reason, copy.message) == (Reason.OVERSIZED, "10 bytes fit, came 11")


def test_one_tree_holds_every_error() -> None:
    assert {error.__base__ for error in (Refused, Unavailable, Broken)} == {TocsinError}
