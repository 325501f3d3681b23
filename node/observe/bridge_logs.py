"""A bridge's two sides from the logs of live chains, by the shape that the policy gives each side's event.

Anybody may write a contract that emits nonsense; so logs are taken from the bridge's contract alone, and one
that does not decode as the shape says is counted and told, never guessed at. The views that come here are of
blocks in the order of their numbers; who takes reorgs back is `node/live/bridge.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from consensus.errors import Reason, Refused
from consensus.fields import keccak256
from consensus.types import Address, Seconds
from node.bridge import Burn, Claim, EventShape, MessageId, Release
from node.chain.types import BlockRef, Log
from node.trace import Account, Token, TokenUnits

MAX_DATA_BYTES: Final = 65_536

_EVENT: Final = re.compile(r"([A-Za-z_]\w{0,99})\(([\w\s,\[\]]{0,2000})\)", re.ASCII)
_PARAMETER: Final = re.compile(r"(\w+(?:\[\])?)(\s+indexed)?\s+([A-Za-z_]\w*)", re.ASCII)
_NUMBER_TYPE: Final = re.compile(r"uint(\d{1,3})?|bytes32", re.ASCII)
_ACCOUNT_TYPE: Final = re.compile(r"address|bytes32", re.ASCII)


class LogView(Protocol):
    """What is needed of a block: `node.observe.view.BlockView` has it."""

    @property
    def ref(self) -> BlockRef:
        """The block."""

    async def logs(
        self, *, addresses: tuple[Address, ...] = (), topics: tuple[bytes | None, ...] = ()
    ) -> tuple[Log, ...]:
        """Its events, in the order of their index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parameter:
    name: str
    type: str
    is_indexed: bool


class EventReader:
    """Reads one side's event. Raises `Refused` (POLICY_INVALID) where the shape makes no sense.

    `tokens` gives a token of this side its name on the side of the releases; with None it has that already.
    """

    def __init__(self, shape: EventShape, tokens: Mapping[Token, Token] | None = None) -> None:
        self._shape = shape
        self._tokens = tokens
        name, self._parameters = _parse_signature(shape.signature)
        types = ",".join(_canonical(each.type) for each in self._parameters)
        self._topic = keccak256(f"{name}({types})".encode("ascii"))
        self._require(shape.token, _ACCOUNT_TYPE)
        self._require(shape.beneficiary, _ACCOUNT_TYPE)
        self._require(shape.units, _NUMBER_TYPE)
        if shape.message_id is not None:
            self._require(shape.message_id, _NUMBER_TYPE)
        self.refused = 0
        """Logs of this event that did not decode."""
        self.last_refusal: Refused | None = None

    async def claims(self, view: LogView) -> tuple[tuple[Claim, str], ...]:
        """The claims of a block, each with its transaction's hash. Raises `Unavailable` without an agreed
        answer, and `Refused` (WRONG_CHAIN) for a block of another chain."""
        if view.ref.chain_id != self._shape.chain_id:
            raise Refused(
                Reason.WRONG_CHAIN,
                f"{self._shape.signature} is read on chain {self._shape.chain_id}, came {view.ref}",
            )
        logs = await view.logs(addresses=(self.contract,), topics=(self.topic,))
        return tuple((claim, f"0x{log.transaction_hash.hex()}") for log, claim in self.claims_of(logs))

    @property
    def contract(self) -> Address:
        """Whose logs are read."""
        return self._shape.contract

    @property
    def topic(self) -> bytes:
        """The first topic of the event: the hash of its signature."""
        return self._topic

    def claims_of(self, logs: Sequence[Log]) -> tuple[tuple[Log, Claim], ...]:
        """Each log with its claim; those that do not decode are counted and left out."""
        claims = []
        for log in logs:
            try:
                claims.append((log, self.decode(log)))
            except Refused as refusal:
                self.refused += 1
                self.last_refusal = refusal
        return tuple(claims)

    def decode(self, log: Log) -> Claim:
        """The claim in a log. Raises `Refused` (EVENT_INVALID) where it is no such event."""
        if log.address != self._shape.contract or log.topics[:1] != (self._topic,):
            raise self._refusal("another event, or another contract's")
        values = self._values(log)
        named = None if self._shape.message_id is None else values[self._shape.message_id]
        token = Token(self._account(values[self._shape.token]))
        if self._tokens is not None:
            if token not in self._tokens:
                raise self._refusal(f"token {token} has no counterpart in the policy")
            token = self._tokens[token]
        return Claim(
            message_id=MessageId(0 if named is None else _number(named)),
            token=token,
            beneficiary=self._account(values[self._shape.beneficiary]),
            units=TokenUnits(_number(values[self._shape.units])),
        )

    def _values(self, log: Log) -> dict[str, object]:
        indexed = [each for each in self._parameters if each.is_indexed]
        plain = [each for each in self._parameters if not each.is_indexed]
        if len(log.topics) != 1 + len(indexed):
            raise self._refusal(f"{1 + len(indexed)} topics were expected, came {len(log.topics)}")
        if len(log.data) > MAX_DATA_BYTES:
            raise self._refusal(f"at most {MAX_DATA_BYTES} bytes of data are read, came {len(log.data)}")
        values: dict[str, object] = {}
        try:
            for parameter, topic in zip(indexed, log.topics[1:], strict=True):
                values[parameter.name] = decode([_topic_type(parameter.type)], topic)[0]
            decoded = decode([each.type for each in plain], log.data)
        except (DecodingError, OverflowError, UnicodeDecodeError) as error:
            raise self._refusal(f"{len(log.data)} bytes of data do not decode: {error}") from error
        return values | {each.name: value for each, value in zip(plain, decoded, strict=True)}

    def _account(self, value: object) -> Account:
        if isinstance(value, str):
            return Account(value.lower())
        assert isinstance(value, bytes)
        if any(value[:12]):
            raise self._refusal(f"0x{value.hex()} is no address in 32 bytes: the first twelve are zero there")
        return Account(f"0x{value[12:].hex()}")

    def _require(self, name: str, kinds: re.Pattern[str]) -> None:
        found = [each for each in self._parameters if each.name == name]
        if len(found) != 1 or not kinds.fullmatch(found[0].type):
            raise Refused(
                Reason.POLICY_INVALID,
                f"{self._shape.signature} needs one parameter {name!r} of a type {kinds.pattern}, came "
                f"{[each.type for each in found]}; name the event's parameters as the contract types them",
            )

    def _refusal(self, why: str) -> Refused:
        return Refused(
            Reason.EVENT_INVALID, f"a log of {self._shape.contract} is no {self._shape.signature}: {why}"
        )


