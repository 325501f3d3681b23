"""Every key of a bridge policy, its bounds and what it means; `bridge_policy.py` reads by these tables."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from consensus.alert import Level
from consensus.errors import Refused
from consensus.fields import address_from_hex, require_address
from node.evaluate.document import Node
from node.evaluate.includes import INCLUDE
from node.evaluate.shapes import Json, Key, Named, Table, Text, Whole, document_schema
from node.evaluate.vocabulary import NAME

BRIDGE_FORMAT: Final = 1
MAX_TOKENS: Final = 1_024
MAX_SECONDS: Final = 366 * 86_400
MAX_BURNS: Final = 1_000_000
MAX_RELEASES: Final = 100_000
MAX_VALUE: Final = 2**128
MAX_TEXT: Final = 2_000

_TEXT: Final = Text(re.compile(rf"[\s\S]{{1,{MAX_TEXT}}}"), f"at most {MAX_TEXT} characters are read")


@dataclass(frozen=True, slots=True)
class AnyAddress:
    """An address in EIP-55 form, or all in lower case."""

    def read(self, node: Node) -> str:
        text = node.text()
        try:
            require_address("address", address_from_hex(text) if text.islower() else text)
        except (Refused, ValueError) as error:
            raise node.refusal(f"expected an address, in EIP-55 form or all in lower case: {error}") from None
        return text

    def schema(self) -> dict[str, Json]:
        return Text(re.compile("0x[0-9a-fA-F]{40}")).schema()


_ADDRESS: Final = AnyAddress()

TIMING: Final = Table(
    {
        "finality_seconds": Key(
            Whole(0, MAX_SECONDS),
            "How far the burns' chain must be past a release before a missing burn counts as missing.",
        ),
        "clock_seconds": Key(
            Whole(0, MAX_SECONDS),
            "By how much the chains' clocks may differ: a burn may be so much later.",
        ),
        "window_seconds": Key(Whole(1, MAX_SECONDS), "Unbacked value is summed over this span."),
    }
)
ROOM: Final = Table(
    {
        "outstanding_burns": Key(
            Whole(1, MAX_BURNS), "Burns that are remembered of each token; then the smallest are forgotten."
        ),
        "waiting_releases": Key(
            Whole(1, MAX_RELEASES), "Releases that may wait for a chain that lags; more are given up."
        ),
    }
)
LEVELS: Final = Table(
    {
        level.name.lower(): Key(
            Whole(0, MAX_VALUE), f"Unbacked value within the window from which on it is {level.name.lower()}."
        )
        for level in Level
    }
)
TOKEN: Final = Table(
    {
        "burnt": Key(_ADDRESS, "Its address on the side of the burns."),
        "released": Key(_ADDRESS, "Its address on the side of the releases."),
        "worth": Key(Whole(0, MAX_VALUE), "What `per_units` of its units are worth.", required=False),
        "per_units": Key(Whole(1, MAX_VALUE), "How many units `worth` is of.", required=False),
    }
)
TOKENS: Final = Named(
    (TOKEN,),
    MAX_TOKENS,
    NAME,
    least=1,
    empty=f"between 1 and {MAX_TOKENS} tokens are read, came none; name at least one",
)
EVENT: Final = Table(
    {
        "chain_id": Key(Whole(1, 2**64 - 1), "The chain that the event is on."),
        "contract": Key(_ADDRESS, "Who emits it."),
        "event": Key(_TEXT, "The event, with each parameter's type and name."),
        "id": Key(_TEXT, "Which parameter numbers the message; left out where none does.", required=False),
        "token": Key(_TEXT, "Which parameter is the token."),
        "beneficiary": Key(_TEXT, "Which parameter is who gets it."),
        "units": Key(_TEXT, "Which parameter is how much."),
    }
)
BRIDGE: Final = Table(
    {
        "tocsin_bridge": Key(Whole(BRIDGE_FORMAT, BRIDGE_FORMAT), "The format's version."),
        "name": Key(_TEXT, "The policy's name."),
        "version": Key(Whole(1, 2**32 - 1), "Yours; raise it with every change."),
        "timing": Key(TIMING, "When a release is judged."),
        "room": Key(ROOM, "How much is remembered."),
        "levels": Key(LEVELS, "What unbacked value leads to."),
        "tokens": Key(TOKENS, "Each token on both sides, and its worth."),
        "burns": Key(EVENT, "What tells of a burn."),
        "releases": Key(EVENT, "What tells of a release."),
        "include": INCLUDE,
    }
)


def bridge_schema() -> dict[str, Json]:
    """The JSON Schema of bridge policies."""
    return document_schema(BRIDGE, title="Tocsin bridge policy")
