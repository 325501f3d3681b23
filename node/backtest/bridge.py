"""Plays both recorded sides of a bridge to the mismatch detector, in the order in which they happened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from consensus.types import Seconds
from node.bridge import Burn, Release
from node.detect.bridge_mismatch import Backing, BridgeMismatch, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A verdict, and when it could be given."""

    at: Seconds
    verdict: Verdict


def play_bridge(
    detector: BridgeMismatch, burns: Sequence[Burn], releases: Sequence[Release]
) -> Iterator[Told]:
    """Every verdict. Both sides come by time; the source is read to each moment at which something happens,
    and after the last of them for as long as a release may have to wait."""
    moments = sorted({*(burn.burnt_at for burn in burns), *(each.released_at for each in releases)})
    burns_by_time = {at: list(some) for at, some in groupby(burns, key=lambda burn: burn.burnt_at)}
    releases_by_time = {at: list(some) for at, some in groupby(releases, key=lambda each: each.released_at)}
    for at in moments:
        for burn in burns_by_time.get(at, ()):
            detector.add_burn(burn)
        for release in releases_by_time.get(at, ()):
            yield from (Told(at=at, verdict=each) for each in detector.add_release(release))
        yield from (Told(at=at, verdict=each) for each in detector.advance_source(at))
    if moments:
        end = Seconds(moments[-1] + detector.longest_wait_seconds)
        yield from (Told(at=end, verdict=each) for each in detector.advance_source(end))


def summarise(told: Sequence[Told]) -> dict[str, Any]:
    """Counts, and each release that was not backed, with its evidence."""
    verdicts = [each.verdict for each in told]
    return {
        "releases": len(verdicts),
        **{backing.value: sum(each.backing is backing for each in verdicts) for backing in Backing},
        "findings": [
            {
                "release": each.verdict.release.reference,
                "released_at": each.verdict.release.released_at,
                "told_at": each.at,
                "backing": each.verdict.backing.value,
                "level": None if each.verdict.level is None else each.verdict.level.name.lower(),
                "value": each.verdict.value,
                "evidence": each.verdict.summary,
            }
            for each in told
            if each.verdict.backing is not Backing.BACKED
        ],
    }
