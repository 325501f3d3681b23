"""A backtest's report for people: what came of it, then each alarm with its evidence."""

from __future__ import annotations

from collections.abc import Iterator

from consensus.alert import Level
from node.backtest.play import QUARANTINE_BLOCKS, Alarm, Outcome, Report
from node.detect.evidence import CERTAIN, Weighed

MAX_ALARMS = 40  # more fill the screen and nobody's head

_OUTCOMES = {
    None: "none named",
    Outcome.BEFORE: "flagged before its transaction",
    Outcome.AT: "flagged at its transaction",
    Outcome.MISSED: "missed",
}


def render_report(report: Report) -> str:
    """The report as lines of text."""
    return "\n".join([*_summary(report), *_alarms(report)])


def _summary(report: Report) -> Iterator[str]:
    yield f"history     {report.history}"
    yield f"learned     {report.learned} transactions, then scored {report.scored}"
    attack = report.scored - report.benign
    yield (
        f"set aside   {attack} from {QUARANTINE_BLOCKS} blocks before the exploit on"
        if attack
        else ("set aside   none")
    )
    reached = "" if report.level is None else f", level {report.level.name.lower()}"
    yield f"exploit     {_OUTCOMES[report.exploit]}{reached}"
    for name, level in (("alerts", Level.ALERT), ("limits", Level.LIMIT), ("pauses", Level.PAUSE)):
        yield f"{name:<11} {_rate(report.count(level), report.benign)}"
    yield f"time        {report.seconds:.1f} s"


def _rate(false_alarms: int, benign: int) -> str:
    per_thousand = f"{1000 * false_alarms / benign:.2f} per thousand" if benign else "no benign transaction"
    return f"{false_alarms} of {benign} benign transactions, {per_thousand}"


def _alarms(report: Report) -> Iterator[str]:
    for alarm in report.alarms[:MAX_ALARMS]:
        yield ""
        yield from _alarm(alarm)
    if len(report.alarms) > MAX_ALARMS:
        yield f"\n… and {len(report.alarms) - MAX_ALARMS} more"


def _alarm(alarm: Alarm) -> Iterator[str]:
    judgement = alarm.judgement
    kind = "attack" if alarm.is_attack else "benign"
    level = alarm.level.name.lower()
    yield f"{level:<7} block {judgement.block_number}  {judgement.transaction_hash}  ({kind})"
    yield f"        {judgement.reason}"
    yield from (_evidence(each) for each in judgement.evidence)


def _evidence(weighed: Weighed) -> str:
    evidence = weighed.evidence
    return f"        {evidence.detector} (1 in {CERTAIN // weighed.p_value}): {evidence.summary}"
