"""A bridge's policy: where both sides tell their messages, what tokens are worth, and what a gap may lead to.

One YAML file, read as strictly as every policy is (`node/evaluate/document.py`), with a canonical form and a
hash. `docs/policies/bridge.yaml` is one with every key explained.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from consensus.alert import Level
from consensus.fields import address_from_hex, keccak256
from consensus.types import ChainId, PolicyHash, Seconds
from node.bridge import EventShape
from node.detect.bridge_mismatch import BridgeParameters, TokenValue
from node.detect.bridge_vocabulary import (
    BRIDGE,
    BRIDGE_FORMAT,
    EVENT,
    LEVELS,
    ROOM,
    TIMING,
    TOKEN,
    TOKENS,
)
from node.evaluate.document import Node, read_document
from node.evaluate.includes import parse_file
from node.evaluate.problems import Problems, collected
from node.evaluate.shapes import Entry, Table
from node.trace import Account, Token

_PLAIN_SECTIONS: Final = (("timing", TIMING), ("room", ROOM))


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgePolicy:
    """A parsed policy. `hash` names it: keccak256 of `canonical_bytes()`."""

    name: str
    version: int
    parameters: BridgeParameters
    burns: EventShape
    releases: EventShape
    tokens: Mapping[Token, Token]
    """What a token of the burns is called on the side of the releases."""
    hash: PolicyHash = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hash", PolicyHash(keccak256(self.canonical_bytes())))

    def canonical_bytes(self) -> bytes:
        """The policy as JSON with sorted keys, no blanks and ASCII only; equal policies have equal bytes."""
        told = self.parameters
        return json.dumps(
            {
                "format": f"tocsin.bridge.v{BRIDGE_FORMAT}",
                "name": self.name,
                "version": self.version,
                "seconds": [told.finality_seconds, told.clock_seconds, told.window_seconds],
                "room": [told.outstanding_burns, told.waiting_releases],
                "levels": {level.name: value for level, value in told.least_values},
                "values": {
                    token: [worth.numerator, worth.denominator] for token, worth in told.values.items()
                },
                "tokens": dict(self.tokens),
                "burns": _canonical_shape(self.burns),
                "releases": _canonical_shape(self.releases),
            },
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=True,
            allow_nan=False,
        ).encode("ascii")


def read_bridge_policy(path: Path) -> BridgePolicy:
    """The policy in a file. Raises `Refused` (POLICY_INVALID); the message starts with the file's path."""
    return parse_file(path, parse_bridge_document)


def parse_bridge_policy(content: bytes) -> BridgePolicy:
    """The policy in the bytes of a file. Raises `Refused` (POLICY_INVALID)."""
    return parse_bridge_document(read_document(content))


def parse_bridge_document(root: Node) -> BridgePolicy:
    """The policy in a document. Raises `DocumentRefused` with everything that is wrong in it."""
    with collected() as problems:
        entry = BRIDGE.entry(root, problems)
        if "include" in entry:
            problems.add(entry.nodes["include"].key_refusal("only a file can include others; give its path"))
        timing, room = (_section(entry, name, table, problems) for name, table in _PLAIN_SECTIONS)
        levels = _parse_levels(entry, problems)
        tokens, values = _parse_tokens(entry, problems)
        burns, releases = (_parse_shape(entry, name, problems) for name in ("burns", "releases"))
        problems.settle()
        assert timing is not None
        assert room is not None
        assert burns is not None
        assert releases is not None
        return BridgePolicy(
            name=entry.text("name"),
            version=entry.whole("version"),
            parameters=BridgeParameters(
                finality_seconds=Seconds(timing.whole("finality_seconds")),
                clock_seconds=Seconds(timing.whole("clock_seconds")),
                window_seconds=Seconds(timing.whole("window_seconds")),
                outstanding_burns=room.whole("outstanding_burns"),
                waiting_releases=room.whole("waiting_releases"),
                least_values=levels,
                values=values,
            ),
            burns=burns,
            releases=releases,
            tokens=tokens,
        )


def _section(entry: Entry, name: str, table: Table, problems: Problems) -> Entry | None:
    """A map of the policy, where it is there and well-formed; what is wrong in it is reported."""
    if name not in entry:
        return None
    section = table.entry(entry.nodes[name], problems)
    return section if section.is_whole else None


def _parse_levels(entry: Entry, problems: Problems) -> tuple[tuple[Level, int], ...]:
    section = _section(entry, "levels", LEVELS, problems)
    if section is None:
        return ()
    values: list[tuple[Level, int]] = []
    for level in Level:
        value = section.whole(level.name.lower())
        if values and value < values[-1][1]:
            problems.add(
                section.nodes[level.name.lower()].refusal(
                    f"a harder level must not take less value than {values[-1][0].name.lower()} does"
                )
            )
        values.append((level, value))
    return tuple(values)


def _parse_tokens(entry: Entry, problems: Problems) -> tuple[dict[Token, Token], dict[Token, TokenValue]]:
    tokens: dict[Token, Token] = {}
    values: dict[Token, TokenValue] = {}
    for _, node in TOKENS.named(entry.nodes["tokens"], problems) if "tokens" in entry else ():
        fields = TOKEN.entry(node, problems)
        if not fields.is_whole:
            continue
        burnt, released = (Token(Account(fields.text(each).lower())) for each in ("burnt", "released"))
        if burnt in tokens:
            problems.add(fields.nodes["burnt"].refusal("this token is named twice; keep one"))
        tokens[burnt] = released
        if ("worth" in fields) != ("per_units" in fields):
            problems.add(
                node.key_refusal("write `worth` and `per_units` both, or neither where the worth is unknown")
            )
        elif "worth" in fields:
            values[released] = TokenValue(
                numerator=fields.whole("worth"), denominator=fields.whole("per_units")
            )
    return tokens, values


def _parse_shape(entry: Entry, name: str, problems: Problems) -> EventShape | None:
    fields = _section(entry, name, EVENT, problems)
    if fields is None:
        return None
    return EventShape(
        chain_id=ChainId(fields.whole("chain_id")),
        contract=address_from_hex(fields.text("contract")),
        signature=fields.text("event"),
        message_id=fields.text("id") if "id" in fields else None,
        token=fields.text("token"),
        beneficiary=fields.text("beneficiary"),
        units=fields.text("units"),
    )


def _canonical_shape(shape: EventShape) -> list[int | str | None]:
    return [
        shape.chain_id,
        shape.contract,
        shape.signature,
        shape.message_id,
        shape.token,
        shape.beneficiary,
        shape.units,
    ]
