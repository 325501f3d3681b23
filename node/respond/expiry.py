"""Ends restrictions whose time is over. Anyone may do that; the watchers do it, in turn.

The guardian counts the time, but a target stays paused until somebody tells it otherwise. Nothing is
remembered here: what is over is read from the guardians that the policies name, so a watcher that restarts
goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import structlog
import trio

from consensus.alert import Action
from consensus.errors import Refused, Unavailable
from consensus.fields import address_to_bytes, keccak256
from consensus.types import Address, BlockNumber, ChainId, Digest, Seconds
from node.chain.types import BlockRef
from node.respond.schedule import compute_order, compute_turn
from node.respond.types import AnsweringChain, GuardianPort

QUIET_BLOCKS = 5  # between two looks while nothing is over: restrictions last for minutes at least

_log = structlog.get_logger("respond")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Over:
    """A restriction that was seen to be over, and at which head first."""

    until: Seconds
    noticed_at: BlockNumber


class Expiry:
    """Looks after the actions that the policies name; `operators` share the work, we among them."""

    def __init__(
        self,
        *,
        me: Address,
        operators: Callable[[], Sequence[Address]],
        actions: Iterable[Action],
        chains: Mapping[ChainId, AnsweringChain],
    ) -> None:
        self._me = me
        self._operators = operators
        self._actions = tuple(dict.fromkeys(action for action in actions if action.chain_id in chains))
        self._chains = chains
        self._over: dict[Action, _Over] = {}

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        async with trio.open_nursery() as nursery:
            for chain_id in {action.chain_id for action in self._actions}:
                nursery.start_soon(self._tend, chain_id)

    async def _tend(self, chain_id: ChainId) -> None:
        chain = self._chains[chain_id]
        actions = [action for action in self._actions if action.chain_id == chain_id]
        head = await chain.clock.wait_beyond(None)
        while True:
            for action in actions:
                try:
                    await self._look(chain.guardian(action.guardian), action, head)
                except (Refused, Unavailable) as error:
                    _log.warning(
                        "restriction.unread",
                        chain_id=chain_id,
                        guardian=action.guardian,
                        action=action.action_id,
                        detail=str(error),
                    )
            pause = 0 if any(action in self._over for action in actions) else QUIET_BLOCKS - 1
            head = await chain.clock.wait_beyond(BlockNumber(head.number + pause))

    async def _look(self, guardian: GuardianPort, action: Action, head: BlockRef) -> None:
        until = (await guardian.standing(action.action_id)).restricted_until
        if not 0 < until <= head.timestamp:
            self._over.pop(action, None)
            return
        over = self._over.get(action)
        if over is None or over.until != until:
            over = self._over[action] = _Over(until=until, noticed_at=head.number)
        if head.number < self._compute_turn(action, over):
            return
        receipt = await guardian.expire(action.action_id)
        _log.info(
            "restriction.expired",
            chain_id=action.chain_id,
            guardian=action.guardian,
            action=action.action_id,
            transaction=receipt.transaction_hash,
            succeeded=receipt.succeeded,
        )

    def _compute_turn(self, action: Action, over: _Over) -> BlockNumber:
        """As for responses, with an order of its own for each end of each restriction."""
        name = address_to_bytes(action.guardian) + action.action_id + over.until.to_bytes(32, "big")
        operators = self._operators()
        order = compute_order(Digest(keccak256(name)), operators)
        return compute_turn(order, self._me, ready_at=over.noticed_at, signed=frozenset(operators))
