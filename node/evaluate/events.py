"""What one contract said in one block: the sum, the largest or the number of one kind of event.

Fields of one word are decoded by eth-abi. Fields of other types may stand in the event, since their place
in the data is one word too; nothing behind that word is followed. A log that does not decode leaves the
signal without a value: it could be the one that matters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from consensus.errors import Reason, Refused
from consensus.fields import WORD_BYTES, keccak256
from consensus.types import Address
from node.evaluate.expressions import Undefined
from node.evaluate.problems import did_you_mean
from node.evaluate.signals import as_integer, is_word_type
from node.evaluate.views import Event, View, Wants

MAX_FIELDS: Final = 16
MAX_INDEXED: Final = 3
EVENT: Final = re.compile(
    r"(?P<event>[A-Za-z_][A-Za-z0-9_]{0,63})\((?P<fields>[A-Za-z0-9_, \[\]]*)\)", re.ASCII
)
_FIELD: Final = re.compile(
    r"(?P<type>[a-z0-9]+)(?P<array>\[\])?(?P<indexed> indexed)?( (?P<name>[A-Za-z_][A-Za-z0-9_]{0,63}))?",
    re.ASCII,
)


class Take(Enum):
    """What is made of the field over all events of the block; 0 where there is none."""

    SUM = "sum"
    MAX = "max"
    COUNT = "count"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventField:
    """One parameter of an event. What is not of one word is not read."""

    name: str
    abi_type: str
    is_indexed: bool

    @property
    def is_word(self) -> bool:
        return is_word_type(self.abi_type)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventText:
    """An event as it was written: `Name(type indexed name, type name)`."""

    name: str
    fields: tuple[EventField, ...]

    def signature(self) -> str:
        """The spelling that the first topic is the hash of."""
        return f"{self.name}({','.join(each.abi_type for each in self.fields)})"

    def topic(self) -> bytes:
        return keccak256(self.signature().encode())

    def field(self, name: str) -> EventField:
        """The field with this name, of one word. Raises `Refused` (POLICY_INVALID)."""
        found = next((each for each in self.fields if each.name == name), None)
        if found is None:
            known = [each.name for each in self.fields if each.name]
            raise Refused(
                Reason.POLICY_INVALID,
                f"{self.name} has no field called {name[:64]!r}{did_you_mean(name, known)}; it has "
                f"{', '.join(known) or 'none with a name'}",
            )
        if not found.is_word:
            raise Refused(
                Reason.POLICY_INVALID, f"{name} is {found.abi_type}; only types of one word are read"
            )
        return found


def parse_event(text: str) -> EventText:
    """Read `Name(type indexed name, …)`. Raises `Refused` (POLICY_INVALID) and says what to write."""
    match = EVENT.fullmatch(text)
    if match is None:
        raise Refused(
            Reason.POLICY_INVALID,
            f"expected Name(type name, …), came {text[:80]!r}; write for example "
            "`Transfer(address indexed from, address indexed to, uint256 value)`",
        )
    written = match["fields"].strip()
    fields = tuple(_parse_field(each) for each in written.split(",")) if written else ()
    if len(fields) > MAX_FIELDS or sum(each.is_indexed for each in fields) > MAX_INDEXED:
        raise Refused(
            Reason.POLICY_INVALID, f"an event has at most {MAX_FIELDS} fields here, and {MAX_INDEXED} indexed"
        )
    names = [each.name for each in fields if each.name]
    if len(names) != len(set(names)):
        raise Refused(Reason.POLICY_INVALID, "two fields have one name; give each its own")
    return EventText(name=match["event"], fields=fields)


def _parse_field(text: str) -> EventField:
    match = _FIELD.fullmatch(" ".join(text.split()))
    base = match["type"] if match else ""
    if match is None or not (is_word_type(base) or base in ("string", "bytes")):
        raise Refused(
            Reason.POLICY_INVALID,
            f"{text.strip()[:80]!r} is not a field; write a type in full (uint256, address, bytes32, string, "
            "uint256[]), `indexed` where it is, and a name",
        )
    return EventField(
        name=match["name"] or "",
        abi_type=base + (match["array"] or ""),
        is_indexed=match["indexed"] is not None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSignal:
    """What `take` makes of `field` over the block's events of one contract, where all of `where` hold."""

    name: str
    contract: str
    address: Address
    event: EventText
    take: Take
    field: EventField | None
    where: tuple[tuple[EventField, int], ...]

    def wants(self) -> Wants:
        return Wants(events=((self.address, self.event.topic()),))

    async def read(self, view: View) -> int | Undefined:
        return self.compute(await view.logs(addresses=(self.address,), topics=(self.event.topic(),)))

    def compute(self, logs: Sequence[Event]) -> int | Undefined:
        """The value for these logs, which are all of this event."""
        rows: list[dict[str, int]] = []
        for log in logs:
            row = self._decode(log)
            if row is None:
                return Undefined(
                    Reason.SIGNAL_UNDEFINED,
                    f"{self.name}: a log of {self.event.signature()} from {self.address} does not decode",
                )
            rows.append(row)
        matching = [row for row in rows if all(row[field.name] == value for field, value in self.where)]
        if self.take is Take.COUNT or self.field is None:
            return len(matching)
        amounts = [row[self.field.name] for row in matching]
        return sum(amounts) if self.take is Take.SUM else max(amounts, default=0)

    def form(self) -> dict[str, object]:
        return {
            "events": self.contract,
            "event": self.event.signature(),
            "indexed": [position for position, each in enumerate(self.event.fields) if each.is_indexed],
            "take": self.take.value,
            "field": None if self.field is None else self.event.fields.index(self.field),
            "where": {str(self.event.fields.index(field)): str(value) for field, value in self.where},
        }

    def _decode(self, log: Event) -> dict[str, int] | None:
        """The fields of one word by name, or None where the log is not of the declared shape."""
        indexed = [each for each in self.event.fields if each.is_indexed]
        plain = [each for each in self.event.fields if not each.is_indexed]
        head = WORD_BYTES * len(plain)
        if len(log.topics) != 1 + len(indexed) or len(log.data) < head:
            return None
        if len(log.data) != head and all(each.is_word for each in plain):
            return None
        words = [*log.topics[1:], *(log.data[at : at + WORD_BYTES] for at in range(0, head, WORD_BYTES))]
        row: dict[str, int] = {}
        for each, word in zip((*indexed, *plain), words, strict=True):
            if not each.is_word:
                continue
            try:
                row[each.name] = as_integer(decode((each.abi_type,), word)[0])
            except DecodingError:
                return None
        return row
