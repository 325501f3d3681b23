"""One guardian as the responder needs it: terms, standing, a dry run, and the transaction itself."""

from __future__ import annotations

from dataclasses import replace

from consensus.alert import ZERO32, Action
from consensus.certificate import Certificate
from consensus.errors import Reason, Refused, Unavailable
from consensus.types import ActionId, Address, BlockHash, Seconds
from node.chain.abi import describe_revert, load_artifact
from node.chain.clock import HeadClock
from node.chain.contracts import ActionConfig, Guardian, Outcome
from node.chain.reader import ChainReader
from node.chain.request import Json
from node.chain.rpc import RpcFaulted, RpcPool
from node.chain.sender import Call, TransactionSender
from node.chain.types import BlockRef, CallReverted, Receipt
from node.respond.outbid import fetch_raw, fetch_tip_to_outbid
from node.respond.types import Simulation, Standing, Terms

VERIFICATION_GAS = 450_000  # 290,000 at 50 operators with a third absent; gas that is left over costs nothing
CALL_GAS = 100_000  # guardian and adapter around the action itself


_OUTCOMES = {
    f"0x{Outcome.ACTED.to_bytes(32).hex()}": Simulation.WOULD_ACT,
    f"0x{Outcome.ALREADY_ACTIVE.to_bytes(32).hex()}": Simulation.ALREADY_ACTIVE,
}


class GuardianOnChain:
    """`GuardianPort` over JSON-RPC. Reads are pinned to the latest head that this watcher has seen."""

    def __init__(
        self,
        address: Address,
        *,
        pool: RpcPool,
        reader: ChainReader,
        sender: TransactionSender,
        clock: HeadClock,
    ) -> None:
        self._guardian = Guardian(address, reader)
        self._pool = pool
        self._reader = reader
        self._sender = sender
        self._clock = clock
        self._configs: dict[ActionId, tuple[BlockHash, ActionConfig]] = {}

    async def terms(self, action_id: ActionId) -> Terms:
        """What the owner fixed. Raises `Refused(UNKNOWN_ACTION)` where the guardian has no such action."""
        config = await self._config(action_id)
        return Terms(level=config.level, threshold_bps=config.threshold_bps)

    async def standing(self, action_id: ActionId) -> Standing:
        """The guardian's book and the target's own word, at the latest head."""
        head = await self._head()
        state = await self._guardian.state(action_id, head)
        if state.until <= head.timestamp:
            return Standing(restricted_until=Seconds(state.until), engaged=False)
        config = await self._config(action_id)
        engaged = await self._guardian.is_engaged(config.adapter, head)
        return Standing(restricted_until=Seconds(state.until), engaged=engaged)

    async def simulate(self, certificate: Certificate, action: Action) -> Simulation:
        """The call on the pending block, which is the first that can know the alert's anchor.

        Raises `Refused(CALL_REVERTED)` with the contract's own error.
        """
        data = self._guardian.encode_respond(certificate, action)
        call: dict[str, Json] = {
            "from": self._sender.address,
            "to": self._guardian.address,
            "data": f"0x{data.hex()}",
            "gas": hex(await self._gas_limit(action)),
        }
        try:
            returned = await self._pool.call("eth_call", (call, "pending"))
        except RpcFaulted as faulted:
            if faulted.fault.data is None:
                raise
            revert = parse_revert(faulted.fault.data)
            why = describe_revert(revert, load_artifact("IGuardian"), load_artifact("QuorumVerifier"))
            raise Refused(
                Reason.CALL_REVERTED, f"guardian {self._guardian.address} would refuse: {why}"
            ) from faulted
        outcome = _OUTCOMES.get(returned) if isinstance(returned, str) else None
        if outcome is None:
            raise Unavailable(
                f"respond() of {self._guardian.address} returns an outcome in one word, came "
                f"{str(returned)[:80]!r}; an endpoint lies, or this is no guardian"
            )
        return outcome

    async def submit(self, certificate: Certificate, action: Action) -> Receipt:
        """Send the call and wait for its block."""
        call = Call(
            chain_id=action.chain_id,
            to=self._guardian.address,
            data=self._guardian.encode_respond(certificate, action),
            gas_limit=await self._gas_limit(action),
        )
        subject = pending_subject(certificate, action)
        if subject is not None:
            call = await self._before(subject, call)
        return await self._sender.send(call)

    async def _before(self, subject: bytes, call: Call) -> Call:
        """The same call with what it takes to come before a pending transaction."""
        raw = await fetch_raw(self._pool, subject) if self._sender.knows_other_ways else None
        return replace(
            call,
            least_tip_wei=await fetch_tip_to_outbid(self._pool, subject),
            behind=() if raw is None else (raw,),
        )

    async def expire(self, action_id: ActionId) -> Receipt:
        """End a restriction whose time is over, and wait for the block.

        Tried on the latest head first: a target that does not let go costs nobody gas. Raises
        `Refused(CALL_REVERTED)` then.
        """
        head = await self._head()
        address, data = self._guardian.address, load_artifact("IGuardian").encode("expire", action_id)
        gas_limit = CALL_GAS + 2 * (await self._config(action_id)).min_gas
        tried = await self._reader.eth_call(address, data, head, gas=gas_limit)
        if isinstance(tried, CallReverted):
            why = describe_revert(tried.data, load_artifact("IGuardian"))
            raise Refused(Reason.CALL_REVERTED, f"guardian {address} would not end it: {why}")
        return await self._sender.send(
            Call(chain_id=head.chain_id, to=address, data=data, gas_limit=gas_limit)
        )

    async def _gas_limit(self, action: Action) -> int:
        # the guardian keeps 64/63 of the action's gas and a reserve back, and refuses a starved call
        return VERIFICATION_GAS + CALL_GAS + 2 * (await self._config(action.action_id)).min_gas

    async def _config(self, action_id: ActionId) -> ActionConfig:
        """What the owner fixed, asked once a block: it may change, and an incident asks again and again."""
        head = await self._head()
        known = self._configs.get(action_id)
        if known is not None and known[0] == head.hash:
            return known[1]
        config = await self._guardian.action(action_id, head)
        if config is None:
            raise Refused(
                Reason.UNKNOWN_ACTION,
                f"guardian {self._guardian.address} has no action 0x{action_id.hex()}; the policy names one "
                "that the owner never set, or has removed",
            )
        self._configs[action_id] = (head.hash, config)
        return config

    async def _head(self) -> BlockRef:
        return await self._clock.wait_beyond(None)


def pending_subject(certificate: Certificate, action: Action) -> bytes | None:
    """The pending transaction that the alert is about, where it waits on the action's own chain."""
    slot = certificate.alert.slot
    is_here = slot.subject != ZERO32 and slot.source_chain_id == action.chain_id
    return slot.subject if is_here else None


def parse_revert(data: str) -> bytes:
    """What the endpoint says the contract returned; `Unavailable` where that is no hex."""
    try:
        return bytes.fromhex(data.removeprefix("0x"))
    except ValueError as error:
        raise Unavailable(f"an endpoint says that the call reverts with {data[:80]!r}, no hex") from error
