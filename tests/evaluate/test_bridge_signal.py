"""Signals of kind bridge: what a policy may name, and what enters its hash."""

from __future__ import annotations

from pathlib import Path

import pytest

from consensus.alert import Level
from consensus.errors import Refused
from node.detect.bridge_book import BridgeValues, Take
from node.evaluate.lookups import LookedUpSignal
from node.evaluate.policy import Policy, parse_policy
from node.policies import read_policy
from tests.evaluate.policies import make_policy_text
from tests.live.test_bridge import POLICY

SIGNAL = "forged: {bridge: bridge.yaml, take: count, lookback_seconds: 86_400}"


def write(folder: Path, signal: str = SIGNAL, *, bridge: str = POLICY, **changes: str) -> Path:
    (folder / "bridge.yaml").write_text(bridge)
    rule = "    kind: expression\n    when: forged > 0\n    cooldown_blocks: 0\n    actions: [stop]\n"
    text = make_policy_text(rule).replace("signals:\n", f"signals:\n  {signal}\n")
    for old, new in changes.items():
        text = text.replace(f"{old}: 31337", f"{old}: {new}", 1)
    path = folder / "policy.yaml"
    path.write_text(text)
    return path


def read(folder: Path, signal: str = SIGNAL, **changes: str) -> Policy:
    return read_policy(write(folder, signal, **changes))


def test_a_rule_over_a_bridge_may_ask_for_any_level(tmp_path: Path) -> None:
    policy = read(tmp_path)

    (signal,) = [each for each in policy.signals if each.name == "forged"]
    assert isinstance(signal, LookedUpSignal)
    assert isinstance(signal.values, BridgeValues)
    assert (signal.values.take, signal.values.hardest) == (Take.COUNT, Level.PAUSE)
    assert signal.values.book.lookback_seconds == 86_400


def test_the_bridges_policy_and_how_it_is_read_are_in_the_hash(tmp_path: Path) -> None:
    hashes = {
        read(tmp_path).hash,
        read(tmp_path, bridge=POLICY.replace("window_seconds: 100", "window_seconds: 101")).hash,
        read(tmp_path, SIGNAL.replace("count", "value")).hash,
        read(tmp_path, SIGNAL.replace("86_400", "86_401")).hash,
    }

    assert len(hashes) == 4
    assert read(tmp_path).hash in hashes


@pytest.mark.parametrize(
    ("signal", "said"),
    [
        (SIGNAL.replace("bridge.yaml", "brige.yaml"), "there is no such file"),
        (SIGNAL.replace("bridge.yaml", "../bridge.yaml"), "outside the policy's folder"),
        (SIGNAL.replace("count", "cont"), "expected one of count, value"),
        (SIGNAL.replace(", lookback_seconds: 86_400", ""), "`lookback_seconds` is missing"),
        (SIGNAL.replace("86_400", "0"), "whole number from 1"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, signal: str, said: str) -> None:
    with pytest.raises(Refused) as refused:
        read(tmp_path, signal)

    assert said in refused.value.message


def test_a_policy_of_another_chain_than_the_releases_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="its releases are on chain 31337, and this policy watches chain 10"):
        read(tmp_path, source_chain_id="10")


def test_a_bridge_policy_that_is_wrong_is_refused_at_the_signal(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"signals\.forged\.bridge"):
        read(tmp_path, bridge=POLICY.replace("version: 1", "version: 0"))


def test_without_a_file_of_its_own_a_policy_cannot_name_one(tmp_path: Path) -> None:
    text = write(tmp_path).read_bytes()

    with pytest.raises(Refused, match="only a policy that is read from a file"):
        parse_policy(text)
