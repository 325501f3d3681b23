"""Two simulators: a node's `debug_traceCall` first, which knows nested calls; then the process."""

from __future__ import annotations

from consensus.errors import Unavailable
from node.pending import PendingTransaction, Simulation, Simulator


class FallbackSimulator:
    """Implements `Simulator`: asks the second where the first has no answer."""

    def __init__(self, first: Simulator, second: Simulator) -> None:
        self._first = first
        self._second = second
        self.fallen_back = 0
        """Transactions that the first had no answer for."""

    async def simulate(self, transaction: PendingTransaction) -> Simulation:
        """What it would do. Raises as `Simulator.simulate` does; what is not let in is not asked twice."""
        try:
            return await self._first.simulate(transaction)
        except Unavailable:
            self.fallen_back += 1
            return await self._second.simulate(transaction)
