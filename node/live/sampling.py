"""Signals of a rule policy at one block, as a sample of series.

What has no value there for anybody, such as a call that reverts, or one that no series can hold, is missing
from the sample, for every watcher alike; what only this watcher could not read raises, and the block is tried
again.
"""

from __future__ import annotations

from collections.abc import Mapping

from node.detect.series.sample import VALUE_BITS, Sample
from node.evaluate.expressions import Undefined
from node.evaluate.signals import Signal
from node.evaluate.views import View, Wants


async def read_sample(view: View, signals: Mapping[str, Signal]) -> Sample:
    """The value of each signal, under the name of its series. Raises `Unavailable`."""
    wants = Wants()
    for signal in signals.values():
        wants |= signal.wants()
    if len(wants) > 1:
        await view.prefetch(wants.calls, slots=wants.slots, balances=wants.balances, events=wants.events)
    values: dict[str, int] = {}
    for name, signal in signals.items():
        value = await signal.read(view)
        if not isinstance(value, Undefined) and abs(value) >> VALUE_BITS == 0:
            values[name] = value
    ref = view.ref
    return Sample(
        block_number=ref.number,
        block_hash=ref.hash,
        parent_hash=ref.parent_hash,
        timestamp=ref.timestamp,
        values=values,
    )
