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
from consensus.errors import Refused
from consensus.fields import address_from_hex, keccak256, require_address
from consensus.types import Address, ChainId, PolicyHash, Seconds
from node.bridge import EventShape
from node.detect.bridge_mismatch import BridgeParameters, TokenValue
from node.evaluate.document import Node, read_document
from node.evaluate.includes import parse_file
from node.trace import Account, Token

BRIDGE_FORMAT: Final = 1
MAX_TOKENS: Final = 1_024
MAX_SECONDS: Final = 366 * 86_400
MAX_BURNS: Final = 1_000_000
MAX_RELEASES: Final = 100_000
MAX_VALUE: Final = 2**128
MAX_TEXT: Final = 2_000


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
    """The policy in a document. Raises `DocumentRefused` with the first thing that is wrong in it."""
    fields = root.fields(
        required=(
            "tocsin_bridge",
            "name",
            "version",
            "timing",
            "room",
            "levels",
            "tokens",
            "burns",
            "releases",
        )
    )
    fields["tocsin_bridge"].integer(least=BRIDGE_FORMAT, most=BRIDGE_FORMAT)
    timing = fields["timing"].fields(required=("finality_seconds", "clock_seconds", "window_seconds"))
    room = fields["room"].fields(required=("outstanding_burns", "waiting_releases"))
    tokens, values = _parse_tokens(fields["tokens"])
    return BridgePolicy(
        name=_parse_text(fields["name"]),
        version=fields["version"].integer(least=1, most=2**32 - 1),
        parameters=BridgeParameters(
            finality_seconds=Seconds(timing["finality_seconds"].integer(least=0, most=MAX_SECONDS)),
            clock_seconds=Seconds(timing["clock_seconds"].integer(least=0, most=MAX_SECONDS)),
            window_seconds=Seconds(timing["window_seconds"].integer(least=1, most=MAX_SECONDS)),
            outstanding_burns=room["outstanding_burns"].integer(least=1, most=MAX_BURNS),
            waiting_releases=room["waiting_releases"].integer(least=1, most=MAX_RELEASES),
            least_values=_parse_levels(fields["levels"]),
            values=values,
        ),
        burns=_parse_shape(fields["burns"]),
        releases=_parse_shape(fields["releases"]),
        tokens=tokens,
    )


def _parse_levels(node: Node) -> tuple[tuple[Level, int], ...]:
    fields = node.fields(required=tuple(level.name.lower() for level in Level))
    values: list[tuple[Level, int]] = []
    for level in Level:
        value = fields[level.name.lower()].integer(least=0, most=MAX_VALUE)
        if values and value < values[-1][1]:
            raise fields[level.name.lower()].refusal(
                f"a harder level must not take less value than {values[-1][0].name.lower()} does"
            )
        values.append((level, value))
    return tuple(values)


def _parse_tokens(node: Node) -> tuple[dict[Token, Token], dict[Token, TokenValue]]:
    tokens: dict[Token, Token] = {}
    values: dict[Token, TokenValue] = {}
    entries = node.entries()
    if not 1 <= len(entries) <= MAX_TOKENS:
        raise node.refusal(f"between 1 and {MAX_TOKENS} tokens are read, came {len(entries)}")
    for entry in entries.values():
        fields = entry.fields(required=("burnt", "released"), optional=("worth", "per_units"))
        burnt, released = (
            Token(Account(_parse_address(fields[each]).lower())) for each in ("burnt", "released")
        )
        if burnt in tokens:
            raise fields["burnt"].refusal("this token is named twice; keep one")
        tokens[burnt] = released
        if ("worth" in fields) != ("per_units" in fields):
            raise entry.refusal("write `worth` and `per_units` both, or neither for a token of unknown value")
        if "worth" in fields:
            values[released] = TokenValue(
                numerator=fields["worth"].integer(least=0, most=MAX_VALUE),
                denominator=fields["per_units"].integer(least=1, most=MAX_VALUE),
            )
    return tokens, values


def _parse_shape(node: Node) -> EventShape:
    fields = node.fields(
        required=("chain_id", "contract", "event", "token", "beneficiary", "units"), optional=("id",)
    )
    return EventShape(
        chain_id=ChainId(fields["chain_id"].integer(least=1, most=2**64 - 1)),
        contract=_parse_address(fields["contract"]),
        signature=_parse_text(fields["event"]),
        message_id=_parse_text(fields["id"]) if "id" in fields else None,
        token=_parse_text(fields["token"]),
        beneficiary=_parse_text(fields["beneficiary"]),
        units=_parse_text(fields["units"]),
    )


def _parse_text(node: Node) -> str:
    text = node.text()
    if len(text) > MAX_TEXT:
        raise node.refusal(f"at most {MAX_TEXT} characters are read, came {len(text)}")
    return text


def _parse_address(node: Node) -> Address:
    text = node.text()
    try:
        require_address("address", address_from_hex(text) if text.islower() else text)
    except (Refused, ValueError) as error:
        raise node.refusal(f"expected an address, in EIP-55 form or all in lower case: {error}") from None
    return address_from_hex(text)


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
