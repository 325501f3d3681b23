"""Answers of a node's trace interfaces: parsed by our own parsers, whose refusals make them `Unusable`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from node.chain.request import METHOD_NOT_FOUND, Json, RpcFault, RpcRequest, Unusable

T = TypeVar("T")

# What nodes say of a method that they know and do not serve.
_NOT_SERVED: Final = (
    "not supported",
    "unsupported",
    "not enabled",
    "disabled",
    "not allowed",
    "does not exist",
)
_NOT_SERVED_CODES: Final = frozenset({METHOD_NOT_FOUND, -32004})


def usable_request(method: str, params: tuple[Json, ...], parse: Callable[[Json], T]) -> RpcRequest[T]:
    """A request whose answer `parse` reads; a fault, or what it refuses, makes the answer `Unusable`."""

    def parse_usable(answer: Json | RpcFault) -> T:
        if isinstance(answer, RpcFault):
            raise Unusable(f"answered {answer}")
        return read_usable(lambda: parse(answer))

    return RpcRequest(method=method, params=params, parse=parse_usable)


def read_usable(parse: Callable[[], T]) -> T:
    """What a parser returns; what it refuses makes the endpoint's answer unusable."""
    try:
        return parse()
    except (ValueError, TypeError, RecursionError, OverflowError, msgspec.MsgspecError) as error:
        raise Unusable(f"answered what is no trace ({str(error)[:200]})") from None


def is_not_served(fault: RpcFault) -> bool:
    """Whether a fault says that the node does not offer the method at all."""
    said = fault.message.lower()
    return fault.code in _NOT_SERVED_CODES or any(words in said for words in _NOT_SERVED)
