"""JSON-RPC over several endpoints of one chain, of which `agreement` must say the same before it counts.

    call            any healthy endpoint, the next one when it fails: for what needs no trust, such as sending
    agree           all at once; done as soon as m answers are the same
    agree_each      the same for a batch, request by request
    agree_by        the same where each endpoint is asked in its own way, and what it comes to is compared
    broadcast       all at once, for what each should have: a transaction
    gather          what each endpoint says, where they may well differ: the newest block number

Endpoints that are slower than the agreement finish in the background, so that their connections stay open
and a contradiction is still counted.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import httpx
import msgspec
import trio

from consensus.errors import Reason, Refused, Unavailable
from consensus.types import ChainId
from node.chain.agreement import Ballot
from node.chain.endpoint import (
    MAX_IN_FLIGHT,
    Answer,
    EndpointClient,
    EndpointFailed,
    EndpointStatistics,
)
from node.chain.parse import parse_quantity
from node.chain.request import Json, RpcFault, RpcRequest, Unusable, read_canonical
from node.chain.types import Endpoint

T = TypeVar("T")

MAX_BATCH = 256  # requests in one batch: below what public endpoints take
KEEPALIVE_SECONDS = 120.0  # longer than the slowest chain's block time, so that no head pays for a handshake
GRACE_SECONDS = 0.25  # how long `gather` waits for the others once enough have answered


class NoAgreement(Unavailable):
    """Too few endpoints said the same; the message names each and what it said."""


class RpcFaulted(Unavailable):
    """An endpoint answered with a JSON-RPC error that is about the request itself."""

    def __init__(self, method: str, endpoint: str, fault: RpcFault) -> None:
        super().__init__(f"{method}: {endpoint} answered {fault}")
        self.fault = fault


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcStatistics:
    """How the endpoints of one chain have served so far."""

    chain_id: ChainId
    agreement: int
    agreed: int
    disagreed: int
    endpoints: tuple[EndpointStatistics, ...]


class _Batch(Generic[T]):
    """Requests that are asked together, and the vote on each."""

    def __init__(
        self,
        requests: Sequence[RpcRequest[T]],
        agreement: int,
        ask: Callable[[EndpointClient], Awaitable[Sequence[Any]]] | None = None,
    ) -> None:
        self.requests = requests
        self.ask = ask or self._ask
        self.ballots = tuple(Ballot(request, (), agreement) for request in requests)
        self.settled = trio.Event()
        self._blamed: set[tuple[int, str]] = set()

    async def _ask(self, client: EndpointClient) -> Sequence[Any]:
        return await client.ask(self.requests)

    def newly_outvoted(self) -> list[str]:
        """Who contradicts an agreed answer and was not named yet; once for each answer."""
        outvoted = {
            (position, name) for position, ballot in enumerate(self.ballots) for name in ballot.outvoted()
        }
        fresh = outvoted - self._blamed
        self._blamed |= fresh
        return [name for _, name in fresh]


class _Told:
    """What a broadcast has come to so far."""

    def __init__(self, outstanding: int) -> None:
        self._outstanding = outstanding
        self._failed: list[str] = []
        self.taken: bytes | None = None
        self.faults: list[tuple[str, RpcFault]] = []
        self.settled = trio.Event()

    async def tell(self, client: EndpointClient, request: RpcRequest[bytes]) -> None:
        """Tell one endpoint, and take note of its answer."""
        try:
            (answer,) = await client.ask((request,))
        except EndpointFailed as failure:
            self._failed.append(f"{client.name} {failure}")
        else:
            if isinstance(answer, RpcFault):
                self.faults.append((client.name, answer))
            elif self.taken is None:
                self.taken = request.parse(answer)
        self._outstanding -= 1
        if self._outstanding == 0 or self.taken is not None:
            self.settled.set()

    def describe(self) -> str:
        """Who said what, by name."""
        return "; ".join(sorted(self._failed))


class RpcPool:
    """The endpoints of one chain. Made by `open_pool`, which owns its connections and its background work."""

    def __init__(
        self,
        chain_id: ChainId,
        endpoints: tuple[EndpointClient, ...],
        *,
        agreement: int,
        stragglers: trio.Nursery,
    ) -> None:
        self.chain_id = chain_id
        self.agreement = agreement
        self._endpoints = endpoints
        self._stragglers = stragglers
        self._agreed = self._disagreed = 0

    @property
    def websockets(self) -> tuple[Endpoint, ...]:
        """The endpoints that also take subscriptions."""
        return tuple(client.endpoint for client in self._endpoints if client.endpoint.ws is not None)

    def statistics(self) -> RpcStatistics:
        """What is known of the endpoints now."""
        return RpcStatistics(
            chain_id=self.chain_id,
            agreement=self.agreement,
            agreed=self._agreed,
            disagreed=self._disagreed,
            endpoints=tuple(client.statistics() for client in self._endpoints),
        )

    async def call(self, method: str, params: tuple[Json, ...] = ()) -> Json:
        """The first healthy endpoint's answer; the next one is asked where it fails.

        Raises `RpcFaulted` when one says that the request is at fault, `NoAgreement` when none answers.
        """
        request = RpcRequest(method=method, params=params, parse=read_canonical)
        said: list[str] = []
        for client in sorted(self._endpoints, key=lambda client: client.is_resting):
            try:
                (answer,) = await client.ask((request,))
            except EndpointFailed as failure:
                said.append(f"{client.name} {failure}")
                continue
            if not isinstance(answer, RpcFault):
                return answer
            if not answer.is_of_the_endpoint:
                raise RpcFaulted(method, client.name, answer)
            said.append(f"{client.name} answered {answer}")
        raise NoAgreement(f"{method} on chain {self.chain_id} needs one answer, came none: {'; '.join(said)}")

    async def call_agreed(self, method: str, params: tuple[Json, ...] = ()) -> Json:
        """The answer that `agreement` endpoints give, compared as canonical JSON. Raises `NoAgreement`."""
        (answer,) = await self.batch_agreed(((method, params),))
        return answer

    async def batch_agreed(self, calls: Sequence[tuple[str, tuple[Json, ...]]]) -> tuple[Json, ...]:
        """The agreed answers to one batch, in order. Raises `NoAgreement` when any of them has none."""
        requests = [
            RpcRequest(method=method, params=params, parse=read_canonical) for method, params in calls
        ]
        return tuple(msgspec.json.decode(agreed) for agreed in await self.agree(requests))

    async def agree(self, requests: Sequence[RpcRequest[T]]) -> tuple[T, ...]:
        """What `agreement` endpoints answer to each request. Raises the first `NoAgreement` of them."""
        values: list[T] = []
        for outcome in await self.agree_each(requests):
            if isinstance(outcome, NoAgreement):
                raise outcome
            values.append(outcome)
        return tuple(values)

    async def agree_each(self, requests: Sequence[RpcRequest[T]]) -> tuple[T | NoAgreement, ...]:
        """What `agreement` endpoints answer to each request, or why there is no such answer."""
        outcomes: list[T | NoAgreement] = []
        for start in range(0, len(requests), MAX_BATCH):
            batch: _Batch[T] = _Batch(requests[start : start + MAX_BATCH], self.agreement)
            decided: list[T | NoAgreement] = await self._agree_batch(batch)
            outcomes += decided
        return tuple(outcomes)

    async def agree_by(self, what: str, ask: Callable[[EndpointClient], Awaitable[T]]) -> T:
        """What `agreement` endpoints come to when each is asked by `ask`, which may take several requests.

        Answers are compared by equality and shown to people by `str`. `ask` raises `EndpointFailed` or
        `Unusable` where an endpoint has nothing to say. Raises `NoAgreement`; `what` names it for people.
        """

        async def ask_for_one(client: EndpointClient) -> Sequence[T]:
            return (await ask(client),)

        request: RpcRequest[T] = RpcRequest(method=what, params=(), parse=_as_it_came)
        batch: _Batch[T] = _Batch((request,), self.agreement, ask_for_one)
        outcomes: list[T | NoAgreement] = await self._agree_batch(batch)
        (outcome,) = outcomes
        if isinstance(outcome, NoAgreement):
            raise outcome
        return outcome

    async def _agree_batch(self, batch: _Batch[T]) -> list[T | NoAgreement]:
        asked = self._choose()
        await self._poll(asked, batch)
        resting = tuple(client for client in self._endpoints if client not in asked)
        if resting and any(ballot.decided is None for ballot in batch.ballots):
            await self._poll(resting, batch)
        outcomes: list[T | NoAgreement] = []
        for request, ballot in zip(batch.requests, batch.ballots, strict=True):
            if ballot.decided is None:
                self._disagreed += 1
                outcomes.append(self._no_agreement(request.method, ballot.describe()))
            else:
                self._agreed += 1
                outcomes.append(ballot.decided.value)
        return outcomes

    async def _poll(self, clients: tuple[EndpointClient, ...], batch: _Batch[T]) -> None:
        """Ask those until every ballot is decided or hopeless."""
        batch.settled = trio.Event()
        for ballot in batch.ballots:
            ballot.admit(tuple(client.name for client in clients))
        for client in clients:
            self._stragglers.start_soon(self._vote, client, batch)
        await batch.settled.wait()

    async def _vote(self, client: EndpointClient, batch: _Batch[Any]) -> None:
        try:
            answers = await batch.ask(client)
        except (EndpointFailed, Unusable) as failure:
            for ballot in batch.ballots:
                ballot.abstain(client.name, str(failure))
        else:
            for ballot, answer in zip(batch.ballots, answers, strict=True):
                ballot.cast(client.name, answer)
        blamed = batch.newly_outvoted()
        for each in self._endpoints:
            each.outvoted += blamed.count(each.name)
        if not any(ballot.is_open for ballot in batch.ballots):
            batch.settled.set()

    def _no_agreement(self, method: str, said: str) -> NoAgreement:
        return NoAgreement(
            f"{method} on chain {self.chain_id} needs {self.agreement} of {len(self._endpoints)} endpoints "
            f"to answer the same, came: {said}"
        )

    def _choose(self) -> tuple[EndpointClient, ...]:
        """Those that do not rest; all of them where that would be too few."""
        awake = tuple(client for client in self._endpoints if not client.is_resting)
        return awake if len(awake) >= self.agreement else self._endpoints

    async def broadcast(self, method: str, params: tuple[Json, ...]) -> Json:
        """Tell every endpoint, so that none can keep it to itself; the first answer that is no fault.

        Raises `RpcFaulted` with the first fault when all who answered refuse, `NoAgreement` when nobody did.
        """
        request = RpcRequest(method=method, params=params, parse=read_canonical)
        told = _Told(len(self._endpoints))
        for client in self._endpoints:
            self._stragglers.start_soon(told.tell, client, request)
        await told.settled.wait()
        if told.taken is not None:
            answer: Json = msgspec.json.decode(told.taken)
            return answer
        for name, fault in told.faults:
            raise RpcFaulted(method, name, fault)
        raise NoAgreement(
            f"{method} on chain {self.chain_id} needs one endpoint, came none: {told.describe()}"
        )

    async def gather(self, request: RpcRequest[T]) -> tuple[T, ...]:
        """The usable answers that come within a grace of the first `agreement`."""
        asked = self._choose()
        values: list[T] = []
        enough = trio.Event()
        left = len(asked)

        async def ask(client: EndpointClient) -> None:
            nonlocal left
            with suppress(EndpointFailed, Unusable):
                values.append(request.parse(*await client.ask((request,))))
            left -= 1
            if left == 0 or len(values) >= self.agreement:
                enough.set()

        async with trio.open_nursery() as nursery:
            for client in asked:
                nursery.start_soon(ask, client)
            await enough.wait()
            nursery.cancel_scope.deadline = trio.current_time() + GRACE_SECONDS
        return tuple(values)


async def fetch_chain_id(endpoint: Endpoint, *, timeout_seconds: float) -> ChainId:
    """The chain that an endpoint says it serves: for whoever was given nothing but its address.

    Raises `Unavailable` without its address.
    """
    request = RpcRequest(method="eth_chainId", params=(), parse=parse_quantity)
    unknown = ChainId(0)  # asked for before anything is asked of a chain, so that it never counts
    async with open_http() as http:
        client = EndpointClient(endpoint, unknown, http, timeout_seconds=timeout_seconds)
        try:
            (answer,) = await client.ask_any_chain((request,))
            return ChainId(request.parse(answer))
        except (EndpointFailed, Unusable) as error:
            raise Unavailable(f"{endpoint.name} does not name its chain: it {error}") from None


def _as_it_came(answer: Any) -> Any:
    return answer


@asynccontextmanager
async def open_pool(
    chain_id: ChainId, endpoints: tuple[Endpoint, ...], *, agreement: int, timeout_seconds: float
) -> AsyncIterator[RpcPool]:
    """The endpoints of one chain, as long as the block lasts.

    Raises `Refused(BAD_ENDPOINTS)` when that many can never agree.
    """
    if not 1 <= agreement <= len({endpoint.name for endpoint in endpoints}) == len(endpoints):
        raise Refused(
            Reason.BAD_ENDPOINTS,
            f"chain {chain_id} wants {agreement} agreeing endpoints with names of their own, "
            f"came {[endpoint.name for endpoint in endpoints]}; name more, or lower the agreement",
        )
    try:
        async with open_http() as http, trio.open_nursery() as stragglers:
            clients = tuple(
                EndpointClient(endpoint, chain_id, http, timeout_seconds=timeout_seconds)
                for endpoint in endpoints
            )
            yield RpcPool(chain_id, clients, agreement=agreement, stragglers=stragglers)
            stragglers.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        # what the block raised, as it raised it: the background work lets nothing out
        raise (group.exceptions[0] if len(group.exceptions) == 1 else group) from None


def open_http() -> httpx.AsyncClient:
    """A client as all exchanges with endpoints want it. Its own loggers tell addresses: keep them quiet."""
    for logger in ("httpx", "httpcore"):  # addresses may hold credentials
        logging.getLogger(logger).setLevel(logging.WARNING)
    return httpx.AsyncClient(
        timeout=None,  # each exchange as a whole stands under one trio deadline
        trust_env=False,  # configuration comes from the file alone: no proxy, no .netrc
        headers={"content-type": "application/json", "accept-encoding": "identity"},
        limits=httpx.Limits(
            max_connections=None,
            max_keepalive_connections=4 * MAX_IN_FLIGHT,
            keepalive_expiry=KEEPALIVE_SECONDS,
        ),
    )


__all__ = ["Answer", "NoAgreement", "RpcFaulted", "RpcPool", "RpcStatistics", "open_pool"]
