"""One quorum verifier on one chain: which operator set acts there, and how the next one gets in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import structlog

from consensus.errors import Reason, Refused, Unavailable
from consensus.handover import HandoverProof
from consensus.types import Address, BlockNumber, Epoch, HeaderHash
from node.chain.abi import Artifact, describe_revert, load_artifact
from node.chain.clock import HeadClock
from node.chain.contracts import LOG_WINDOW_BLOCKS, Guardian
from node.chain.reader import ChainReader
from node.chain.request import Json
from node.chain.rpc import RpcFaulted, RpcPool
from node.chain.sender import Call, TransactionSender
from node.chain.types import BlockRef, CallReverted, Receipt
from node.respond.guardian import parse_revert
from node.respond.types import InstalledSet

BASE_GAS: Final = 600_000  # two pairings and three slots; 300,000 at 100 operators with nobody absent
GAS_PER_BYTE: Final = 80  # above the floor of 40, with the keys that are added up
MAX_SEARCHED_WINDOWS: Final = 64
"""Windows of `LOG_WINDOW_BLOCKS` in which a handover is looked for, backwards from the head."""

_log = structlog.get_logger("handover")


class VerifierOnChain:
    """`VerifierPort` over JSON-RPC. Reads are pinned to the latest head that this watcher has seen."""

    def __init__(
        self,
        address: Address,
        *,
        pool: RpcPool,
        reader: ChainReader,
        sender: TransactionSender,
        clock: HeadClock,
    ) -> None:
        self.address = address
        self._pool = pool
        self._reader = reader
        self._sender = sender
        self._clock = clock
        self._artifact = load_artifact("QuorumVerifier")

    async def installed(self) -> InstalledSet:
        """The set that acts there at the latest head; its hash is zero while a reset is under way."""
        head = await self._clock.wait_beyond(None)
        epoch, _valid_until = await self._view("currentSet", at=head)
        (set_hash,) = await self._view("setHashes", epoch, at=head)
        return InstalledSet(epoch=Epoch(epoch), set_hash=HeaderHash(set_hash))

    async def simulate(self, proofs: Sequence[HandoverProof]) -> None:
        """Try the handovers on the pending block. Raises `Refused(CALL_REVERTED)` in the contract's words."""
        data = self._encode(proofs)
        call: dict[str, Json] = {
            "from": self._sender.address,
            "to": self.address,
            "data": f"0x{data.hex()}",
            "gas": hex(_gas_limit(data, proofs)),
        }
        try:
            await self._pool.call("eth_call", (call, "pending"))
        except RpcFaulted as faulted:
            if faulted.fault.data is None:
                raise
            why = describe_revert(parse_revert(faulted.fault.data), self._artifact)
            raise Refused(Reason.CALL_REVERTED, f"verifier {self.address} would refuse: {why}") from faulted

    async def submit(self, proofs: Sequence[HandoverProof]) -> Receipt:
        """Send the handovers in one transaction and wait for its block."""
        data = self._encode(proofs)
        return await self._sender.send(
            Call(
                chain_id=self._pool.chain_id,
                to=self.address,
                data=data,
                gas_limit=_gas_limit(data, proofs),
            )
        )

    async def find_proof(self, epoch: Epoch) -> HandoverProof | None:
        """The handover of an outgoing epoch, from the transaction that carried it here.

        None where there was none, or where it came through another contract, whose calldata says nothing.
        What an endpoint tells is not believed but tried: see `simulate`.
        """
        head = await self._clock.wait_beyond(None)
        topics = (self._artifact.topic("SetInstalled"), (epoch + 1).to_bytes(32, "big"))
        last = head.number
        for _ in range(MAX_SEARCHED_WINDOWS):
            first = BlockNumber(max(0, last - LOG_WINDOW_BLOCKS + 1))
            logs = await self._reader.get_logs_between(self.address, topics, first, BlockNumber(last))
            for log in reversed(logs):
                proof = await self._read_proof(log.transaction_hash, epoch)
                if proof is not None:
                    return proof
            if first == 0:
                return None
            last = BlockNumber(first - 1)
        return None

    async def _read_proof(self, transaction_hash: bytes, epoch: Epoch) -> HandoverProof | None:
        told: Any = await self._pool.call("eth_getTransactionByHash", (f"0x{transaction_hash.hex()}",))
        try:
            if str(told["to"]).lower() != self.address.lower():
                return None
            data = bytes.fromhex(str(told["input"]).removeprefix("0x"))
        except (KeyError, TypeError, ValueError) as error:
            raise Unavailable(
                f"transaction 0x{transaction_hash.hex()} on chain {self._pool.chain_id} has `to` and "
                f"`input` in hex, came {str(told)[:80]!r}"
            ) from error
        for proof in parse_handovers(data, self._artifact):
            if Epoch(int.from_bytes(proof.incoming[:4], "big")) == epoch + 1:
                return proof
        return None

    def _encode(self, proofs: Sequence[HandoverProof]) -> bytes:
        if len(proofs) == 1:
            return self._artifact.encode("handover", proofs[0].outgoing, proofs[0].incoming)
        return self._artifact.encode(
            "handovers", [proof.outgoing for proof in proofs], [proof.incoming for proof in proofs]
        )

    async def _view(self, function: str, *arguments: object, at: BlockRef) -> tuple[Any, ...]:
        value = await self._reader.eth_call(self.address, self._artifact.encode(function, *arguments), at)
        if isinstance(value, CallReverted):
            why = describe_revert(value.data, self._artifact)
            raise Refused(Reason.CALL_REVERTED, f"QuorumVerifier.{function} of {self.address} at {at}: {why}")
        return self._artifact.decode(function, value)


async def find_verifiers(
    guardians: Iterable[Address], named: Iterable[Address], *, reader: ChainReader, clock: HeadClock
) -> tuple[Address, ...]:
    """The verifiers behind these guardians of one chain, and those that are named, each once.

    A guardian that cannot be asked for its verifier is passed over and logged; `Unavailable` is raised.
    """
    head = await clock.wait_beyond(None)
    found = dict.fromkeys(named)
    for guardian in dict.fromkeys(guardians):
        try:
            found[await Guardian(guardian, reader).verifier(head)] = None
        except Refused as refused:
            _log.warning("verifiers.unread", chain_id=reader.chain_id, guardian=guardian, detail=str(refused))
    return tuple(found)


def parse_handovers(data: bytes, artifact: Artifact) -> tuple[HandoverProof, ...]:
    """The pairs in the calldata of `handover` or `handovers`; none in that of anything else.

    Raises `Refused(CONTRACT_MISMATCH)` where the arguments are not of their types.
    """
    if artifact.calls("handover", data):
        outgoing, incoming = artifact.decode_call("handover", data)
        return (HandoverProof(outgoing=outgoing, incoming=incoming),)
    if artifact.calls("handovers", data):
        pairs = zip(*artifact.decode_call("handovers", data), strict=False)
        return tuple(HandoverProof(outgoing=outgoing, incoming=incoming) for outgoing, incoming in pairs)
    return ()


def _gas_limit(data: bytes, proofs: Sequence[HandoverProof]) -> int:
    return BASE_GAS * len(proofs) + GAS_PER_BYTE * len(data)
