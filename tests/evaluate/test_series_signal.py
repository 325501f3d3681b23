"""Signals of kind series: what a policy may name, what enters its hash, and what its rules may ask for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from consensus.alert import Level
from consensus.errors import Refused
from consensus.types import ChainId
from node.backtest.series import learn_series
from node.detect.series import levels
from node.detect.series.levels import SeriesLevels
from node.detect.series.policy import parse_series_policy
from node.evaluate.engine import make_engines
from node.evaluate.lookups import LookedUpSignal
from node.evaluate.policy import Policy, parse_policy
from node.policies import read_policy
from tests.detect.series import POLICY
from tests.detect.test_series_watch import usual
from tests.evaluate.policies import make_policy_text

CHAIN_ID = ChainId(31337)
SIGNAL = "stress: {series: pool.yaml, learned: pool.learned}"
SOURCES = "".join(
    f"  {name}: {{storage: token, slot: {slot}}}\n" for slot, name in enumerate(("volume", "price", "market"))
)


def learned(text: str = POLICY, *, points: int = 60, chain_id: ChainId | None = CHAIN_ID) -> bytes:
    policy = parse_series_policy(text.encode())
    samples = map(usual, range(points))
    return learn_series(samples, policy, name="pool", points=points, chain_id=chain_id).to_bytes()


def write(
    folder: Path,
    signal: str = SIGNAL,
    *,
    text: str = POLICY,
    actions: str = "[brake]",
    when: str = "stress >= 2",
    sources: str = SOURCES,
) -> Path:
    """A policy beside the files that it names."""
    (folder / "pool.yaml").write_text(text)
    (folder / "pool.learned").write_bytes(learned(text))
    rule = f"    kind: expression\n    when: {when}\n    cooldown_blocks: 0\n    actions: {actions}\n"
    path = folder / "policy.yaml"
    # before its sources: a file may be written in any order
    path.write_text(make_policy_text(rule).replace("signals:\n", f"signals:\n  {signal}\n{sources}"))
    return path


def refusal_of(path: Path) -> str:
    with pytest.raises(Refused) as refusal:
        read_policy(path)
    return refusal.value.message


def levels_of(policy: Policy) -> SeriesLevels:
    (found,) = [each.values for each in policy.signals if isinstance(each, LookedUpSignal)]
    assert isinstance(found, SeriesLevels)
    return found


def test_a_series_is_a_signal_that_knows_its_sources_and_what_was_learned(tmp_path: Path) -> None:
    policy = read_policy(write(tmp_path))

    found = levels_of(policy)
    assert {name: each.name for name, each in found.sources.items()} == {
        name: name for name in ("volume", "price", "market")
    }
    assert found.make_watch().is_published
    assert found.hardest is Level.PAUSE
    at_once, waiting = make_engines(policy)
    assert (len(at_once), len(waiting)) == (0, 1)


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: write(folder, text=POLICY.replace("most_bps: 200", "most_bps: 201")),
        lambda folder: (folder / "pool.learned").write_bytes(learned(points=61)),
        lambda folder: write(folder, SIGNAL.replace("{", "{rule: pool, ")),
        lambda folder: write(folder, sources=SOURCES.replace("slot: 0", "slot: 9")),
    ],
    ids=["series policy", "what was learned", "rule", "source"],
)
def test_whatever_changes_the_number_changes_the_policys_hash(
    change: Callable[[Path], object], tmp_path: Path
) -> None:
    before = read_policy(write(tmp_path)).hash

    change(tmp_path)

    assert read_policy(tmp_path / "policy.yaml").hash != before


def test_how_long_each_learns_by_itself_is_part_of_the_hash(tmp_path: Path) -> None:
    hashes = {
        read_policy(write(tmp_path, f"stress: {{series: pool.yaml, learn: {learn}}}", actions="[]")).hash
        for learn in (100, 101)
    }

    assert len(hashes) == 2


def test_the_hash_that_the_series_policy_names_itself_changes_nothing(tmp_path: Path) -> None:
    before = read_policy(write(tmp_path)).hash
    named = POLICY.replace("version: 1\n", f"version: 1\nlearned: 0x{'12' * 32}\n", 1)
    (tmp_path / "pool.yaml").write_text(named)

    after = read_policy(tmp_path / "policy.yaml")

    assert after.hash == before, "the rule policy names the file, and that is what it is judged by"
    assert levels_of(after).make_watch().is_published


def test_without_learned_state_a_rule_may_not_brake(tmp_path: Path) -> None:
    message = refusal_of(write(tmp_path, "stress: {series: pool.yaml}"))

    assert "brake is of level limit, and stress may lead to alert at most" in message
    assert "tocsin series learn" in message
    read_policy(write(tmp_path, "stress: {series: pool.yaml}", actions="[]"))


def test_a_rule_may_not_ask_for_more_than_the_signals_of_the_series_may(tmp_path: Path) -> None:
    gentle = POLICY.replace("most: pause", "most: limit")

    message = refusal_of(write(tmp_path, text=gentle, actions="[stop]"))

    assert "stop is of level pause, and stress may lead to limit at most; raise `most`" in message
    read_policy(write(tmp_path, text=gentle, actions="[brake]"))


@pytest.mark.parametrize(
    ("signal", "changes", "words"),
    [
        (SIGNAL.replace("pool.yaml", "pol.yaml"), {}, "signals.stress.series: there is no such file"),
        (SIGNAL.replace("pool.yaml", "../pool.yaml"), {}, "lies outside the policy's folder"),
        (SIGNAL.replace("pool.yaml", "policy.yaml"), {}, "signals.stress.series"),
        (SIGNAL.replace("{", "{rule: pol, "), {}, "signals.stress.rule: small has no rule 'pol'"),
        (SIGNAL.replace("{", "{learn: 5, "), {}, "leave `learn` out"),
        (SIGNAL, {"sources": SOURCES.replace("  price:", "  prices:")}, "its series price is no signal"),
        (SIGNAL, {"sources": SOURCES.replace("  price:", "  prices:")}, "did you mean `prices`"),
        (SIGNAL.replace("stress:", "price:"), {"sources": SOURCES.replace("  price:", "  more:"),
                                              "when": "price > 1"}, "worked out by another room"),
        (SIGNAL, {"text": POLICY.replace("each: block", "each: period")}, "write `each: block`"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_at_its_place(
    signal: str, changes: dict[str, str], words: str, tmp_path: Path
) -> None:
    assert words in refusal_of(write(tmp_path, signal, **changes))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (learned(chain_id=ChainId(1)), "learned on chain 1, and the policy watches chain 31337"),
        (learned(chain_id=None), "learn with --chain-id"),
        (learned(POLICY.replace("most_bps: 200", "most_bps: 201")), "learn anew under it"),
        (learned().replace(b'"points":60', b'"points":61'), "does not come to the hash"),
    ],
    ids=["another chain", "no chain", "another policy", "damaged"],
)
def test_a_file_that_does_not_fit_is_refused_with_its_path(
    content: bytes, words: str, tmp_path: Path
) -> None:
    path = write(tmp_path)
    (tmp_path / "pool.learned").write_bytes(content)

    message = refusal_of(path)

    assert words in message
    assert "signals.stress.learned" in message
    assert "pool.learned" in message


def test_a_file_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path)
    monkeypatch.setattr(levels, "MAX_LEARNED_BYTES", (tmp_path / "pool.learned").stat().st_size - 1)

    assert "at most so many are read here" in refusal_of(path)


def test_a_source_that_is_refused_is_told_once(tmp_path: Path) -> None:
    message = refusal_of(write(tmp_path, sources=SOURCES.replace("slot: 1", "slot: one")))

    assert "signals.price.slot" in message
    assert "more" not in message


def test_a_policy_that_is_no_file_can_name_none(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="only a policy that is read from a file"):
        parse_policy(write(tmp_path).read_bytes())
