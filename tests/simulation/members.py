"""Operator sets and alerts of a simulated network, kept between runs: a set costs as much as a run."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from hashlib import sha256

from consensus.alert import Alert
from consensus.bls import GROUP_ORDER, SecretKey
from consensus.operators import Operator, OperatorSet
from consensus.types import BlockNumber, Epoch, HeaderHash, OperatorIndex, Seconds, Weight
from node.gossip.transport import PeerId
from tests.consensus.factories import (
    CAPTURE_TIME,
    LIFETIME,
    make_address,
    make_alert,
    make_bytes32,
    make_slot,
)


@cache
def make_key(number: int, *, is_real: bool) -> SecretKey:
    """The key of one operator; keys of the two curves are apart, for neither may meet the other."""
    del is_real
    return SecretKey(1 + int.from_bytes(sha256(b"simulated %d" % number).digest(), "big") % (GROUP_ORDER - 1))


@cache
def make_members(weights: tuple[int, ...], *, is_real: bool) -> OperatorSet:
    """Operator i has the i-th weight and `make_key(i)`."""
    return OperatorSet(
        epoch=Epoch(1),
        operators=tuple(
            Operator(
                index=OperatorIndex(index),
                address=make_address(f"simulated {index}"),
                weight=Weight(weight),
                public_key=make_key(index, is_real=is_real).public_key(),
                peer_id=peer_of(index),
            )
            for index, weight in enumerate(weights)
        ),
        capture_block=BlockNumber(1_000),
        capture_time=CAPTURE_TIME,
        valid_until=Seconds(CAPTURE_TIME + LIFETIME),
        prev_header_hash=HeaderHash(make_bytes32("before")),
    )


@cache
def make_claim(operator_set: OperatorSet, slot: int, claim: str) -> Alert:
    """What is said of a slot: `real` by honest watchers, `other` where a view changed, the rest by liars."""
    return replace(
        make_alert(operator_set),
        slot=make_slot(anchor_number=BlockNumber(slot)),
        evidence_hash=make_bytes32(claim),
    )


def peer_of(index: int) -> PeerId:
    return PeerId(f"peer-{index}")


def index_of(peer_id: PeerId) -> OperatorIndex:
    return OperatorIndex(int(peer_id.removeprefix("peer-")))
