"""What is asked over JSON-RPC and how its answer is read: parsed once, here at the edge.

A parser gets the answer's `result`, or the `RpcFault` that came in its place, and returns a hashable value.
It raises `Unusable` when this answer says nothing: malformed, or of an endpoint that lags or is limited.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

T = TypeVar("T")

METHOD_NOT_FOUND = -32601
INTERNAL_ERROR = -32603
RESOURCE_NOT_FOUND = -32001
RESOURCE_UNAVAILABLE = -32002
LIMIT_EXCEEDED = -32005
TOO_MANY_REQUESTS = 429
"""HTTP's status; some providers give it as the code of an error within an answer."""

_CODES_OF_THE_ENDPOINT = frozenset(
    (
        METHOD_NOT_FOUND,
        INTERNAL_ERROR,
        RESOURCE_NOT_FOUND,
        RESOURCE_UNAVAILABLE,
        LIMIT_EXCEEDED,
        TOO_MANY_REQUESTS,
    )
)
# what clients say when they do not have the block or its state (geth, reth, erigon, nethermind, anvil)
_MISSING_BLOCK = (
    "header not found",
    "unknown block",
    "block not found",
    "missing trie node",
    "not canonical",
    "not available",
    "not been fully indexed",
    "resource not found",
    "pruned",
)

MESSAGE_LIMIT = 200
"""Characters of an endpoint's own words that are repeated in a message of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcFault:
    """A JSON-RPC error that came as the answer."""

    code: int
    message: str
    data: str | None

    def __str__(self) -> str:
        return f"error {self.code}: {self.message[:MESSAGE_LIMIT]}"

    @property
    def is_of_the_endpoint(self) -> bool:
        """Whether another endpoint may well answer: this one lags, is limited, or cannot do it."""
        said = self.message.lower()
        return self.code in _CODES_OF_THE_ENDPOINT or any(words in said for words in _MISSING_BLOCK)


class Unusable(Exception):  # noqa: N818 - it never leaves the room: it becomes what an endpoint "said"
    """This answer says nothing about what was asked; the message is what the endpoint said, for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcRequest(Generic[T]):
    """One call: what to ask, and how to read the answer."""

    method: str
    params: tuple[Json, ...]
    parse: Callable[[Json | RpcFault], T]
    is_weak: Callable[[T], bool] = lambda _: False
    """A weak answer ("no such block") counts only once no other answer can still be agreed on."""


def read_canonical(answer: Json | RpcFault) -> bytes:
    """The answer as canonical JSON: what endpoints must agree on where its meaning is not known."""
    if isinstance(answer, RpcFault):
        raise Unusable(str(answer))
    return msgspec.json.encode(answer, order="deterministic")
