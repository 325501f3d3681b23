"""A transaction that no block holds yet, and what it would do at the head's state.

`node/observe/mempool.py` finds them, `node/simulate` runs them, `node/detect/pending_drain.py` judges what
came of it, and `node/foresight` makes alerts of that. Nobody can agree on a mempool: what is signed is said
of a transaction's own bytes and of one block's state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from consensus.errors import Reason, Refused
from consensus.fields import require_uint
from node.trace import Account, Holding, Token, TransactionTrace

NATIVE: Final = Token(Account("0x" + "ee" * 20))
"""The chain's own coin among tokens (ERC-7528)."""

MAX_DATA_BYTES: Final = 131_072
"""The size of a whole transaction that nodes still pass on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingTransaction:
    """A call, or a creation where `to` is None. What it pays for gas does not matter here."""

    hash: str
    sender: Account
    to: Account | None
    data: bytes
    value_wei: int
    gas: int

    def __post_init__(self) -> None:
        require_uint("value_wei", self.value_wei, 256)
        require_uint("gas", self.gas, 64)
        if len(self.data) > MAX_DATA_BYTES:
            raise Refused(
                Reason.PENDING_INVALID,
                f"pending transaction {self.hash} has {len(self.data)} bytes of data, nodes pass on "
                f"{MAX_DATA_BYTES}",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldingChange:
    """What an account holds of a token before and after, by the token's own word; in its units."""

    holding: Holding
    before: int
    after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """What a pending transaction would do."""

    transaction: PendingTransaction
    succeeded: bool
    outcome: str
    """How it ended, in the EVM's words."""
    gas_used: int
    trace: TransactionTrace
    is_nested: bool
    """Whether `trace` has every call into a watched contract, each within the one that made it. If not, it
    has one frame for each watched contract, and only what looks at values and storage can be asked."""
    changes: tuple[HoldingChange, ...]
    """Of the watched contracts, where something changed."""
    profit: tuple[HoldingChange, ...]
    """Of the sender, and of the contract that it called or created unless that is watched."""


class Simulator(Protocol):
    """Runs pending transactions at one block's state: in process (`node/simulate`), or by a node's
    `debug_traceCall` where one is offered, which knows nested calls too."""

    async def simulate(self, transaction: PendingTransaction) -> Simulation:
        """What it would do. Raises `Unavailable` where that cannot be told, and `Refused`
        (PENDING_INVALID) where the state would not let it in."""
