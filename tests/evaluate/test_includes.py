"""Policies in several files: the same policy, nothing won silently, nothing read outside of the folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from consensus.errors import Refused
from node.evaluate.document import MAX_DOCUMENT_BYTES
from node.evaluate.includes import MAX_FILES, MAX_INCLUDE_DEPTH
from node.evaluate.policy import parse_policy
from node.evaluate.problems import DocumentRefused
from node.policies import read_policy
from tests.evaluate.policies import make_policy_text

WHOLE = make_policy_text()


def cut(folder: Path, *, include: str = "[parts/signals.yaml, rules.yaml]") -> Path:
    """The default policy in three files."""
    head, rest = WHOLE.split("signals:\n")
    signals, rest = rest.split("actions:\n")
    actions, rules = rest.split("rules:\n")
    (folder / "parts").mkdir()
    (folder / "parts" / "signals.yaml").write_text(f"signals:\n{signals}")
    (folder / "rules.yaml").write_text(f"rules:\n{rules}")
    path = folder / "policy.yaml"
    path.write_text(f"{head}include: {include}\nactions:\n{actions}")
    return path


def refusal_of(path: Path) -> str:
    with pytest.raises(Refused) as refusal:
        read_policy(path)
    return refusal.value.message


def test_a_policy_in_several_files_is_the_policy_in_one(tmp_path: Path) -> None:
    assert read_policy(cut(tmp_path)) == parse_policy(WHOLE.encode())
    assert read_policy(tmp_path / "policy.yaml").hash == parse_policy(WHOLE.encode()).hash


def test_maps_are_merged_and_files_include_files(tmp_path: Path) -> None:
    path = cut(tmp_path)
    more = "signals:\n  z: {balance: pool}\n"
    (tmp_path / "parts" / "more.yaml").write_text(more)
    signals = tmp_path / "parts" / "signals.yaml"
    signals.write_text("include: [more.yaml]\n" + signals.read_text())

    assert read_policy(path).hash == parse_policy(WHOLE.replace("signals:\n", more).encode()).hash


def test_a_name_in_two_files_is_refused_with_both_places(tmp_path: Path) -> None:
    path = cut(tmp_path)
    rules = tmp_path / "rules.yaml"
    rules.write_text(rules.read_text() + "\nsignals:\n  x: {balance: pool}\n")

    message = refusal_of(path)

    assert "rules.yaml" in message
    assert "signals.x: written twice, first in parts/signals.yaml, line 2" in message


def test_a_value_in_two_files_is_refused(tmp_path: Path) -> None:
    path = cut(tmp_path)
    rules = tmp_path / "rules.yaml"
    rules.write_text(rules.read_text() + "\nversion: 1\n")

    assert "version: written twice, first in line 4 of the first file" in refusal_of(path)


def test_a_mistake_in_an_included_file_is_placed_there(tmp_path: Path) -> None:
    path = cut(tmp_path)
    rules = tmp_path / "rules.yaml"
    rules.write_text(rules.read_text().replace("x > 100", "w > 100"))

    with pytest.raises(DocumentRefused) as refusal:
        read_policy(path)

    assert (refusal.value.problems[0].place.file, refusal.value.problems[0].place.line) == ("rules.yaml", 5)
    assert str(rules) in refusal.value.message


@pytest.mark.parametrize(
    ("include", "advice"),
    [
        ("[../outside.yaml]", "outside the policy's folder"),
        ("[parts/../../outside.yaml]", "outside the policy's folder"),
        ("[/etc/hosts]", "relative to this file"),
        ("[link.yaml]", "outside the policy's folder"),
        ("[linked/outside.yaml]", "outside the policy's folder"),
        ("[loop.yaml]", "no"),
        ("[pipe]", "no such file"),
        ("[parts]", "no such file"),
        ("[none.yaml]", "no such file"),
        (f"[{'n' * 5_000}]", "no"),
        ('["a\\0b"]', "relative to this file"),
        ("[policy.yaml]", "includes itself"),
        ("[rules.yaml, ./rules.yaml]", "included already"),
        ("rules.yaml", "expected a list"),
        ("[[rules.yaml]]", "came a list"),
        (f"[{', '.join(['rules.yaml'] * (MAX_FILES + 1))}]", "at most 32"),
    ],
)
def test_only_files_of_the_folder_are_read_each_once(tmp_path: Path, include: str, advice: str) -> None:
    (tmp_path / "outside.yaml").write_text("signals: {}\n")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link.yaml").symlink_to(tmp_path / "outside.yaml")
    (folder / "linked").symlink_to(tmp_path)
    (folder / "loop.yaml").symlink_to(folder / "loop.yaml")
    os.mkfifo(folder / "pipe")
    path = cut(folder, include=include)

    assert advice in refusal_of(path)


def test_a_cycle_over_several_files_is_refused(tmp_path: Path) -> None:
    path = cut(tmp_path)
    (tmp_path / "rules.yaml").write_text("include: [other.yaml]\n")
    (tmp_path / "other.yaml").write_text("include: [rules.yaml]\n")

    assert "includes itself" in refusal_of(path)


def test_a_chain_of_files_has_a_bounded_length(tmp_path: Path) -> None:
    for number in range(MAX_INCLUDE_DEPTH + 1):
        (tmp_path / f"{number}.yaml").write_text(f"include: [{number + 1}.yaml]\n")

    assert "included deeper than 8" in refusal_of(tmp_path / "0.yaml")


def test_many_small_files_are_bounded_in_number(tmp_path: Path) -> None:
    for number in range(MAX_FILES + 1):
        (tmp_path / f"{number}.yaml").write_text("{}")
    (tmp_path / "a.yaml").write_text(f"include: [{', '.join(f'{n}.yaml' for n in range(20))}]\n")
    (tmp_path / "b.yaml").write_text(f"include: [{', '.join(f'{n}.yaml' for n in range(20, 33))}]\n")
    (tmp_path / "policy.yaml").write_text("include: [a.yaml, b.yaml]\n")

    assert "at most 32 files" in refusal_of(tmp_path / "policy.yaml")


def test_all_files_together_are_bounded_in_size(tmp_path: Path) -> None:
    path = cut(tmp_path)
    for file in ("rules.yaml", "parts/signals.yaml"):
        with (tmp_path / file).open("a") as opened:
            opened.write("#" * (MAX_DOCUMENT_BYTES // 2) + "\n")

    assert f"at most {MAX_DOCUMENT_BYTES} bytes" in refusal_of(path)


def test_bytes_without_a_file_include_nothing() -> None:
    with pytest.raises(Refused, match="only a file can include others"):
        parse_policy(WHOLE.replace("version: 1", "version: 1\ninclude: [other.yaml]").encode())
