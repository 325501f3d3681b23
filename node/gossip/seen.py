"""Which payloads were taken already, and from whom: a bounded memory of hashes, oldest forgotten first."""

import hashlib
from collections import OrderedDict

from node.gossip.transport import PeerId


class SeenPayloads:
    """Every payload comes by two paths and is published again until its alert settles; one is enough.

    The sender is kept because it answers for what is found wrong later: an operator may list several peer ids
    over its epochs, and one of them may be copied from a victim.
    """

    def __init__(self, max_payloads: int) -> None:
        self._senders: OrderedDict[bytes, PeerId] = OrderedDict()
        self._max_payloads = max_payloads

    def __contains__(self, payload: bytes) -> bool:
        return _hash(payload) in self._senders

    def __len__(self) -> int:
        return len(self._senders)

    def add(self, payload: bytes, sender: PeerId) -> None:
        self._senders[_hash(payload)] = sender
        if len(self._senders) > self._max_payloads:
            self._senders.popitem(last=False)

    def forget(self, payload: bytes) -> None:
        """It may come again: it was taken, and could not be used yet."""
        self._senders.pop(_hash(payload), None)

    def sender_of(self, payload: bytes) -> PeerId | None:
        """Who sent it first; None when it was never taken, or is forgotten."""
        return self._senders.get(_hash(payload))


def _hash(payload: bytes) -> bytes:
    return hashlib.sha256(payload).digest()
