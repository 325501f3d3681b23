"""The demonstration's own arithmetic: who misbehaves, and how money is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from consensus.errors import Reason, Refused
from node.devnet.demo import choose_conduct
from node.devnet.incident import read_incident
from node.devnet.network import Conduct
from node.devnet.scenario import Money


@pytest.mark.parametrize("nodes", range(4, 41))
def test_those_who_behave_are_always_more_than_two_thirds(nodes: int) -> None:
    conduct = choose_conduct(nodes)

    assert len(conduct) == nodes
    assert 3 * conduct.count(Conduct.HONEST) > 2 * nodes


def test_seven_watchers_bear_one_that_is_silent_and_one_that_floods() -> None:
    conduct = choose_conduct(7)

    assert (conduct.count(Conduct.SILENT), conduct.count(Conduct.FLOOD)) == (1, 1)


@pytest.mark.parametrize(
    ("units", "decimals", "words"),
    [
        (0, 18, "0 DUSD"),
        (1_234_567 * 10**18, 18, "1,234,567 DUSD"),
        (15 * 10**17, 18, "1.50 DUSD"),
        (1_999, 3, "1.99 DUSD"),
        (42, 0, "42 DUSD"),
    ],
)
def test_money_is_written_in_whole_units_with_hundredths_cut_off(
    units: int, decimals: int, words: str
) -> None:
    assert str(Money(units=units, decimals=decimals, symbol="DUSD")) == words


@pytest.mark.parametrize("content", [None, b"{", b"{}"], ids=["no file", "no json", "no incident"])
def test_a_folder_that_holds_no_incident_is_refused_by_name(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "incident.json").write_bytes(content)

    with pytest.raises(Refused, match=str(tmp_path)) as caught:
        read_incident(tmp_path)

    assert caught.value.reason is Reason.BAD_CONFIG
