"""What every payload passes before anybody looks into it: size, registration, budget, room in the inbox.

Shared by the libp2p transport and its in-memory twin, so that both refuse alike. Whatever is refused is
counted by its reason, and a fault becomes a strike against whoever answers for it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import structlog
import trio

from consensus.errors import Reason
from node.gossip.budgets import Budgets
from node.gossip.faults import STRIKES
from node.gossip.transport import Path, PeerId, Received

_log = structlog.get_logger("gossip")


class Door:
    """Lets payloads of registered operators into the inbox, and keeps the books.

    Args:
        max_payload_bytes: longer payloads are refused unread.
        budgets: what each peer may cost.
        inbox: where accepted payloads go; when full, they are refused and counted.
        on_ban: called once with a peer that has just been banned; the transport disconnects it.
    """

    def __init__(
        self,
        *,
        max_payload_bytes: int,
        budgets: Budgets,
        inbox: trio.MemorySendChannel[Received],
        on_ban: Callable[[PeerId], None],
    ) -> None:
        self.max_payload_bytes = max_payload_bytes
        self._budgets = budgets
        self._inbox = inbox
        self._on_ban = on_ban
        self._registered: frozenset[PeerId] = frozenset()
        self._drops: Counter[Reason] = Counter()
        self._accepted: Counter[Path] = Counter()

    def register(self, peer_ids: Iterable[PeerId]) -> None:
        self._registered = frozenset(peer_ids)
        self._budgets.keep_only(self._registered)

    def is_registered(self, peer_id: PeerId) -> bool:
        return peer_id in self._registered

    def is_welcome(self, peer_id: PeerId) -> bool:
        """Registered, and not banned for now."""
        return peer_id in self._registered and not self._budgets.is_banned(peer_id)

    def charge_link(self, peer_id: PeerId, size_bytes: int) -> bool:
        """Charge a neighbour for what it put on the wire; False: drop it unread."""
        if self._budgets.charge_link(peer_id, size_bytes):
            return True
        self.refuse(peer_id, Reason.LINK_OVER_BUDGET)
        return False

    def charge_verification(self, peer_id: PeerId, microseconds: int) -> bool:
        """Charge what checking a peer's signatures will take; False: whoever asks refuses them unchecked."""
        return self._budgets.charge_verification(peer_id, microseconds)

    def take(self, *, peer_id: PeerId, payload: bytes, path: Path) -> bool:
        """Accept one payload whose sender is proven; False when it was refused (and counted)."""
        if len(payload) > self.max_payload_bytes:
            return self.refuse(peer_id, Reason.OVERSIZED)
        if not self.is_registered(peer_id):
            return self.refuse(peer_id, Reason.STRANGER_AUTHOR)
        if self._budgets.is_banned(peer_id):
            return self.refuse(peer_id, Reason.PEER_BANNED)
        if not self._budgets.charge_author(peer_id, len(payload)):
            return self.refuse(peer_id, Reason.AUTHOR_OVER_BUDGET)
        try:
            self._inbox.send_nowait(Received(peer_id=peer_id, payload=payload, path=path))
        except (trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
            return self.refuse(peer_id, Reason.INBOX_FULL)
        self._accepted[path] += 1
        return True

    def refuse(self, peer_id: PeerId, reason: Reason) -> bool:
        """Count a refusal, strike who answers for it; always False, so that callers can return it."""
        self._drops[reason] += 1
        points = STRIKES.get(reason, 0)
        if points and self.is_registered(peer_id):
            self.strike(peer_id, points, reason=reason)
        return False

    def strike(self, peer_id: PeerId, points: int, *, reason: Reason) -> None:
        if self._budgets.strike(peer_id, points):
            _log.warning("peer.banned", peer_id=peer_id, reason=reason)
            self._on_ban(peer_id)

    def count(self, reason: Reason, times: int = 1) -> None:
        """Count a drop that is nobody's fault."""
        self._drops[reason] += times

    @property
    def registered(self) -> frozenset[PeerId]:
        return self._registered

    @property
    def drops(self) -> Mapping[Reason, int]:
        return dict(self._drops)

    def accepted(self, path: Path) -> int:
        return self._accepted[path]

    def banned(self) -> tuple[PeerId, ...]:
        return self._budgets.banned()
