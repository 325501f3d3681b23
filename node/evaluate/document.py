"""Strict YAML: maps, lists and plain text, each with its place in the file; everything else is refused.

YAML can do far more than a policy needs, and all of it has hurt somebody: anchors that unfold into gigabytes,
tags that build objects, keys that silently win over an earlier twin, `no` that turns into a boolean. Here
every scalar stays the text that was written; the caller decides what it means and says so in its errors.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Protocol

import yaml

from node.evaluate.problems import DocumentRefused, Place, Problem, did_you_mean

MAX_DOCUMENT_BYTES: Final = 256 * 1024
MAX_DOCUMENT_NODES: Final = 20_000
MAX_DOCUMENT_DEPTH: Final = 12

INTEGER: Final = re.compile(r"(0|[1-9][0-9]*(_[0-9]+)*)", re.ASCII)
_LINE_END: Final = re.compile(r"\r\n|[\r\n\x85\u2028\u2029]")  # as YAML counts lines

# int() takes time square in the digits; 2**512 has 155 of them.
_MAX_INTEGER_CHARACTERS: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Something in the file: where it stands, where its key does, and its name on the way from the root."""

    path: str
    place: Place
    key: Place

    def refusal(self, message: str) -> DocumentRefused:
        """The error that says what is wrong with this value."""
        return DocumentRefused.of(
            Problem(place=self.place, path=self.path or "the document", message=message)
        )

    def key_refusal(self, message: str) -> DocumentRefused:
        """The error that says what is wrong with this value's key."""
        return DocumentRefused.of(Problem(place=self.key, path=self.path or "the document", message=message))

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
        if len(written) > _MAX_INTEGER_CHARACTERS or not INTEGER.fullmatch(written):
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
                raise node.unknown_key(key, (*required, *optional))
        for key in required:
            if key not in entries:
                raise self.missing_key(key)
        return entries

    def unknown_key(self, key: str, known: Collection[str]) -> DocumentRefused:
        """The error for this node's key, which is none of those known."""
        return self.key_refusal(
            f"unknown key{did_you_mean(key, known)}; the keys here are {', '.join(known)}"
        )

    def missing_key(self, key: str) -> DocumentRefused:
        """The error for a key that this map should have."""
        return self.key_refusal(f"the key `{key}` is missing; write `{key}: …`")

    def kind(self) -> str:
        return {MapNode: "a map", ListNode: "a list", TextNode: "a single value"}.get(type(self), "nothing")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextNode(Node):
    value: str
    written: str
    """The value as it stands in the file, with quotes or the header of a block."""

    def place_of(self, offset: int) -> Place:
        """Where the character at `offset` of the value stands in the file.

        Folding changes blanks alone, so the characters that are none are counted. Where something else was
        changed too, as by an escape in quotes, it is the place of the whole value.
        """
        body, skipped = _body(self.written)
        wanted = sum(not each.isspace() for each in self.value[:offset])
        ends_after = offset >= len(self.value.rstrip())
        if [each for each in body if not each.isspace()] != [
            each for each in self.value if not each.isspace()
        ]:
            return self.place
        position = last = 0
        for position, character in enumerate(body):
            if character.isspace():
                continue
            if wanted == 0:
                break
            wanted -= 1
            last = position + 1
        before = self.written[: skipped + (last if ends_after else position)]
        lines = _LINE_END.split(before)
        column = len(lines[-1]) + (self.place.column if len(lines) == 1 else 1)
        return Place(file=self.place.file, line=self.place.line + len(lines) - 1, column=column)


def _body(written: str) -> tuple[str, int]:
    """A scalar without its quotes or its block's header, and how many characters that left out."""
    if written[:1] in ("'", '"'):
        return written[1:-1], 1
    if written[:1] in ("|", ">"):
        header = _LINE_END.search(written)
        return (written[header.end() :], header.end()) if header else ("", len(written))
    return written, 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ListNode(Node):
    values: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MapNode(Node):
    values: dict[str, Node]


