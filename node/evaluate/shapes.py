"""What a policy may hold, written down once: the parser reads by it, and the JSON Schema is made from it.

A schema made here refuses nothing that the parser takes. It cannot say everything that the parser asks for,
such as that a name is declared: `tocsin policy check` has the last word.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

from node.evaluate.document import INTEGER, Node
from node.evaluate.problems import Problems

Json: TypeAlias = "bool | int | str | list[Json] | dict[str, Json] | None"

SCHEMA_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_GROUP_NAME: Final = re.compile(r"\?P<[a-z]+>")
_SCALARS: Final[list[Json]] = ["string", "number", "boolean", "null"]
"""How an editor may read what is plain text to us: `null` and `1e3` are texts here."""


class Shape(Protocol):
    """What one value must look like."""

    def read(self, node: Node) -> object:
        """The value in `node`. Raises `DocumentRefused`."""
        ...

    def schema(self) -> dict[str, Json]:
        """The same as JSON Schema."""
        ...


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number; both bounds are allowed."""

    least: int
    most: int

    def read(self, node: Node) -> int:
        return node.integer(least=self.least, most=self.most)

    def schema(self) -> dict[str, Json]:
        number: dict[str, Json] = {"type": "integer", "minimum": self.least, "maximum": self.most}
        return {"anyOf": [number, {"type": "string", "pattern": _pattern(INTEGER)}]}


@dataclass(frozen=True, slots=True)
class Text:
    """One value of any text, or of a text that fits `pattern`; `expected` says which in words."""

    pattern: re.Pattern[str] | None = None
    expected: str = ""

    def read(self, node: Node) -> str:
        text = node.text()
        if self.pattern is not None and not self.pattern.fullmatch(text):
            raise node.refusal(self.expected)
        return text

    def schema(self) -> dict[str, Json]:
        pattern: dict[str, Json] = {} if self.pattern is None else {"pattern": _pattern(self.pattern)}
        return {"type": _SCALARS, **pattern}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several words."""

    options: tuple[str, ...]

    def read(self, node: Node) -> str:
        text = node.text()
        if text not in self.options:
            raise node.refusal(f"expected one of {', '.join(self.options)}, came {text[:40]!r}")
        return text

    def schema(self) -> dict[str, Json]:
        # an editor completes from the list; the pattern lets blanks within quotes pass, as the parser does
        return {"anyOf": [{"enum": list(self.options)}, {"type": "string", "pattern": _words(self.options)}]}


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    of: Shape
    most: int

    def read(self, node: Node) -> tuple[object, ...]:
        items = node.items()
        if len(items) > self.most:
            raise node.refusal(f"at most {self.most} entries are read, {len(items)} came")
        return tuple(self.of.read(item) for item in items)

    def schema(self) -> dict[str, Json]:
        return {"type": "array", "items": self.of.schema(), "maxItems": self.most}


@dataclass(frozen=True, slots=True)
class Named:
    """A map from names that the author chose to values of one of the shapes `of`."""

    of: tuple[Shape, ...]
    most: int
    pattern: re.Pattern[str]
    least: int = 0
    empty: str = ""
    """What to say of fewer than `least` entries."""

    def read(self, node: Node) -> dict[str, Node]:
        entries = node.entries()
        if len(entries) > self.most:
            raise node.refusal(f"at most {self.most} entries are read, {len(entries)} came; split the policy")
        if len(entries) < self.least:
            raise node.refusal(self.empty)
        return entries

    def named(self, node: Node, problems: Problems) -> list[tuple[str, Node]]:
        """The entries with a well-formed name; the others are reported."""
        entries: dict[str, Node] = {}
        with problems.caught():
            entries = self.read(node)
        for name, entry in entries.items():
            if not self.pattern.fullmatch(name):
                problems.add(
                    entry.key_refusal(
                        "a name starts with a-z and has at most 48 characters out of a-z, 0-9, _ (and - for "
                        "rules and actions)"
                    )
                )
        return [(name, entry) for name, entry in entries.items() if self.pattern.fullmatch(name)]

    def schema(self) -> dict[str, Json]:
        forms: list[Json] = [each.schema() for each in self.of]
        value: Json = forms[0] if len(forms) == 1 else {"oneOf": forms}
        return {
            "type": "object",
            "patternProperties": {f"^(?:{self.pattern.pattern})$": value},
            "additionalProperties": False,
            "minProperties": self.least,
            "maxProperties": self.most,
        }


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a map: what stands behind it, and what it means, in words that an editor shows."""

    shape: Shape
    says: str
    required: bool = True


@dataclass(frozen=True, slots=True)
class Entry:
    """A map that was read by a `Table`: the values of the keys that are well-formed."""

    node: Node
    values: Mapping[str, object]
    nodes: Mapping[str, Node]
    is_whole: bool
    """No key is missing, unknown or malformed."""

    def __contains__(self, key: str) -> bool:
        return key in self.nodes

    def text(self, key: str) -> str:
        value = self.values[key]
        assert isinstance(value, str)
        return value

    def whole(self, key: str) -> int:
        value = self.values[key]
        assert isinstance(value, int)
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.values.get(key, ())
        assert isinstance(value, tuple)
        return value


@dataclass(frozen=True, slots=True)
class Table:
    """A map with keys that are known beforehand."""

    keys: Mapping[str, Key] = field(default_factory=dict)
    says: str = ""

    def read(self, node: Node) -> Node:
        return node

    def entry(self, node: Node, problems: Problems) -> Entry:
        """Every value by its shape; all that is wrong in this map is reported."""
        nodes: dict[str, Node] = {}
        values: dict[str, object] = {}
        with problems.caught():
            nodes = node.entries()
        for key, value in nodes.items():
            if key not in self.keys:
                problems.add(value.unknown_key(key, self.keys))
                continue
            with problems.caught():
                values[key] = self.keys[key].shape.read(value)
        missing = [key for key, each in self.keys.items() if each.required and key not in nodes]
        if nodes or not values:
            for key in missing:
                problems.add(node.missing_key(key))
        return Entry(node, values, nodes, is_whole=not missing and len(values) == len(nodes))

    def schema(self) -> dict[str, Json]:
        properties: dict[str, Json] = {
            key: {"description": each.says, **each.shape.schema()} for key, each in self.keys.items()
        }
        required: list[Json] = [key for key, each in self.keys.items() if each.required]
        described: dict[str, Json] = {"description": self.says} if self.says else {}
        return {
            **described,
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        }


def document_schema(table: Table, *, title: str) -> dict[str, Json]:
    """The schema of a whole file. With `include`, required keys may stand in another file."""
    schema = table.schema()
    required = schema.pop("required")
    return {
        "$schema": SCHEMA_DIALECT,
        "title": title,
        **schema,
        "anyOf": [{"required": ["include"]}, {"required": required}],
    }


def _pattern(pattern: re.Pattern[str]) -> str:
    """In the dialect of ECMAScript, with the blanks around it that the parser takes away."""
    plain = _GROUP_NAME.sub("", pattern.pattern)
    return rf"^\s*(?:{plain})\s*$"


def _words(options: tuple[str, ...]) -> str:
    return rf"^\s*(?:{'|'.join(map(re.escape, options))})\s*$"
