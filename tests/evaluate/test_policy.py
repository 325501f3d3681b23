"""Policy files: what is read, what is refused and with which advice, and what the hash covers."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from eth_abi.abi import encode
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.alert import Level
from consensus.errors import Reason, Refused
from consensus.fields import keccak256
from node.evaluate.document import MAX_DOCUMENT_BYTES
from node.evaluate.policy import DrainRule, ExpressionRule, parse_policy
from node.policies import read_policy
from tests.evaluate.policies import EXAMPLE, POOL, TOKEN, make_policy_text

EXAMPLE_HASH = "c7fb6c0117653270c2e9a5faf1fbe4f23861c251c2f7fecde1e92908ed640854"


def change(old: str, new: str) -> bytes:
    """The default policy's text with one change."""
    text = make_policy_text()
    assert text.count(old) == 1, f"{old!r} must stand exactly once in the default policy"
    return text.replace(old, new).encode()


def test_the_example_reads_as_it_is_written() -> None:
    policy = read_policy(EXAMPLE)

    drain, owner, price = policy.rules
    assert isinstance(drain, DrainRule)
    assert (drain.signal, drain.window_blocks, drain.threshold_bps) == ("cash", 5, 6_000)
    assert [action.name for action in drain.actions] == ["slow_withdrawals", "pause_home", "pause_away"]
    assert [action.level for action in drain.actions] == [Level.LIMIT, Level.PAUSE, Level.PAUSE]
    assert [action.action.chain_id for action in drain.actions] == [1, 1, 8453]
    assert isinstance(owner, ExpressionRule)
    assert (owner.name, owner.actions) == ("owner-changed", ())
    assert price.cooldown_blocks == 50


def test_a_call_is_encoded_as_the_abi_says() -> None:
    cash = next(each for each in read_policy(EXAMPLE).signals if each.name == "cash")

    assert cash.to == TOKEN
    assert cash.calldata == keccak256(b"balanceOf(address)")[:4] + encode(["address"], [POOL])


def test_the_hash_is_pinned() -> None:
    # Every owner has approved a hash: a change of the canonical form is a change of POLICY_FORMAT.
    assert read_policy(EXAMPLE).hash.hex() == EXAMPLE_HASH


def test_the_hash_is_keccak_of_the_canonical_bytes() -> None:
    policy = read_policy(EXAMPLE)

    assert policy.hash == keccak256(policy.canonical_bytes())


def test_order_comments_and_spacing_do_not_change_the_hash() -> None:
    rewritten = yaml.safe_dump(yaml.load(EXAMPLE.read_text(), yaml.BaseLoader), sort_keys=True, width=40)
    respaced = EXAMPLE.read_text().replace("owner != prev(owner, 1)", "(owner)!=prev( owner,0x1 )")

    assert parse_policy(rewritten.encode()).hash.hex() == EXAMPLE_HASH
    assert parse_policy(respaced.encode()).hash.hex() == EXAMPLE_HASH


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: test", "name: other"),
        ("version: 1", "version: 2"),
        ("ttl_seconds: 900", "ttl_seconds: 901"),
        ("away: {chain_id: 10", "away: {chain_id: 11"),
        ("token.balanceOf", "pool.balanceOf"),
        ("args: [pool]", "args: [token]"),
        ("total()(uint256)", "total()(uint256,uint256)"),
        ('call: "pool.total()(uint256)"', 'call: "pool.sum()(uint256)"'),
        ("action: limit, level", "action: cap, level"),
        ("level: limit", "level: freeze"),
        ('params: "0x0102"', 'params: "0x0103"'),
        ("  watch:", "  watches:"),
        ("x > 100", "x >= 100"),
        ("cooldown_blocks: 0", "cooldown_blocks: 1"),
        ("[stop-away, brake, stop]", "[brake, stop-away, stop]"),
        ("[stop-away, brake, stop]", "[stop-away, brake]"),
    ],
)
def test_what_changes_a_verdict_or_an_action_changes_the_hash(old: str, new: str) -> None:
    changed = parse_policy(change(old, new))

    assert changed.hash != parse_policy(make_policy_text().encode()).hash


