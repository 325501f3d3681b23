"""One endpoint: a batch of requests in, its answers out, and what its health was while it did so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import httpx
import msgspec
import trio

from consensus.types import ChainId
from node.chain.request import (
    LIMIT_EXCEEDED,
    MESSAGE_LIMIT,
    TOO_MANY_REQUESTS,
    Json,
    RpcFault,
    RpcRequest,
)
from node.chain.types import Endpoint
from node.nesting import bound_nesting

MAX_RESPONSE_BYTES = 16 * 1024 * 1024  # the logs of a full block with room to spare
MAX_IN_FLIGHT = (
    16  # requests of ours that one endpoint works on at a time; the rest wait within their timeout
)
FIRST_BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 30.0

Answer = Json | RpcFault


class EndpointHealth(StrEnum):
    """What an endpoint was last known to be."""

    UNTRIED = "untried"
    HEALTHY = "healthy"
    UNREACHABLE = "unreachable"
    LIMITED = "limited"
    FAILING = "failing"
    MALFORMED = "malformed"
    WRONG_CHAIN = "wrong_chain"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointStatistics:
    """How one endpoint has served so far."""

    name: str
    health: EndpointHealth
    requests: int
    failures: int
    limited: int
    outvoted: int
    backoff_seconds: float
    last_failure: str | None


class EndpointFailed(Exception):  # noqa: N818 - it never leaves the room: it becomes what an endpoint "said"
    """The endpoint gave no answer at all; the message is what happened, without its address."""

    def __init__(self, health: EndpointHealth, said: str, *, retry_after_seconds: float = 0.0) -> None:
        super().__init__(said)
        self.health = health
        self.retry_after_seconds = retry_after_seconds


class _Fault(msgspec.Struct):
    code: int = 0
    message: str = ""
    data: Any = None


class _Response(msgspec.Struct):
    id: int | str | None = None
    result: Any = msgspec.UNSET
    error: _Fault | None = None


_DECODE_BATCH = msgspec.json.Decoder(list[_Response])
_DECODE_ONE = msgspec.json.Decoder(_Response)


class EndpointClient:
    """Asks one endpoint, over connections that are kept open; backs off while it fails.

    Each time it comes (back) to life it must first name the chain that we expect. `sign` gives the headers of
    a body, for endpoints that ask who sends.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        chain_id: ChainId,
        http: httpx.AsyncClient,
        *,
        timeout_seconds: float,
        sign: Callable[[bytes], Mapping[str, str]] | None = None,
    ) -> None:
        self.endpoint = endpoint
        self._sign = sign
        self._chain_id = chain_id
        self._http = http
        self._timeout_seconds = timeout_seconds
        self._in_flight = trio.Semaphore(MAX_IN_FLIGHT)
        self._health = EndpointHealth.UNTRIED
        self._requests = self._failures = self._limited = 0
        self.outvoted = 0
        """Answers that were not what enough others agreed on; counted by those who compare."""
        self._failed_in_a_row = 0
        self._resting_until = -float("inf")
        self._last_failure: str | None = None

    @property
    def name(self) -> str:
        return self.endpoint.name

    @property
    def is_resting(self) -> bool:
        """Whether it failed so lately that it should not be asked unless nobody else is left."""
        return trio.current_time() < self._resting_until

    def statistics(self) -> EndpointStatistics:
        """What is known of this endpoint now."""
        return EndpointStatistics(
            name=self.name,
            health=self._health,
            requests=self._requests,
            failures=self._failures,
            limited=self._limited,
            outvoted=self.outvoted,
            backoff_seconds=max(0.0, self._resting_until - trio.current_time()),
            last_failure=self._last_failure,
        )

    async def ask(self, requests: Sequence[RpcRequest[Any]]) -> tuple[Answer, ...]:
        """The answers to one batch, in order. Raises `EndpointFailed` when there are none."""
        self._requests += 1
        try:
            answers = await self._ask_in_time(requests)
        except EndpointFailed as failure:
            self._note_failure(failure)
            raise
        self._note_success()
        limited = sum(isinstance(each, RpcFault) and each.code == TOO_MANY_REQUESTS for each in answers)
        if limited:  # what it did answer counts; it rests all the same
            said = f"limited {limited} of {len(requests)} requests (error {TOO_MANY_REQUESTS})"
            self._note_failure(EndpointFailed(EndpointHealth.LIMITED, said))
        return answers

    async def ask_any_chain(self, requests: Sequence[RpcRequest[Any]]) -> tuple[Answer, ...]:
        """The answers to one batch whichever chain it serves. Raises `EndpointFailed`."""
        return await self._in_time(
            lambda: self._exchange([(request.method, request.params) for request in requests])
        )

    async def _ask_in_time(self, requests: Sequence[RpcRequest[Any]]) -> tuple[Answer, ...]:
        return await self._in_time(lambda: self._ask(requests))

    async def _in_time(self, work: Callable[[], Awaitable[tuple[Answer, ...]]]) -> tuple[Answer, ...]:
        with trio.move_on_after(self._timeout_seconds):
            async with self._in_flight:
                return await work()
        raise EndpointFailed(EndpointHealth.UNREACHABLE, f"gave no answer within {self._timeout_seconds:g} s")

    async def _ask(self, requests: Sequence[RpcRequest[Any]]) -> tuple[Answer, ...]:
        calls = [(request.method, request.params) for request in requests]
        if self._health is EndpointHealth.HEALTHY:
            return await self._exchange(calls)
        chain_id, *answers = await self._exchange([("eth_chainId", ()), *calls])
        if chain_id != hex(self._chain_id):
            raise EndpointFailed(
                EndpointHealth.WRONG_CHAIN, f"serves chain {str(chain_id)[:80]}, not {hex(self._chain_id)}"
            )
        return tuple(answers)

    async def _exchange(self, calls: Sequence[tuple[str, tuple[Json, ...]]]) -> tuple[Answer, ...]:
        sent = [
            {"jsonrpc": "2.0", "id": position, "method": method, "params": params}
            for position, (method, params) in enumerate(calls)
        ]
        body = await self._post(msgspec.json.encode(sent[0] if len(sent) == 1 else sent))
        return _in_order(_decode(body), len(calls))

    async def _post(self, body: bytes) -> bytes:
        headers = {} if self._sign is None else dict(self._sign(body))
        try:
            async with self._http.stream(
                "POST", self.endpoint.http, content=body, headers=headers
            ) as response:
                if response.status_code != httpx.codes.OK:
                    raise _failed_status(response)
                if response.headers.get("content-encoding", "identity") != "identity":
                    raise EndpointFailed(
                        EndpointHealth.MALFORMED, "sent a compressed answer, which was not asked for"
                    )
                return await _read_bounded(response)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            # the kind alone: httpx's own words may hold the address
            raise EndpointFailed(
                EndpointHealth.UNREACHABLE, f"is unreachable ({type(error).__name__})"
            ) from None

    def _note_success(self) -> None:
        self._health = EndpointHealth.HEALTHY
        self._failed_in_a_row = 0
        self._resting_until = -float("inf")

    def _note_failure(self, failure: EndpointFailed) -> None:
        self._failures += 1
        self._limited += failure.health is EndpointHealth.LIMITED
        self._health = failure.health
        self._last_failure = str(failure)
        rest = min(FIRST_BACKOFF_SECONDS * 2 ** min(self._failed_in_a_row, 16), LONGEST_BACKOFF_SECONDS)
        self._failed_in_a_row += 1
        rest = max(rest, min(failure.retry_after_seconds, LONGEST_BACKOFF_SECONDS))
        self._resting_until = max(self._resting_until, trio.current_time() + rest)


