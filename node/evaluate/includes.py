"""A policy in several files: `include: [tokens.yaml, rules/drains.yaml]`, merged before anything is read.

An included file holds some of the same keys; maps are merged entry by entry, and whatever stands in two
files is refused, so that no file silently wins over another. Only files in the folder of the first one, or
below it, are read: a policy that somebody sends must not be able to ask for any other file of the machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Final, TypeVar

from consensus.errors import Reason, Refused
from node.evaluate.document import MAX_DOCUMENT_BYTES, MapNode, Node, read_document
from node.evaluate.problems import DocumentRefused, Problem
from node.evaluate.shapes import Items, Key, Text

MAX_FILES: Final = 32
Parsed = TypeVar("Parsed")
MAX_INCLUDE_DEPTH: Final = 8
INCLUDE: Final = Key(
    Items(Text(), MAX_FILES),
    "Other files of this policy, relative to this one, in its folder or below it.",
    required=False,
)


def parse_file(path: Path, parse: Callable[[Node], Parsed]) -> Parsed:
    """What `parse` makes of a file and of all that it includes.

    Raises `Refused`; the message starts with the path of the file that is at fault.
    """
    try:
        return parse(read_with_includes(path))
    except DocumentRefused as refused:
        file = refused.problems[0].place.file
        raise FileRefused(path.parent / file if file else path, refused.problems) from None
    except Refused as error:
        raise Refused(error.reason, f"{path}: {error.message}") from None


class FileRefused(DocumentRefused):
    """The same with the name of the file before its message."""

    def __init__(self, path: Path, problems: tuple[Problem, ...]) -> None:
        super().__init__(problems)
        self.path = path
        self.message = f"{path}: {self.message}"
        self.args = (f"{self.reason}: {self.message}",)

    def __reduce__(self) -> tuple[type[FileRefused], tuple[Path, tuple[Problem, ...]]]:  # type: ignore[override]
        return type(self), (self.path, self.problems)


def read_with_includes(path: Path) -> Node:
    """The tree of a file and of all that it includes, without the key `include`.

    Raises `Refused` (POLICY_INVALID) where the file cannot be read, `DocumentRefused` for what stands in it.
    All files together have at most MAX_DOCUMENT_BYTES.
    """
    return _Inclusion(path.parent.resolve()).read(path, chain=())


def find_file(item: Node, folder: Path) -> Path:
    """The file that a policy in `folder` names at `item`, relative to the file that `item` stands in.

    Raises `DocumentRefused` for one that is not there, or lies outside the policy's folder.
    """
    folder = folder.resolve()
    target = _resolve(item, beside=folder / (item.place.file or "policy"), folder=folder)
    _require_file(item, target)
    return target


def _resolve(item: Node, *, beside: Path, folder: Path) -> Path:
    """What a file beside which `item` stands means by it."""
    written = item.text()
    if PurePosixPath(written).is_absolute() or "\\" in written or "\0" in written:
        raise item.refusal("expected a path relative to this file, such as `rules/drains.yaml`")
    try:
        target = (beside.parent / written).resolve()
        target.is_file()
    except (OSError, RuntimeError, ValueError):  # a name too long, a loop of links
        raise item.refusal("no file can be reached under this name") from None
    if not target.is_relative_to(folder):
        raise item.refusal("lies outside the policy's folder; copy the file into it")
    return target


def _require_file(item: Node, target: Path) -> None:
    if not target.is_file():
        raise item.refusal("there is no such file")


class _Inclusion:
    """One reading: what was read so far, and how much of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: set[Path] = set()
        self._bytes = 0

    def read(self, path: Path, *, chain: tuple[Path, ...]) -> Node:
        content = self._content(path)
        root = read_document(content, file=self._name(path) if chain else "")
        self._read.add(path.resolve())
        if not isinstance(root, MapNode) or "include" not in root.values:
            return root
        merged = replace(root, values={key: node for key, node in root.values.items() if key != "include"})
        items = root.values["include"]
        INCLUDE.shape.read(items)
        for item in items.items():
            part = self.read(self._target(item, path, chain), chain=(*chain, path.resolve()))
            if not isinstance(part, MapNode):
                raise part.refusal("an included file is a map with some of the policy's keys")
            merged = _merge(merged, part)
        return merged

    def _content(self, path: Path) -> bytes:
        try:
            if not path.is_file():
                raise Refused(Reason.POLICY_INVALID, "cannot be read: there is no such file")
            with path.open("rb") as file:
                content = file.read(MAX_DOCUMENT_BYTES + 1 - self._bytes)
        except OSError as error:
            raise Refused(Reason.POLICY_INVALID, f"cannot be read: {error.strerror}") from None
        self._bytes += len(content)
        if self._bytes > MAX_DOCUMENT_BYTES and self._read:
            raise Refused(
                Reason.POLICY_INVALID,
                f"a policy and what it includes have at most {MAX_DOCUMENT_BYTES} bytes; split the policy",
            )
        return content

    def _target(self, item: Node, included_from: Path, chain: tuple[Path, ...]) -> Path:
        target = _resolve(item, beside=included_from, folder=self._folder)
        if target in (*chain, included_from.resolve()):
            raise item.refusal("this file includes itself, by way of others or at once; take this line out")
        if target in self._read:
            raise item.refusal("is included already; name it once")
        _require_file(item, target)
        if len(chain) + 1 >= MAX_INCLUDE_DEPTH:
            raise item.refusal(
                f"included deeper than {MAX_INCLUDE_DEPTH} files; include it from the first one"
            )
        if len(self._read) >= MAX_FILES:
            raise item.refusal(f"a policy has at most {MAX_FILES} files")
        return target

    def _name(self, path: Path) -> str:
        return path.resolve().relative_to(self._folder).as_posix()


def _merge(into: MapNode, part: MapNode) -> MapNode:
    merged = dict(into.values)
    for key, node in part.values.items():
        present = merged.get(key)
        if isinstance(present, MapNode) and isinstance(node, MapNode):
            twins = [name for name in node.values if name in present.values]
            for name in twins:
                raise _twin(present.values[name], node.values[name])
            merged[key] = replace(present, values=present.values | node.values)
        elif present is not None:
            raise _twin(present, node)
        else:
            merged[key] = node
    return replace(into, values=merged)


def _twin(first: Node, second: Node) -> DocumentRefused:
    place = first.key
    where = f"{place.file}, line {place.line}" if place.file else f"line {place.line} of the first file"
    return second.key_refusal(f"written twice, first in {where}; keep one")