@pytest.mark.parametrize(
    ("old", "new", "advice"),
    [
        ("tocsin: 1", "tocsin: 2", "from 1 to 1"),
        ("tocsin: 1\n", "", "`tocsin` is missing"),
        ("version: 1", "version: 01", "whole number"),
        ("version: 1", "version: 1.0", "whole number"),
        ("version: 1", "version: 1e3", "whole number"),
        ("version: 1", "version: -1", "whole number"),
        ("version: 1", "version: 0x1", "whole number"),
        ("version: 1", "version: ", "came nothing"),
        ("version: 1", "version: [1]", "came a list"),
        ("version: 1", f"version: {'9' * 5_000}", "whole number"),
        ("version: 1", "version: 1\nversions: 2", "unknown key"),
        ("version: 1", "version: 1\nversion: 2", "written twice"),
        ("version: 1", "version: &a 1", "anchors"),
        ("version: 1", "version: !!int 1", "tags"),
        ("version: 1", "version: !!python/object/apply:os.system [ls]", "tags"),
        ("version: 1", "version: 1\n--- \nversion: 1", "second document"),
        ("version: 1", "version: {1", "not YAML"),
        ("version: 1", "version: \x07", "not YAML"),
        ("version: 1", "? [a]\n: 1\nversion: 1", "plain name"),
        ("version: 1", f"version: {'[' * 50}{']' * 50}", "nested"),
        ("name: test", "name: Test", "a-z"),
        ("name: test", f"name: {'t' * 49}", "a-z"),
        ("ttl_seconds: 900", "ttl_seconds: 86_401", "86400"),
        ("ttl_seconds: 900", "ttl_seconds: 0", "from 1"),
        ("source_chain_id: 31337", "source_chain_id: 0", "from 1"),
        ("away: {chain_id: 10", "away: {chain_id: 18446744073709551616", "whole number"),
        (
            f'token: {{chain_id: 31337, address: "{TOKEN}',
            f'token: {{chain_id: 31337, address: "{TOKEN.lower()}',
            "EIP-55",
        ),
        (
            f'token: {{chain_id: 31337, address: "{TOKEN}"}}',
            "token: {chain_id: 31337}",
            "`address` is missing",
        ),
        (f'"{TOKEN}"', '"0x12"', "42 characters"),
        ("  token: {", "  Token: {", "a-z"),
        ("  y: {", "  min: {", "word of the expression language"),
        ("  y: {", "  and: {", "word of the expression language"),
        ("  y: {", "  y-z: {", "a-z"),
        ("pool.total()(uint256)", "pool.total()", "contract.function(types)"),
        ("pool.total()(uint256)", "other.total()(uint256)", "no contract is called"),
        ("pool.total()(uint256)", "away.total()(uint256)", "on chain 10"),
        ("pool.total()(uint256)", "pool.total()()", "returns nothing"),
        ("pool.total()(uint256)", "pool.total()(uint)", "uint256"),
        ("pool.total()(uint256)", "pool.total()(uint12)", "one word"),
        ("pool.total()(uint256)", "pool.total()(bytes33)", "one word"),
        ("pool.total()(uint256)", "pool.total()(string)", "one word"),
        ("pool.total()(uint256)", f"pool.total()({','.join(['bool'] * 33)})", "at most 32"),
        ("pool.total()(uint256)", "pool.total(uint8)(uint256)", "takes 1 arguments"),
        ('total()(uint256)"}', 'total()(uint256)", args: [1]}', "takes 0 arguments"),
        ('total()(uint256)"}', 'total(uint8)(uint256)", args: [256]}', "do not fit"),
        ('total()(uint256)"}', 'total(uint8)(uint256)", args: [0x1]}', "whole number"),
        ('total()(uint256)"}', 'total(bool)(uint256)", args: [yes]}', "true or false"),
        ('total()(uint256)"}', 'total(bytes2)(uint256)", args: ["0x01"]}', "4 hex digits"),
        ('total()(uint256)"}', 'total(address)(uint256)", args: [nobody]}', "neither an address"),
        ('total()(uint256)"}', f'total(address)(uint256)", args: ["{TOKEN.lower()}"]}}', "EIP-55"),
        ('total()(uint256)"}', 'total()(uint256)", returns: 1}', "from 0 to 0"),
        ("guardian: away", "guardian: nobody", "declare the guardian"),
        ("action: limit, level", "action: 'li mit', level", "no blanks"),
        ("level: limit", "level: halt", "alert, limit, freeze, pause"),
        ('params: "0x0102"', 'params: "0x010"', "hex digits"),
        ('params: "0x0102"', f'params: "0x{"00" * 1025}"', "1024 bytes"),
        ("action: limit, level: limit", "action: pause, level: limit", "the same action as"),
        ("kind: expression", "kind: detector", "expression, drain, pending or pending_detection"),
        ("    kind: expression\n", "", "`kind` is missing"),
        ("kind: expression", "kind: drain", "unknown key"),
        ("cooldown_blocks: 0", "cooldown_blocks: 1_025", "1024"),
        ("cooldown_blocks: 0", "window_blocks: 1", "unknown key"),
        ("[stop-away, brake, stop]", "[stop, nothing]", "no action is called"),
        ("[stop-away, brake, stop]", "[stop, stop]", "named twice"),
        ("[stop-away, brake, stop]", "stop", "came a single value"),
        ("x > 100", "w > 100", "no signal is called 'w'"),
        ("x > 100", "x / 2 > 100", "`//`"),
    ],
)
def test_what_breaks_the_format_is_refused_with_its_line(old: str, new: str, advice: str) -> None:
    text = make_policy_text()
    content = text.replace(old, new, 1).encode()
    assert content != text.encode()

    with pytest.raises(Refused) as refusal:
        parse_policy(content)

    assert refusal.value.reason in (Reason.POLICY_INVALID, Reason.EXPRESSION_INVALID)
    assert advice in refusal.value.message