def _failed_status(response: httpx.Response) -> EndpointFailed:
    said = f"answered HTTP {response.status_code}"
    if response.status_code != TOO_MANY_REQUESTS:
        return EndpointFailed(EndpointHealth.FAILING, said)
    retry_after = response.headers.get("retry-after", "")
    seconds = float(retry_after) if retry_after.isascii() and retry_after.isdigit() else 0.0
    return EndpointFailed(EndpointHealth.LIMITED, said, retry_after_seconds=seconds)


async def _read_bounded(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_RESPONSE_BYTES:
            raise EndpointFailed(
                EndpointHealth.MALFORMED, f"sent more than the {MAX_RESPONSE_BYTES} bytes that are read"
            )
    return bytes(body)


def _decode(body: bytes) -> list[_Response]:
    bound_nesting()
    try:
        return _DECODE_BATCH.decode(body) if body.lstrip()[:1] == b"[" else [_DECODE_ONE.decode(body)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise EndpointFailed(
            EndpointHealth.MALFORMED, f"sent no JSON-RPC answer ({str(error)[:MESSAGE_LIMIT]})"
        ) from None


def _in_order(responses: list[_Response], count: int) -> tuple[Answer, ...]:
    by_id = {response.id: response for response in responses}
    if set(by_id) != set(range(count)) or len(responses) != count:
        _raise_fault_of_all(responses)
        raise EndpointFailed(
            EndpointHealth.MALFORMED, f"sent {len(responses)} answers that do not match the {count} requests"
        )
    return tuple(_answer(by_id[position]) for position in range(count))


def _raise_fault_of_all(responses: list[_Response]) -> None:
    """A batch that is refused as a whole comes back as one error without an id."""
    if len(responses) == 1 and responses[0].error is not None:
        fault = responses[0].error
        health = EndpointHealth.LIMITED if fault.code == LIMIT_EXCEEDED else EndpointHealth.FAILING
        raise EndpointFailed(health, f"refused with error {fault.code}: {fault.message[:MESSAGE_LIMIT]}")


def _answer(response: _Response) -> Answer:
    if response.error is not None:
        fault = response.error
        return RpcFault(
            code=fault.code, message=fault.message, data=fault.data if isinstance(fault.data, str) else None
        )
    if response.result is msgspec.UNSET:
        raise EndpointFailed(EndpointHealth.MALFORMED, "sent an answer with neither result nor error")
    answer: Json = response.result
    return answer
