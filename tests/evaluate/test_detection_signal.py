"""Signals of kind detection: what a policy may name, what enters its hash, and what its rules may ask for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from consensus.alert import Level
from consensus.errors import Refused
from consensus.types import Address, BlockNumber, ChainId
from node.cli import cli
from node.detect import levels
from node.detect.learned import Learned, RecordedSpan
from node.detect.levels import Levels
from node.detect.watch import Watch
from node.evaluate.lookups import LookedUpSignal
from node.evaluate.policy import PendingDetectionRule, Policy, parse_policy
from node.policies import read_policy
from node.trace import Account
from tests.detect.policies import SMALL, make_policy
from tests.detect.test_judging import trained
from tests.evaluate.policies import POOL, TOKEN, make_policy_text

CONTRACTS = tuple(sorted(Account(each.lower()) for each in (POOL, TOKEN)))
SIGNAL = "strange: {detection: small.yaml, learned: pool.learned, contracts: [pool, token]}"
ALERT = "  ring: {guardian: home, action: ring, level: alert}\n"


def make_learned(**changes: Any) -> Learned:
    watch: Watch = trained(40)
    span = {
        "chain_id": ChainId(31337),
        "contracts": CONTRACTS,
        "until_block": BlockNumber(40),
        "until_hash": None,
    }
    fields: dict[str, Any] = {
        "history": "pool",
        "transactions": 40,
        "rows": bytes(32),
        "last_position": watch.last_position,
        "state": watch.state(),
        "recorded": RecordedSpan(**(span | changes)),
    }
    return Learned(**fields)


def write(
    folder: Path,
    signal: str = SIGNAL,
    *,
    when: str = "strange >= 4",
    actions: str = "[stop]",
    rule: str | None = None,
    **changes: Any,
) -> Path:
    """A policy beside the files that it names."""
    (folder / "small.yaml").write_text(SMALL)
    (folder / "pool.learned").write_bytes(make_learned(**changes).to_bytes())
    rule = rule or f"    kind: expression\n    when: {when}\n    cooldown_blocks: 0\n    actions: {actions}\n"
    text = make_policy_text(rule).replace("signals:\n", f"signals:\n  {signal}\n")
    path = folder / "policy.yaml"
    path.write_text(text.replace("rules:\n", f"{ALERT}rules:\n"))
    return path


def refusal_of(path: Path) -> str:
    with pytest.raises(Refused) as refusal:
        read_policy(path)
    return refusal.value.message


def levels_of(policy: Policy) -> Levels:
    (found,) = [each.values for each in policy.signals if isinstance(each, LookedUpSignal)]
    assert isinstance(found, Levels)
    return found


def test_a_detection_is_a_signal_that_knows_its_contracts_and_what_was_learned(tmp_path: Path) -> None:
    found = levels_of(read_policy(write(tmp_path)))

    assert found.policy == make_policy()
    assert found.watched == CONTRACTS
    assert found.learned == make_learned()
    assert found.hardest is Level.PAUSE


def change_policy(folder: Path) -> None:
    path = folder / "small.yaml"
    path.write_text(SMALL.replace("least_bps: 3_000", "least_bps: 3_001"))
    watch = Watch(make_policy(("least_bps: 3_000", "least_bps: 3_001")))
    for trace in _learned_transactions():
        watch.learn(trace)
    fields = {name: getattr(make_learned(), name) for name in ("history", "transactions", "rows", "recorded")}
    learned = Learned(last_position=watch.last_position, state=watch.state(), **fields)
    (folder / "pool.learned").write_bytes(learned.to_bytes())


def _learned_transactions() -> list[Any]:
    from tests.detect.traces import deposit

    return [deposit(block=number) for number in range(1, 40)]


@pytest.mark.parametrize(
    "change",
    [
        change_policy,
        lambda folder: (folder / "pool.learned").write_bytes(
            make_learned(until_block=BlockNumber(41)).to_bytes()
        ),
        lambda folder: write(folder, SIGNAL.replace("learned: pool.learned", "learn: 9"), actions="[ring]"),
    ],
    ids=["detection policy", "what was learned", "learned by each"],
)
def test_whatever_changes_what_detectors_say_changes_the_policys_hash(
    change: Callable[[Path], object], tmp_path: Path
) -> None:
    path = write(tmp_path, actions="[ring]")
    before = read_policy(path).hash

    change(tmp_path)

    assert read_policy(path).hash != before


def test_comments_in_the_files_and_the_order_of_contracts_do_not_change_the_hash(tmp_path: Path) -> None:
    before = read_policy(write(tmp_path)).hash

    path = write(tmp_path, SIGNAL.replace("[pool, token]", "[token, pool]"))
    (tmp_path / "small.yaml").write_text(f"# small\n{SMALL}")

    assert read_policy(path).hash == before


@pytest.mark.parametrize(
    "when", ["strange >= 1", "prev(strange, 3) > 0 and x > 1", "count(strange > 2, 5) > 1"]
)
@pytest.mark.parametrize(("action", "level"), [("brake", "limit"), ("stop", "pause")])
def test_without_learned_state_a_rule_may_not_brake(
    when: str, action: str, level: str, tmp_path: Path
) -> None:
    signal = "strange: {detection: small.yaml, contracts: [pool, token]}"
    path = write(tmp_path, signal, when=when, actions=f"[ring, {action}]")

    told = CliRunner().invoke(cli, ["policy", "check", str(path)])

    assert told.exit_code == 2
    caret = told.output.splitlines()[-2].index("^")
    assert told.output.splitlines()[-3][caret:].startswith(action)
    assert f"{action} is of level {level}, and strange may lead to alert at most" in told.output
    assert "tocsin learn" in told.output
    assert "1 problem" in told.output
    read_policy(write(tmp_path, signal, when=when, actions="[ring]"))
    read_policy(write(tmp_path, signal, when=when, actions="[]"))


def test_a_drain_of_what_is_not_learned_may_not_brake_either(tmp_path: Path) -> None:
    path = write(tmp_path, "strange: {detection: small.yaml, contracts: [pool, token]}", actions="[ring]")
    rule = "kind: drain\n    signal: strange\n    window_blocks: 1\n    threshold_bps: 1\n"
    text = path.read_text().replace("kind: expression\n    when: strange >= 4\n", rule)
    path.write_text(text)
    read_policy(path)

    path.write_text(text.replace("actions: [ring]", "actions: [brake]"))

    assert "brake is of level limit" in refusal_of(path)


def test_a_rule_over_other_signals_may_brake_as_ever(tmp_path: Path) -> None:
    signal = "strange: {detection: small.yaml, contracts: [pool, token]}"

    policy = read_policy(write(tmp_path, signal, when="x > 1"))

    assert policy.rules[0].actions[0].level is Level.PAUSE


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"chain_id": ChainId(1)}, "learned on chain 1, and the policy watches chain 31337"),
        ({"contracts": CONTRACTS[:1]}, f"the signal names {', '.join(CONTRACTS)}"),
        ({"until_block": BlockNumber(30)}, "ends at or before its last block"),
    ],
)
def test_what_was_learned_of_something_else_is_refused_by_name(
    changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    message = refusal_of(write(tmp_path, **changes))

    assert words in message
    assert "signals.strange.learned" in message
    assert "pool.learned" in message


def test_learned_state_of_another_detection_policy_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "small.yaml").write_text(SMALL.replace("least_bps: 3_000", "least_bps: 3_001"))

    message = refusal_of(path)

    assert "signals.strange.learned" in message
    assert f"0x{make_policy().hash.hex()}" in message


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    file = tmp_path / "pool.learned"
    file.write_bytes(file.read_bytes().replace(b'"until_block":40', b'"until_block":41'))

    assert "does not come to the hash" in refusal_of(path)


def test_a_file_that_does_not_say_what_it_is_of_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    learned = make_learned()
    fields = ("history", "transactions", "rows", "last_position", "state")
    bare = Learned(**{name: getattr(learned, name) for name in fields})
    (tmp_path / "pool.learned").write_bytes(bare.to_bytes())

    assert "learn with --until-block" in refusal_of(path)


def test_a_file_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path)
    monkeypatch.setattr(levels, "MAX_LEARNED_BYTES", (tmp_path / "pool.learned").stat().st_size)
    read_policy(path)

    monkeypatch.setattr(levels, "MAX_LEARNED_BYTES", (tmp_path / "pool.learned").stat().st_size - 1)

    assert "at most so many are read here" in refusal_of(path)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("small.yaml", "smal.yaml", "signals.strange.detection: there is no such file"),
        ("small.yaml", "../small.yaml", "signals.strange.detection: lies outside the policy's folder"),
        ("pool.learned", "/etc/passwd", "signals.strange.learned: expected a path relative to this file"),
        ("small.yaml", "policy.yaml", "signals.strange.detection"),
        ("[pool, token]", "[]", "expected at least one contract"),
        ("[pool, token]", "[pool, pool]", "pool is named twice"),
        ("[pool, token]", "[pool, tokn]", "did you mean `token`"),
        ("[pool, token]", "[pool, away]", "away is on chain 10"),
        ("contracts:", "learn: 5, contracts:", "leave `learn` out"),
    ],
)
def test_what_cannot_be_is_refused_at_its_place(old: str, new: str, words: str, tmp_path: Path) -> None:
    assert words in refusal_of(write(tmp_path, SIGNAL.replace(old, new)))


def test_files_are_found_beside_the_file_that_names_them(tmp_path: Path) -> None:
    path = write(tmp_path)
    below = tmp_path / "parts"
    below.mkdir()
    for name in ("small.yaml", "pool.learned"):
        (tmp_path / name).rename(below / name)
    (below / "strange.yaml").write_text(f"signals:\n  {SIGNAL}\n")
    before = path.read_text()
    path.write_text(f"include: [parts/strange.yaml]\n{before.replace(f'  {SIGNAL}', '')}")

    assert levels_of(read_policy(path)).learned == make_learned()


def test_a_policy_that_is_no_file_can_name_none(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="only a policy that is read from a file"):
        parse_policy(write(tmp_path).read_bytes())


def test_a_rule_over_a_detection_is_not_played_without_traces(tmp_path: Path) -> None:
    (tmp_path / "rpc.txt").write_text("http://127.0.0.1:9")
    arguments = ["--http-file", str(tmp_path / "rpc.txt"), "--blocks", "1"]

    told = CliRunner().invoke(cli, ["policy", "backtest", str(write(tmp_path)), *arguments])

    assert told.exit_code == 2
    assert "watch of test cannot be played by this command" in told.output


def test_the_source_contracts_are_those_of_the_signal(tmp_path: Path) -> None:
    found = levels_of(read_policy(write(tmp_path)))

    assert found.contracts == {"pool": Address(POOL), "token": Address(TOKEN)}


# --- asked about pending transactions

PENDING = """
    kind: pending_detection
    signal: strange
    level: limit
    block_seconds: 12
    actions: [stop]
