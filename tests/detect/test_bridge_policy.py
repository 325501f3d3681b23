"""A bridge's policy: the documented example is read, and what makes no sense is refused at its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from consensus.alert import Level
from consensus.errors import Reason, Refused
from consensus.types import Seconds
from node.backtest.bridge import play_bridge
from node.cli import cli
from node.detect.bridge_mismatch import Backing, BridgeMismatch, TokenValue
from node.detect.bridge_policy import BridgePolicy, parse_bridge_policy, read_bridge_policy
from node.evaluate.problems import DocumentRefused
from node.observe.bridge_logs import EventReader
from tests.detect.test_bridge_mismatch import burn, claim, parameters, release

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "policies" / "bridge.yaml"
WBTC = "0x2260fac5e5542a773aa44fbcfedf7c193bc2c599"


def changed(*changes: tuple[str, str]) -> bytes:
    text = EXAMPLE.read_text()
    for old, new in changes:
        assert text.count(old) >= 1, old
        text = text.replace(old, new)
    return text.encode()


def test_the_documented_policy_says_what_it_explains() -> None:
    policy = read_bridge_policy(EXAMPLE)

    assert policy.parameters.least_values[-1] == (Level.PAUSE, 100_000)
    assert policy.parameters.values == {WBTC: TokenValue(numerator=20_000, denominator=10**8)}
    assert policy.tokens["0x" + "00" * 19 + "c1"] == WBTC  # type: ignore[index]
    for shape in (policy.burns, policy.releases):
        EventReader(shape)


@pytest.mark.parametrize(
    "change",
    [
        ("version: 1", "version: 2"),
        ("finality_seconds: 60", "finality_seconds: 61"),
        ("clock_seconds: 15", "clock_seconds: 16"),
        ("window_seconds: 3_600", "window_seconds: 3_601"),
        ("outstanding_burns: 100_000", "outstanding_burns: 100_001"),
        ("waiting_releases: 10_000", "waiting_releases: 10_001"),
        ("pause: 100_000", "pause: 100_001"),
        ("worth: 20_000", "worth: 20_001"),
        ("00000000d2", "00000000d3"),
        ("name: example-bridge", "name: other-bridge"),
        ("chain_id: 1284", "chain_id: 1285"),
        ("  id: nonce\n", ""),
    ],
)
def test_the_hash_names_everything_that_a_verdict_depends_on(change: tuple[str, str]) -> None:
    assert parse_bridge_policy(changed(change)).hash != read_bridge_policy(EXAMPLE).hash


def test_comments_and_order_do_not_change_the_hash() -> None:
    bare = "\n".join(line for line in EXAMPLE.read_text().splitlines() if not line.strip().startswith("#"))

    assert parse_bridge_policy(bare.encode()).hash == read_bridge_policy(EXAMPLE).hash


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("tocsin_bridge: 1", "tocsin_bridge: 2"), "tocsin_bridge"),
        (("finality_seconds: 60", "finality_seconds: -1"), "finality_seconds"),
        (("limit: 10_000", "limit: 60_000"), "must not take less"),
        (("    worth: 20_000\n", ""), "both, or neither"),
        (("per_units: 100_000_000", "per_units: 0"), "per_units"),
        (("00000000c2", "00000000c1"), "named twice"),
        (("0x00000000000000000000000000000000000000b2", "0xb2"), "expected an address"),
        (
            ("0x2260fac5e5542a773aa44fbcfedf7c193bc2c599", "0x2260FAC5e5542a773aa44fbcfedf7c193bc2c599"),
            "EIP-55",
        ),
        (("chain_id: 1284", "chain_id: 0"), "chain_id"),
        (("  units: amount\n", ""), "`units` is missing"),
        (("name: example-bridge", "name: " + "x" * 2_001), "characters"),
        (("room:", "rooms:"), "unknown key"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(change: tuple[str, str], said: str) -> None:
    with pytest.raises(Refused, match=said) as raised:
        parse_bridge_policy(changed(change))
    assert raised.value.reason is Reason.POLICY_INVALID
    assert "line " in raised.value.message


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(DocumentRefused) as refused:
        parse_bridge_policy(
            changed(
                ("finality_seconds: 60", "finality_seconds: soon"),
                ("outstanding_burns: 100_000", "outstanding_burn: 100_000"),
                ("limit: 10_000", "limit: 60_000"),
                ("    worth: 20_000\n", ""),
                ("0x00000000000000000000000000000000000000b2", "0xb2"),
                ("  units: amount\n", ""),
            )
        )

    paths = [each.path for each in refused.value.problems]
    assert {"timing.finality_seconds", "levels.freeze", "tokens.wbtc", "releases.contract"} <= set(paths)
    said = " ".join(each.message for each in refused.value.problems)
    assert "did you mean `outstanding_burns`" in said
    assert said.count("`units` is missing") == 2
    assert len(paths) >= 8


def test_a_policy_without_tokens_is_refused() -> None:
    text = EXAMPLE.read_text()
    start, end = text.index("tokens:\n"), text.index("# The event on each side")

    with pytest.raises(Refused, match="between 1 and"):
        parse_bridge_policy((text[:start] + "tokens: {}\n" + text[end:]).encode())


# --- playing recorded sides


def test_verdicts_come_when_the_source_is_far_enough_and_none_is_left_over() -> None:
    burns = [burn(claim(1), 100), burn(claim(2), 300)]
    releases = [release(claim(1), 200), release(claim(3), 250)]
    detector = BridgeMismatch(parameters(finality_seconds=Seconds(60)))

    told = list(play_bridge(detector, burns, releases))

    assert [(each.at, each.verdict.backing) for each in told] == [
        (300, Backing.BACKED),
        (360, Backing.UNBACKED),
    ]


def test_nothing_that_happened_is_nothing_to_tell() -> None:
    assert list(play_bridge(BridgeMismatch(parameters()), [], [])) == []


# --- the command


def side(path: Path, *rows: tuple[int, int, int]) -> str:
    lines = ["timestamp,tx_hash,withdrawal_id,token,beneficiary,amount"]
    lines += [f"{at},0x{at:064x},{number},{WBTC},0x{'1' * 40},{units}" for at, number, units in rows]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_the_command_tells_what_was_not_backed_with_its_evidence(tmp_path: Path) -> None:
    burns = side(tmp_path / "burns.csv", (10, 1, 5))
    releases = side(tmp_path / "releases.csv", (20, 1, 5), (30, 2, 10**9))
    arguments = ["bridge", "--policy", str(EXAMPLE), "--burns", burns, "--releases", releases]

    shown = CliRunner().invoke(cli, arguments)
    told = CliRunner().invoke(cli, [*arguments, "--json"])

    assert shown.exit_code == told.exit_code == 0
    assert "2 releases, 1 backed, 1 unbacked, 0 unknown" in shown.output
    assert "pause    1000000000 of" in shown.output
    fields = json.loads(told.output)
    assert fields["hash"] == f"0x{policy_hash().hex()}"
    ((finding),) = fields["findings"]
    assert (finding["level"], finding["value"], finding["told_at"]) == ("pause", 200_000, 90)


def policy_hash() -> bytes:
    policy: BridgePolicy = read_bridge_policy(EXAMPLE)
    return policy.hash


def test_the_command_refuses_a_policy_whose_events_could_not_be_watched(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_bytes(changed(("token: token", "token: nothing")))
    burns = side(tmp_path / "burns.csv", (10, 1, 5))

    result = CliRunner().invoke(
        cli, ["bridge", "--policy", str(policy), "--burns", burns, "--releases", burns]
    )

    assert result.exit_code == 2
    assert "needs one parameter 'nothing'" in result.output