def test_a_refusal_names_line_and_path() -> None:
    with pytest.raises(Refused, match=r"line 23: rules\.watch\.when: column 5: ") as refusal:
        parse_policy(change("x > 100", "1 + w > 100"))

    assert refusal.value.reason is Reason.EXPRESSION_INVALID


@pytest.mark.parametrize(
    ("signal", "window", "threshold", "advice"),
    [
        ("w", "5", "6000", "no signal is called"),
        ("x", "0", "6000", "from 1 to 300"),
        ("x", "301", "6000", "from 1 to 300"),
        ("x", "5", "0", "from 1 to 10000"),
        ("x", "5", "10_001", "from 1 to 10000"),
    ],
)
def test_a_drain_rule_outside_its_bounds_is_refused(
    signal: str, window: str, threshold: str, advice: str
) -> None:
    rule = (
        f"    kind: drain\n    signal: {signal}\n    window_blocks: {window}\n"
        f"    threshold_bps: {threshold}\n    cooldown_blocks: 0\n    actions: []\n"
    )

    with pytest.raises(Refused, match=advice):
        parse_policy(make_policy_text(rule).encode())


def test_a_policy_without_rules_is_refused() -> None:
    text = make_policy_text().split("rules:")[0] + "rules: {}\n"

    with pytest.raises(Refused, match="at least one"):
        parse_policy(text.encode())


def test_more_actions_than_an_alert_carries_are_refused() -> None:
    names = [f"a{number}" for number in range(17)]
    declared = "".join(f"  {name}: {{guardian: home, action: {name}, level: limit}}\n" for name in names)
    text = make_policy_text().replace("actions:\n  brake", f"actions:\n{declared}  brake")

    with pytest.raises(Refused, match="at most 16 actions"):
        parse_policy(text.replace("[stop-away, brake, stop]", f"[{', '.join(names)}]").encode())


def test_more_params_than_an_alert_carries_are_refused() -> None:
    names = [f"a{number}" for number in range(15)]
    params = "0x" + "00" * 1_000
    declared = "".join(
        f'  {name}: {{guardian: home, action: {name}, level: limit, params: "{params}"}}\n' for name in names
    )
    text = make_policy_text().replace("actions:\n  brake", f"actions:\n{declared}  brake")

    with pytest.raises(Refused, match="bytes of params"):
        parse_policy(text.replace("[stop-away, brake, stop]", f"[{', '.join(names)}]").encode())


def test_an_oversized_file_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_bytes(b"#" * (MAX_DOCUMENT_BYTES + 1))

    with pytest.raises(Refused, match="at most 262144 are read") as refusal:
        read_policy(path)

    assert str(path) in refusal.value.message


def test_a_billion_laughs_are_refused_at_the_first_anchor() -> None:
    bomb = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
        f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n"
        for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    )

    with pytest.raises(Refused, match="line 1: anchors"):
        parse_policy(bomb.encode())


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"[" * 100_000, b"{" * 100_000, b"- " * 5_000, b"a: 1\n" * 30_000]
)
def test_hostile_documents_are_refused(content: bytes) -> None:
    with pytest.raises(Refused) as refusal:
        parse_policy(content)

    assert refusal.value.reason is Reason.POLICY_INVALID


def test_more_values_than_a_policy_needs_are_refused_before_a_tree_is_built() -> None:
    with pytest.raises(Refused, match="more than 20000 values"):
        parse_policy(b"name: [" + b"a," * 30_000 + b"]")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="cannot be read"):
        read_policy(tmp_path / "none.yaml")


@settings(deadline=None)
@given(
    st.binary(max_size=300) | st.text(alphabet="a: \n-[]{}&*!|>'\"#%@`?,1\t", max_size=200).map(str.encode)
)
def test_no_content_raises_anything_but_a_refusal(content: bytes) -> None:
    with pytest.raises(Refused):
        parse_policy(content)


@settings(deadline=None)
@given(st.integers(0, len(make_policy_text()) - 1), st.characters(codec="utf-8"))
def test_no_single_change_raises_anything_but_a_refusal(position: int, character: str) -> None:
    text = make_policy_text()

    try:
        policy = parse_policy((text[:position] + character + text[position + 1 :]).encode())
    except Refused:
        return

    assert len(policy.hash) == 32
