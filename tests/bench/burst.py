"""Many alerts at one moment: are all of them certified by everybody, and how soon?

    python -m tests.bench.network burst [operators alerts]

All operators (host, room, tally; real TCP, Noise and BLS) run in this one process and share its core, so
times are far above those of a machine each; what counts here is that nothing is lost. JSON lines.
"""

from __future__ import annotations

import logging
import time

import structlog
import trio

from tests.bench.honest import open_operators
from tests.bench.lines import print_line
from tests.consensus.factories import make_alert, make_attestation, make_slot

PATIENCE_SECONDS = 600


async def measure(count: int, alert_count: int) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    async with open_operators(count) as operators:
        alerts = [
            make_alert(operators[0].members, slot=make_slot(anchor_number=number))
            for number in range(alert_count)
        ]
        signed = {
            each.number: [make_attestation(alert, operator_index=each.number) for alert in alerts]
            for each in operators
        }
        began = time.perf_counter()
        async with trio.open_nursery() as nursery:
            for operator in operators:
                nursery.start_soon(operator.sign_all, signed[operator.number])
        with trio.move_on_after(PATIENCE_SECONDS):
            while not all(len(each.quorum_at) == alert_count for each in operators):
                await trio.sleep(0.05)
        certified = [at - began for each in operators for at in each.quorum_at.values()]
        print_line(
            "burst_alert_to_two_thirds",
            "s",
            certified,
            operators=count,
            alerts=alert_count,
            lost=count * alert_count - len(certified),
        )
        pulled = [each.room.statistics().reconciled for each in operators]
        print_line(
            "burst_signatures_pulled", "signatures", [each.signatures_pulled for each in pulled if each]
        )
