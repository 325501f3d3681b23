"""The malformed points that the Solidity tests read are what their generator writes."""

from __future__ import annotations

import pytest

from consensus.bls import PublicKey
from consensus.errors import Reason, Refused
from tests.vectors.generate_contracts import PATH, find_g2_off_subgroup, make_g2_not_canonical, render


def test_file_is_what_the_generator_writes() -> None:
    assert PATH.read_text() == render(), "run python -m tests.vectors.generate_contracts and commit"


def test_python_refuses_the_same_points() -> None:
    with pytest.raises(Refused) as off_subgroup:
        PublicKey(find_g2_off_subgroup())
    with pytest.raises(Refused) as not_canonical:
        PublicKey(make_g2_not_canonical())

    assert off_subgroup.value.reason is Reason.POINT_OUTSIDE_SUBGROUP
    assert not_canonical.value.reason is Reason.POINT_NOT_CANONICAL
