"""`tocsin policy check` and `tocsin policy schema`: what is wrong with a policy, and how to write one."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import click

from consensus.errors import Reason, Refused
from node.commands.edge import EXIT_REFUSED, JSON_OPTION
from node.detect.bridge_policy import BridgePolicy, parse_bridge_document
from node.detect.bridge_vocabulary import bridge_schema
from node.detect.policy import DetectionPolicy, parse_detection_document
from node.detect.series.policy import SeriesPolicy, parse_series_document
from node.detect.series.vocabulary import series_schema
from node.detect.vocabulary import detection_schema
from node.evaluate.document import MAX_DOCUMENT_BYTES, Node
from node.evaluate.includes import parse_file
from node.evaluate.policy import Policy
from node.evaluate.problems import DocumentRefused, Place, Problem
from node.evaluate.vocabulary import policy_schema
from node.policies import parse_rule_document

_LINE_END: Final = re.compile(r"\r\n|[\r\n\x85\u2028\u2029]")
_WIDEST: Final = 160


AnyPolicy: TypeAlias = "Policy | DetectionPolicy | BridgePolicy | SeriesPolicy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of policy: the key at its head, how it is read, and its schema where it has one."""

    key: str
    parse: Callable[[Node, Path], AnyPolicy]
    """Of the document, and the file that it was read from."""
    schema: Callable[[], dict[str, Any]] | None = None


KINDS: Final = {
    "rule": Kind(key="tocsin", parse=parse_rule_document, schema=policy_schema),
    "detection": Kind(
        key="tocsin_detection", parse=lambda root, _: parse_detection_document(root), schema=detection_schema
    ),
    "series": Kind(
        key="tocsin_series", parse=lambda root, _: parse_series_document(root), schema=series_schema
    ),
    "bridge": Kind(
        key="tocsin_bridge", parse=lambda root, _: parse_bridge_document(root), schema=bridge_schema
    ),
}


@click.command("check")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@JSON_OPTION
def check(file: Path, as_json: bool) -> None:
    """Say everything that is wrong with a policy file, where, and what to write instead.

    \b
    Exit codes:
      0  the policy is well-formed; its kind and hash are printed
      2  it is not
    """
    kinds: list[str] = []

    def parse(root: Node) -> AnyPolicy:
        kinds.append(find_kind(root))
        return KINDS[kinds[0]].parse(root, file)

    try:
        policy = parse_file(file, parse)
    except DocumentRefused as refused:
        problems = sorted(
            refused.problems, key=lambda each: (each.place.file, each.place.line, each.place.column)
        )
        _tell_problems(file, kinds, problems, as_json=as_json)
        sys.exit(EXIT_REFUSED)
    except Refused as refused:
        _tell_unreadable(refused, as_json=as_json)
        sys.exit(EXIT_REFUSED)
    hashed = f"0x{policy.hash.hex()}"
    told: dict[str, Any] = {"valid": True, "kind": kinds[0], "policy": policy.name, "hash": hashed}
    if isinstance(policy, Policy):
        told |= {"signals": len(policy.signals), "rules": len(policy.rules) + len(policy.pending_rules)}
        contents = f"{_number(len(policy.signals), 'signal')} and {_number(told['rules'], 'rule')}"
    elif isinstance(policy, SeriesPolicy):
        told |= {"rules": len(policy.rules), "rules_hash": f"0x{policy.rules_hash.hex()}"}
        contents = _number(len(policy.rules), "rule")
    elif isinstance(policy, BridgePolicy):
        contents = _number(len(policy.tokens), "token")
    else:
        told |= {"detectors": len(policy.detectors)}
        contents = _number(len(policy.detectors), "detector")
    click.echo(
        json.dumps(told)
        if as_json
        else f"{policy.name}: a {kinds[0]} policy with {contents}; nothing is wrong\nhash {hashed}"
    )


@click.command("schema")
@click.option(
    "--kind",
    type=click.Choice(sorted(name for name, kind in KINDS.items() if kind.schema)),
    default="rule",
    show_default=True,
)
def schema(kind: str) -> None:
    """Print the JSON Schema of a kind of policy, for editors and other programs.

    What the schema refuses, `tocsin policy check` refuses; the check knows more.
    """
    click.echo(render_schema(kind), nl=False)


def render_schema(kind: str) -> str:
    """The schema as it stands in the package."""
    made = KINDS[kind].schema
    assert made is not None
    return json.dumps(made(), indent=1, ensure_ascii=False) + "\n"


def find_kind(root: Node) -> str:
    """Which kind a document is, by the key at its head. Raises `DocumentRefused` for none or both."""
    present = [name for name, kind in KINDS.items() if kind.key in root.entries()]
    if len(present) != 1:
        raise root.refusal(
            "expected `tocsin: 1` at the head of a rule policy, `tocsin_detection: 1`, `tocsin_series: 1` or "
            f"`tocsin_bridge: 1` at that of its kind; came {' and '.join(present) or 'none of them'}"
        )
    return present[0]


def _tell_problems(file: Path, kinds: list[str], problems: list[Problem], *, as_json: bool) -> None:
    files = {name: file.parent / name if name else file for name in {each.place.file for each in problems}}
    lines = {name: _lines(path) for name, path in files.items()}
    shown = [_line_of(each.place, lines[each.place.file]) for each in problems]
    if as_json:
        told = {
            "valid": False,
            "kind": kinds[0] if kinds else None,
            "problems": [
                {
                    "file": str(files[each.place.file]),
                    "line": each.place.line,
                    "column": each.place.column,
                    "path": each.path,
                    "reason": each.reason,
                    "message": _message(each),
                    "text": text,
                }
                for each, text in zip(problems, shown, strict=True)
            ],
        }
        click.echo(json.dumps(told))
        return
    for each, text in zip(problems, shown, strict=True):
        place = f"{files[each.place.file]}:{each.place.line}:{each.place.column}"
        named = f"{each.path}: " if each.path else ""
        click.secho(f"{place}: {named}{_message(each)}", fg="red")
        click.echo(_with_caret(text, each.place))
    click.echo(_number(len(problems), "problem"))


def _tell_unreadable(refused: Refused, *, as_json: bool) -> None:
    if as_json:
        problem = {"reason": refused.reason, "message": refused.message}
        click.echo(json.dumps({"valid": False, "kind": None, "problems": [problem]}))
    else:
        click.secho(refused.message, fg="red")


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _message(problem: Problem) -> str:
    """Without the column within the expression: the place in the file says it already."""
    if problem.reason is Reason.EXPRESSION_INVALID:
        return problem.message.partition(": ")[2]
    return problem.message


def _lines(path: Path) -> list[str]:
    with path.open("rb") as file:
        return _LINE_END.split(file.read(MAX_DOCUMENT_BYTES).decode("utf-8", errors="replace"))


def _line_of(place: Place, lines: list[str]) -> str:
    return lines[place.line - 1] if place.line <= len(lines) else ""


def _with_caret(text: str, place: Place) -> str:
    """The line as it stands in the file, and a caret under the column; of a long one the part around it."""
    start = max(0, place.column - 1 - _WIDEST // 2) if len(text) > _WIDEST else 0
    part = "".join(each if each.isprintable() else " " for each in text[start : start + _WIDEST])
    return f"  {place.line:>4} | {part}\n       | {' ' * (place.column - 1 - start)}^"
