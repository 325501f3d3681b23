"""Who may sign, and whether we are one of them: the operator sets that the registry has captured."""

from __future__ import annotations

from consensus.operators import OperatorSet
from consensus.tally import MAX_EPOCHS
from consensus.types import Address, Epoch, NetworkId, OperatorIndex, Seconds
from node.chain.contracts import Registry
from node.chain.types import BlockRef
from node.evaluate.outlet import Membership


class Members:
    """The newest epochs of one network, as seen by the operator at `me`."""

    def __init__(
        self, *, network_id: NetworkId, activation_delay: Seconds, me: Address, registry: Registry
    ) -> None:
        self.network_id = network_id
        self.me = me
        self._activation_delay = activation_delay
        self.registry = registry
        self._sets: dict[Epoch, OperatorSet] = {}

    async def refresh(self, at: BlockRef) -> bool:
        """Read the epochs that came since; whether there were any.

        Raises `Unavailable`, or `Refused` for a bad set.
        """
        newest = await self.registry.current_epoch(at)
        wanted = range(max(1, newest - MAX_EPOCHS + 1), newest + 1)
        fresh = {
            Epoch(epoch): await self.registry.operator_set(Epoch(epoch), at)
            for epoch in wanted
            if epoch not in self._sets
        }
        self._sets = {epoch: self._sets[epoch] for epoch in self._sets if epoch in wanted} | fresh
        return bool(fresh)

    @property
    def operator_sets(self) -> tuple[OperatorSet, ...]:
        """The known epochs, oldest first."""
        return tuple(self._sets[epoch] for epoch in sorted(self._sets))

    def addresses(self) -> tuple[Address, ...]:
        """The newest epoch's operators, who share what anyone may do."""
        newest = self.operator_sets[-1:]
        return tuple(operator.address for each in newest for operator in each.operators)

    def set_of(self, epoch: Epoch) -> OperatorSet | None:
        """An epoch's set; None where it is not kept."""
        return self._sets.get(epoch)

    def membership(self) -> Membership:
        """What alerts are built from."""
        return Membership(
            network_id=self.network_id,
            operator_sets=self.operator_sets,
            activation_delay=self._activation_delay,
        )

    def index_of(self, epoch: Epoch) -> OperatorIndex | None:
        """Our own place in an epoch's set, None where we are no member."""
        members = self._sets[epoch].operators if epoch in self._sets else ()
        return next((each.index for each in members if each.address == self.me), None)

    def peer_of(self, epoch: Epoch, index: OperatorIndex) -> str | None:
        """The peer id of the operator at this place of an epoch's set, None where nobody is there."""
        members = self._sets[epoch].operators if epoch in self._sets else ()
        return next((each.peer_id for each in members if each.index == index), None)