"""


def foresee(folder: Path, *changes: tuple[str, str], signal: str = SIGNAL) -> Path:
    rule = PENDING
    for old, new in changes:
        assert old in rule
        rule = rule.replace(old, new)
    return write(folder, signal, rule=rule)


def test_a_rule_about_pending_transactions_names_a_detection_and_a_level(tmp_path: Path) -> None:
    policy = read_policy(foresee(tmp_path))
    (rule,) = policy.pending_rules

    assert isinstance(rule, PendingDetectionRule)
    assert (policy.rules, rule.level, rule.block_seconds) == ((), Level.LIMIT, 12)
    assert rule.signal.values is levels_of(policy)
    assert [each.name for each in rule.actions] == ["stop"]


@pytest.mark.parametrize(
    "change",
    [("level: limit", "level: pause"), ("seconds: 12", "seconds: 2"), ("[stop]", "[ring]")],
)
def test_every_part_of_it_is_in_the_hash(tmp_path: Path, change: tuple[str, str]) -> None:
    before = read_policy(foresee(tmp_path)).hash
    assert read_policy(foresee(tmp_path)).hash == before
    assert read_policy(foresee(tmp_path, change)).hash != before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("signal: strange", "signal: strang"), "(did you mean `strange`?)"),
        (("signal: strange", "signal: x"), "x is no detection"),
        (("level: limit", "level: hard"), "level"),
        (("block_seconds: 12", "block_seconds: 0"), "block_seconds"),
        (("    level: limit\n", ""), "`level` is missing"),
    ],
)
def test_what_is_no_detection_cannot_be_asked(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    assert words in refusal_of(foresee(tmp_path, change))


def test_without_learned_state_what_is_foreseen_may_only_alert(tmp_path: Path) -> None:
    own = "strange: {detection: small.yaml, learn: 40, contracts: [pool, token]}"

    assert "strange may lead to alert at most" in refusal_of(foresee(tmp_path, signal=own))
    read_policy(foresee(tmp_path, ("[stop]", "[ring]"), signal=own))
