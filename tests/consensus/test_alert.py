"""Alerts: every field is in the digest, and none outside its Solidity type exists."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.alert import (
    FLOORS,
    MAX_ACTIONS,
    MAX_ALERT_PARAMS_BYTES,
    MAX_PARAMS_BYTES,
    MAX_TTL_SECONDS,
    ZERO32,
    Level,
    Verdict,
    compute_action_id,
    compute_network_id,
    compute_possession_digest,
)
from consensus.errors import Reason, Refused
from consensus.types import ChainId
from tests.consensus.factories import (
    EXPIRES_AT,
    GUARDIAN,
    NETWORK_ID,
    OBSERVED_AT,
    REGISTRY,
    make_action,
    make_address,
    make_alert,
    make_bytes32,
    make_public_key,
    make_slot,
)


def reason_of(action: Callable[[], object]) -> Reason:
    with pytest.raises(Refused) as refused:
        action()
    return refused.value.reason


ALERT_CHANGES: list[dict[str, Any]] = [
    {"network_id": make_bytes32("other")},
    {"epoch": 2},
    {"header_hash": make_bytes32("other")},
    {"slot": make_slot(policy_hash=make_bytes32("other"))},
    {"slot": make_slot(rule_id=make_bytes32("other"))},
    {"slot": make_slot(source_chain_id=1)},
    {"slot": make_slot(anchor_number=1)},
    {"slot": make_slot(anchor_hash=make_bytes32("other"))},
    {"slot": make_slot(subject=make_bytes32("other"))},
    {"verdict": Verdict.CLEAR},
    {"observed_at": OBSERVED_AT - 1},
    {"expires_at": EXPIRES_AT + 1},
    {"evidence_hash": make_bytes32("other")},
    {"cause_digest": make_bytes32("cause"), "cause_depth": 1},
    {"cause_digest": make_bytes32("cause"), "cause_depth": 2},
    {"cause_digest": make_bytes32("other"), "cause_depth": 1},
    {"actions": ()},
    {"actions": (make_action(chain_id=1),)},
    {"actions": (make_action(guardian=make_address("other")),)},
    {"actions": (make_action(action_id=compute_action_id("other")),)},
    {"actions": (make_action(params=b"\0"),)},
    {"actions": (make_action(), make_action())},
    {"actions": (make_action(), make_action(chain_id=1))},
    {"actions": (make_action(chain_id=1), make_action())},
]


def test_every_field_changes_the_digest() -> None:
    digests = {make_alert(**changes).digest() for changes in ({}, *ALERT_CHANGES)}

    assert len(digests) == len(ALERT_CHANGES) + 1


def test_only_the_slots_own_fields_change_its_id() -> None:
    changed = [make_alert(**changes).slot_id() != make_alert().slot_id() for changes in ALERT_CHANGES]

    assert changed == ["slot" in changes for changes in ALERT_CHANGES]


@given(st.binary(max_size=64), st.binary(max_size=64))
def test_params_of_two_actions_cannot_be_moved_between_them(first: bytes, second: bytes) -> None:
    joined = make_alert(actions=(make_action(params=first + second), make_action(params=b"")))
    split = make_alert(actions=(make_action(params=first), make_action(params=second)))

    assert (joined.digest() == split.digest()) == (second == b"")


def test_replacing_a_field_computes_the_digest_anew() -> None:
    alert = make_alert()

    assert replace(alert, evidence_hash=make_bytes32("other")).digest() != alert.digest()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"network_id": b"\1" * 31}, Reason.WRONG_LENGTH),
        ({"header_hash": b"\1" * 33}, Reason.WRONG_LENGTH),
        ({"evidence_hash": b""}, Reason.WRONG_LENGTH),
        ({"cause_digest": b"\1"}, Reason.WRONG_LENGTH),
        ({"network_id": "x" * 32}, Reason.WRONG_TYPE),
        ({"epoch": 1 << 32}, Reason.OUT_OF_RANGE),
        ({"epoch": -1}, Reason.OUT_OF_RANGE),
        ({"epoch": True}, Reason.WRONG_TYPE),
        ({"epoch": 1.0}, Reason.WRONG_TYPE),
        ({"verdict": 1}, Reason.WRONG_TYPE),
        ({"observed_at": -1}, Reason.OUT_OF_RANGE),
        ({"expires_at": 1 << 64}, Reason.OUT_OF_RANGE),
        ({"cause_digest": b"\1" * 32, "cause_depth": 256}, Reason.OUT_OF_RANGE),
        ({"expires_at": OBSERVED_AT}, Reason.WINDOW_INVALID),
        ({"expires_at": OBSERVED_AT + MAX_TTL_SECONDS + 1}, Reason.WINDOW_INVALID),
        ({"cause_digest": b"\1" * 32, "cause_depth": 0}, Reason.CAUSE_INVALID),
        ({"cause_digest": ZERO32, "cause_depth": 1}, Reason.CAUSE_INVALID),
        ({"actions": [make_action()]}, Reason.WRONG_TYPE),
        ({"actions": (make_action(),) * (MAX_ACTIONS + 1)}, Reason.OVERSIZED),
        ({"actions": (make_action(params=bytes(MAX_PARAMS_BYTES)),) * 15}, Reason.OVERSIZED),
    ],
)
def test_an_alert_outside_its_bounds_cannot_be_built(changes: dict[str, Any], reason: Reason) -> None:
    assert reason_of(lambda: make_alert(**changes)) == reason


def test_an_alert_at_its_bounds_can_be_built() -> None:
    make_alert(expires_at=OBSERVED_AT + MAX_TTL_SECONDS)
    make_alert(actions=(make_action(),) * MAX_ACTIONS)
    make_alert(
        actions=(make_action(params=bytes(MAX_PARAMS_BYTES)),) * (MAX_ALERT_PARAMS_BYTES // MAX_PARAMS_BYTES)
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"policy_hash": b""}, Reason.WRONG_LENGTH),
        ({"rule_id": b""}, Reason.WRONG_LENGTH),
        ({"anchor_hash": b""}, Reason.WRONG_LENGTH),
        ({"subject": b""}, Reason.WRONG_LENGTH),
        ({"source_chain_id": 1 << 64}, Reason.OUT_OF_RANGE),
        ({"anchor_number": 1 << 64}, Reason.OUT_OF_RANGE),
    ],
)
def test_a_slot_outside_its_bounds_cannot_be_built(changes: dict[str, Any], reason: Reason) -> None:
    assert reason_of(lambda: make_slot(**changes)) == reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"chain_id": 1 << 64}, Reason.OUT_OF_RANGE),
        ({"guardian": GUARDIAN.lower()}, Reason.NOT_CHECKSUMMED),
        ({"guardian": GUARDIAN[:-1]}, Reason.WRONG_LENGTH),
        ({"guardian": "0x" + "zz" * 20}, Reason.WRONG_TYPE),
        ({"guardian": b"\1" * 20}, Reason.WRONG_TYPE),
        ({"action_id": b"pause"}, Reason.WRONG_LENGTH),
        ({"params": "text"}, Reason.WRONG_TYPE),
        ({"params": bytes(MAX_PARAMS_BYTES + 1)}, Reason.OVERSIZED),
    ],
)
def test_an_action_outside_its_bounds_cannot_be_built(changes: dict[str, Any], reason: Reason) -> None:
    assert reason_of(lambda: make_action(**changes)) == reason


def test_networks_differ_by_home_chain_and_registry() -> None:
    ids = {
        compute_network_id(ChainId(1), REGISTRY),
        compute_network_id(ChainId(2), REGISTRY),
        compute_network_id(ChainId(1), GUARDIAN),
    }

    assert len(ids) == 3


def test_every_field_changes_the_possession_digest() -> None:
    fields: dict[str, Any] = {
        "chain_id": 1,
        "registry": REGISTRY,
        "operator": make_address("operator 0"),
        "public_key": make_public_key(0).to_bytes(),
    }
    changes: list[dict[str, Any]] = [
        {"chain_id": 2},
        {"registry": GUARDIAN},
        {"operator": make_address("operator 1")},
        {"public_key": make_public_key(1).to_bytes()},
    ]

    digests = {compute_possession_digest(NETWORK_ID, **{**fields, **change}) for change in ({}, *changes)}
    digests.add(compute_possession_digest(make_alert(network_id=ZERO32).network_id, **fields))

    assert len(digests) == 6


def test_floors_rise_with_the_level_and_the_alerts_is_the_limits() -> None:
    shares = [numerator / denominator for numerator, denominator in (FLOORS[level] for level in Level)]

    assert shares == sorted(shares)
    assert FLOORS[Level.ALERT] == FLOORS[Level.LIMIT] == (1, 3)
    assert FLOORS[Level.FREEZE] == (1, 2)
    assert FLOORS[Level.PAUSE] == (2, 3)
