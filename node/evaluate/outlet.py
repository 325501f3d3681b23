"""What evaluation says, on its way out: each finding once, as an alert; each unknown counted and logged.

Rules about blocks (`room.py`) and about pending transactions (`node/foresight`) leave by the same door.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import structlog
import trio

from consensus.alert import ZERO32, Alert
from consensus.errors import Reason, Refused
from consensus.operators import OperatorSet
from consensus.types import NetworkId, Seconds, SlotId
from node.evaluate.alerts import build_alert
from node.evaluate.findings import Finding, Unknown
from node.evaluate.policy import Policy

MAX_REMEMBERED = 4_096  # slots that were raised; forgetting one costs a second look into the journal

_log = structlog.get_logger("evaluate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """The network whose alerts are built here, and the epochs that are known."""

    network_id: NetworkId
    operator_sets: tuple[OperatorSet, ...]
    activation_delay: Seconds


class Outlet:
    """Turns findings into alerts. `membership` is asked at each, since sets change."""

    def __init__(
        self, *, membership: Callable[[], Membership], alerts: trio.MemorySendChannel[Alert]
    ) -> None:
        self._membership = membership
        self._alerts = alerts
        self._said: OrderedDict[SlotId, None] = OrderedDict()
        self.raised = 0
        """Alerts since the start."""
        self.unknown: Counter[Reason] = Counter()
        """What could not be said, by reason."""

    async def say(self, policy: Policy, said: Finding | Unknown) -> Alert | None:
        """Send a finding on as an alert, unless its slot was raised before; the alert where it was sent."""
        if isinstance(said, Unknown):
            self.unknown[said.reason] += 1
            _log.warning(
                "rule.unknown",
                rule=said.rule,
                chain_id=said.anchor.chain_id,
                block_number=said.anchor.number,
                reason=said.reason,
                detail=said.message,
            )
            return None
        membership = self._membership()
        try:
            alert = build_alert(
                said,
                policy,
                network_id=membership.network_id,
                operator_sets=membership.operator_sets,
                activation_delay=membership.activation_delay,
            )
        except Refused as refused:
            self.unknown[refused.reason] += 1
            _log.error("alert.refused", rule=said.rule, reason=refused.reason, detail=refused.message)
            return None
        if alert.slot_id() in self._said:
            return None
        self._said[alert.slot_id()] = None
        while len(self._said) > MAX_REMEMBERED:
            self._said.popitem(last=False)
        self.raised += 1
        subject = {} if said.subject == ZERO32 else {"subject": said.subject, "detail": said.summary}
        _log.info(
            "rule.fired",
            rule=said.rule,
            chain_id=said.anchor.chain_id,
            block_number=said.anchor.number,
            digest=alert.digest(),
            slot_id=alert.slot_id(),
            observations={f"{each.signal}@-{each.blocks_ago}": each.value for each in said.observations},
            **subject,
        )
        await self._alerts.send(alert)
        return alert

    def forget(self, slot_id: SlotId) -> None:
        """Raise this slot anew when it is said again: what was raised was not signed."""
        self._said.pop(slot_id, None)