def read_document(content: bytes, *, file: str = "") -> Node:
    """The tree of one YAML document. Raises `DocumentRefused` for more than maps, lists and text.

    `file` is how the document is called in the places that errors name.
    """
    start = Place(file=file, line=1, column=1)
    if len(content) > MAX_DOCUMENT_BYTES:
        raise _refusal(
            start,
            f"the file has {len(content)} bytes, at most {MAX_DOCUMENT_BYTES} are read; split the policy",
        )
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _refusal(start, f"byte {error.start} is not UTF-8; save the file as UTF-8") from None
    try:
        root = _compose(text, file)
    except yaml.MarkedYAMLError as error:
        place = _place(error.problem_mark, file) if error.problem_mark else start
        raise _refusal(place, f"this is not YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise _refusal(start, f"this is not YAML: {error}") from None
    if root is None:
        raise _refusal(start, "the file is empty; start from deploy/policies/example.yaml")
    return _Converter(text.removeprefix("\ufeff"), file).convert(
        root, path="", key=_place(root.start_mark, file)
    )


def _compose(text: str, file: str) -> yaml.Node | None:
    loader = _PlainLoader(text, file)
    try:
        return loader.get_single_node()
    finally:
        loader.dispose()


class _PlainLoader(yaml.BaseLoader):
    """Composes the tree, and refuses event by event what must not be in it: in bounded memory."""

    def __init__(self, text: str, file: str) -> None:
        super().__init__(text)
        self._file = file
        self._nodes = self._depth = self._documents = 0

    def get_event(self) -> yaml.Event | None:
        event: yaml.Event | None = super().get_event()  # type: ignore[no-untyped-call]
        if event is not None:
            self._require_plain(event)
        return event

    def _require_plain(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise self._refusal(
                    event, "a second document starts here; write one policy per file, without `---`"
                )
        if isinstance(event, yaml.CollectionEndEvent):
            self._depth -= 1
        if not isinstance(event, yaml.NodeEvent):
            return
        self._nodes += 1
        self._depth += isinstance(event, yaml.CollectionStartEvent)
        if isinstance(event, yaml.AliasEvent) or event.anchor:
            raise self._refusal(event, "anchors and aliases (&, *) are not read; write the value out")
        tag = getattr(event, "tag", None)
        if tag:
            raise self._refusal(event, f"tags are not read; write the value without {tag}")
        if self._nodes > MAX_DOCUMENT_NODES:
            raise self._refusal(event, f"more than {MAX_DOCUMENT_NODES} values; split the policy")
        if self._depth > MAX_DOCUMENT_DEPTH:
            raise self._refusal(event, f"nested deeper than {MAX_DOCUMENT_DEPTH} levels; a policy needs five")

    def _refusal(self, event: yaml.Event, message: str) -> DocumentRefused:
        mark = event.start_mark
        return _refusal(
            _place(mark, self._file) if mark else Place(file=self._file, line=1, column=1), message
        )


class _Converter:
    """From PyYAML's nodes to ours."""

    def __init__(self, text: str, file: str) -> None:
        self._text, self._file = text, file

    def convert(self, node: yaml.Node, *, path: str, key: Place | None) -> Node:
        place = _place(node.start_mark, self._file)
        key = key or place
        if isinstance(node, yaml.ScalarNode):
            written = self._text[node.start_mark.index : node.end_mark.index]
            return TextNode(path=path, place=place, key=key, value=str(node.value).strip(), written=written)
        if isinstance(node, yaml.SequenceNode):
            values = tuple(
                self.convert(each, path=f"{path}[{position}]", key=None)
                for position, each in enumerate(node.value)
            )
            return ListNode(path=path, place=place, key=key, values=values)
        return MapNode(path=path, place=place, key=key, values=self._entries(node, path))

    def _entries(self, node: yaml.Node, path: str) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        for key_node, value_node in node.value:
            place = _place(key_node.start_mark, self._file)
            if not isinstance(key_node, yaml.ScalarNode) or not key_node.value:
                raise _refusal(place, "a key must be a plain name; write `name: value`")
            key = str(key_node.value)
            key_path = f"{path}.{_shortened(key)}" if path else _shortened(key)
            if key in entries:
                first = entries[key].key.line
                raise _refusal(place, f"written twice, first on line {first}; keep one", path=key_path)
            entries[key] = self.convert(value_node, path=key_path, key=place)
        return entries


class _Mark(Protocol):
    """Where PyYAML stands, counted from 0."""

    line: int
    column: int


def _place(mark: _Mark, file: str) -> Place:
    return Place(file=file, line=mark.line + 1, column=mark.column + 1)


def _refusal(place: Place, message: str, *, path: str = "") -> DocumentRefused:
    return DocumentRefused.of(Problem(place=place, path=path, message=message))


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}…"


def _shown(text: str) -> str:
    return repr(_shortened(text))
