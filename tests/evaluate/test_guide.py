"""docs/policies.md: what the page shows is what the commands print."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from node.cli import cli
from node.evaluate.expressions import FUNCTIONS, MAX_BLOCKS_AGO, MAX_EXPRESSION_COST
from node.evaluate.vocabulary import MAX_RULES, POLICY, SIGNAL_KINDS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "policies.md").read_text()
POLICY_TEXT, *_ = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
SHOWN = [shown.split("\n", 1) for shown in re.findall(r"```console\n\$ (.*?)```", PAGE, re.DOTALL)]


def outputs_of(command: str) -> list[str]:
    return [output for shown, output in SHOWN if shown == command]


def say(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, command: str) -> str:
    monkeypatch.chdir(folder)
    Path("my-policy.yaml").write_text(text)
    return CliRunner().invoke(cli, command.split()[1:]).output


def test_the_check_and_the_hash_print_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = POLICY_TEXT.replace("balance: treasury", "balance: tresury")
    broken = broken.replace("when: prev(coin,", "when: prev(coins,").replace("blocks: 50", "blocks: 5_000")
    check, digest = "tocsin policy check my-policy.yaml", "tocsin policy hash my-policy.yaml"

    wrong, right = outputs_of(check)

    assert say(tmp_path, monkeypatch, broken, check) == wrong
    assert say(tmp_path, monkeypatch, POLICY_TEXT, check) == right
    assert [say(tmp_path, monkeypatch, POLICY_TEXT, digest)] == outputs_of(digest)


def test_the_tables_name_every_key_kind_function_and_bound() -> None:
    for key in (*POLICY.keys, *SIGNAL_KINDS):
        assert re.search(rf"^\| .*`{key}`", PAGE, re.MULTILINE), f"{key} has no row"
    for function in FUNCTIONS:
        assert f"`{function}(" in PAGE
    for bound in (MAX_BLOCKS_AGO, f"{MAX_EXPRESSION_COST:,}", f"{MAX_RULES:,}"):
        assert str(bound) in PAGE
