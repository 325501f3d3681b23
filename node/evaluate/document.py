"""Strict YAML: maps, lists and plain text, each with its place in the file; everything else is refused.

YAML can do far more than a policy needs, and all of it has hurt somebody: anchors that unfold into gigabytes,
tags that build objects, keys that silently win over an earlier twin, `no` that turns into a boolean. Here
every scalar stays the text that was written; the caller decides what it means and says so in its errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import yaml

from consensus.errors import Reason, Refused

MAX_DOCUMENT_BYTES: Final = 256 * 1024
MAX_DOCUMENT_NODES: Final = 20_000
MAX_DOCUMENT_DEPTH: Final = 12

_INTEGER: Final = re.compile(r"(0|[1-9][0-9]*(_[0-9]+)*)", re.ASCII)
Parsed = TypeVar("Parsed")

# int() takes time square in the digits; 2**512 has 155 of them.
_MAX_INTEGER_CHARACTERS: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Something in the file: where it stands, and what it is called on the way from the root."""

    path: str
    line: int

    def refusal(self, message: str) -> Refused:
        """The error that says what is wrong here."""
        return Refused(Reason.POLICY_INVALID, f"line {self.line}: {self.path or 'the document'}: {message}")

    def text(self) -> str:
        """This node as non-empty text."""
        if not isinstance(self, TextNode):
            raise self.refusal(f"expected one value, came {self.kind()}")
        if not self.value:
            raise self.refusal("expected a value, came nothing; write it after the colon")
        return self.value

    def integer(self, *, least: int, most: int) -> int:
        """This node as a decimal integer within both bounds."""
        written = self.text()
        if len(written) > _MAX_INTEGER_CHARACTERS or not _INTEGER.fullmatch(written):
            raise self.refusal(f"expected a whole number from {least} to {most}, came {_shown(written)}")
        value = int(written)
        if not least <= value <= most:
            raise self.refusal(f"expected a whole number from {least} to {most}, came {value}")
        return value

    def items(self) -> tuple[Node, ...]:
        """This node as a list."""
        if not isinstance(self, ListNode):
            raise self.refusal(f"expected a list, came {self.kind()}; write `[one, two]`, or `[]` for none")
        return self.values

    def entries(self) -> dict[str, Node]:
        """This node as a map of names that the author chose."""
        if not isinstance(self, MapNode):
            raise self.refusal(f"expected a map of `name: value`, came {self.kind()}")
        return dict(self.values)

    def fields(self, *, required: Collection[str], optional: Collection[str] = ()) -> dict[str, Node]:
        """This node as a map with exactly these keys."""
        entries = self.entries()
        for key, node in entries.items():
            if key not in required and key not in optional:
                raise node.refusal(f"unknown key; the keys here are {', '.join((*required, *optional))}")
        for key in required:
            if key not in entries:
                raise self.refusal(f"the key `{key}` is missing; write `{key}: …`")
        return entries

    def kind(self) -> str:
        return {MapNode: "a map", ListNode: "a list", TextNode: "a single value"}.get(type(self), "nothing")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextNode(Node):
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListNode(Node):
    values: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MapNode(Node):
    values: dict[str, Node]


def parse_file(path: Path, parse: Callable[[bytes], Parsed]) -> Parsed:
    """What `parse` makes of a file, of which no more is read than a document may have.

    Raises `Refused`; the message starts with the file's path.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_DOCUMENT_BYTES + 1)
    except OSError as error:
        raise Refused(Reason.POLICY_INVALID, f"{path}: cannot be read: {error.strerror}") from None
    try:
        return parse(content)
    except Refused as error:
        raise Refused(error.reason, f"{path}: {error.message}") from None


def read_document(content: bytes) -> Node:
    """The tree of one YAML document. Raises `Refused` (POLICY_INVALID) for more than maps, lists and text."""
    if len(content) > MAX_DOCUMENT_BYTES:
        raise Refused(
            Reason.POLICY_INVALID,
            f"the file has {len(content)} bytes, at most {MAX_DOCUMENT_BYTES} are read; split the policy",
        )
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused(
            Reason.POLICY_INVALID, f"byte {error.start} is not UTF-8; save the file as UTF-8"
        ) from None
    try:
        _require_plain(text)
        root = yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise Refused(Reason.POLICY_INVALID, f"line {line}: this is not YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise Refused(Reason.POLICY_INVALID, f"this is not YAML: {error}") from None
    if root is None:
        raise Refused(Reason.POLICY_INVALID, "the file is empty; start from deploy/policies/example.yaml")
    return _convert(root, path="")


def _require_plain(text: str) -> None:
    """Refuse, event by event and so in bounded memory, what must not even be composed into a tree."""
    nodes = depth = documents = 0
    for event in yaml.parse(text, Loader=yaml.BaseLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise _refusal(
                    line, "a second document starts here; write one policy per file, without `---`"
                )
        if not isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent):
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
            continue
        nodes += 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _refusal(line, "anchors and aliases (&, *) are not read; write the value out")
        tag = getattr(event, "tag", None)
        if tag:
            raise _refusal(line, f"tags are not read; write the value without {tag}")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        if nodes > MAX_DOCUMENT_NODES:
            raise _refusal(line, f"more than {MAX_DOCUMENT_NODES} values; split the policy")
        if depth > MAX_DOCUMENT_DEPTH:
            raise _refusal(line, f"nested deeper than {MAX_DOCUMENT_DEPTH} levels; a policy needs five")


def _convert(node: yaml.Node, *, path: str) -> Node:
    line = node.start_mark.line + 1
    if isinstance(node, yaml.ScalarNode):
        return TextNode(path=path, line=line, value=str(node.value).strip())
    if isinstance(node, yaml.SequenceNode):
        values = tuple(_convert(each, path=f"{path}[{position}]") for position, each in enumerate(node.value))
        return ListNode(path=path, line=line, values=values)
    entries: dict[str, Node] = {}
    for key_node, value_node in node.value:
        key_line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode) or not key_node.value:
            raise _refusal(key_line, "a key must be a plain name; write `name: value`")
        key = str(key_node.value)
        key_path = f"{path}.{_shortened(key)}" if path else _shortened(key)
        if key in entries:
            raise _refusal(
                key_line, f"{key_path}: written twice, first on line {entries[key].line}; keep one"
            )
        entries[key] = _convert(value_node, path=key_path)
    return MapNode(path=path, line=line, values=entries)


def _refusal(line: int, message: str) -> Refused:
    return Refused(Reason.POLICY_INVALID, f"line {line}: {message}")


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}…"


def _shown(text: str) -> str:
    return repr(_shortened(text))