class BurnReader:
    """The source side's burns, block by block."""

    def __init__(self, shape: EventShape, tokens: Mapping[Token, Token] | None = None) -> None:
        self.events = EventReader(shape, tokens)

    async def read(self, view: LogView) -> tuple[Burn, ...]:
        """The burns of a block. Raises as `EventReader.claims` does."""
        at = view.ref.timestamp
        claims = await self.events.claims(view)
        return tuple(Burn(claim=claim, burnt_at=at, reference=hash_) for claim, hash_ in claims)

    @staticmethod
    def seen_until(view: LogView) -> Seconds:
        """Up to when the source is told in full by this block and those before: the second before it, since
        the next block may bear the same time."""
        return Seconds(view.ref.timestamp - 1)


class ReleaseReader:
    """The other side's releases, block by block."""

    def __init__(self, shape: EventShape, tokens: Mapping[Token, Token] | None = None) -> None:
        self.events = EventReader(shape, tokens)

    async def read(self, view: LogView) -> tuple[Release, ...]:
        """The releases of a block. Raises as `EventReader.claims` does."""
        at = view.ref.timestamp
        claims = await self.events.claims(view)
        return tuple(Release(claim=claim, released_at=at, reference=hash_) for claim, hash_ in claims)


def _parse_signature(signature: str) -> tuple[str, Sequence[_Parameter]]:
    event = _EVENT.fullmatch(signature)
    if event is None:
        raise Refused(
            Reason.POLICY_INVALID,
            "an event is written as Name(type [indexed] name, …) without tuples, came "
            f"{signature[:80]!r}; write each parameter with its name",
        )
    parameters = []
    for text in event[2].split(","):
        found = _PARAMETER.fullmatch(text.strip())
        if found is None:
            raise Refused(
                Reason.POLICY_INVALID,
                f"a parameter is written as `type [indexed] name`, came {text.strip()[:80]!r}",
            )
        parameters.append(_Parameter(name=found[3], type=_canonical(found[1]), is_indexed=bool(found[2])))
    return event[1], parameters


def _canonical(kind: str) -> str:
    base, brackets = kind.removesuffix("[]"), "[]" if kind.endswith("[]") else ""
    return {"uint": "uint256", "int": "int256"}.get(base, base) + brackets


def _topic_type(kind: str) -> str:
    return "bytes32" if kind.endswith("[]") or kind in {"string", "bytes"} else kind


def _number(value: object) -> int:
    if isinstance(value, bytes):
        return int.from_bytes(value)
    assert isinstance(value, int)
    return value
