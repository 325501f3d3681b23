"""How a backtest of signals over time is told: as plain JSON values, and as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from node.backtest.series import RuleTally, SeriesReport
from node.detect.series.finding import RuleJudgement

MOST_ALARMS_TOLD: Final = 20


def as_dict(report: SeriesReport) -> Mapping[str, object]:
    """The report as plain JSON values; scores are text, since many readers lose digits."""
    return {
        "series": report.series,
        "policy": report.policy.name,
        "policy_hash": f"0x{report.policy.hash.hex()}",
        "learned": report.learned,
        "learned_hash": f"0x{report.learned_hash.hex()}",
        "published": report.is_published,
        "scored": report.scored,
        "benign": report.benign,
        "benign_seconds": report.benign_seconds,
        "rules": [_rule_as_dict(each, report) for each in report.rules],
        "seconds": round(report.seconds, 3),
    }


def _rule_as_dict(tally: RuleTally, report: SeriesReport) -> dict[str, object]:
    flag = tally.flag
    return {
        "rule": tally.name,
        "references": {
            signal: list(each.series.get("references", ()))
            for signal, each in report.policy.rules[tally.name].items()
        },
        "attack": None
        if not report.has_attack
        else ({"found": False} if flag is None else {
            "found": True, "block": flag[0], "level": flag[1].name.lower(), "points_late": flag[2],
        }),
        "false_alarms": {
            budget.level.name.lower(): {
                "count": tally.false_alarms[budget.level],
                "allowed": f"{report.allowed_ppm(budget) / 1_000_000:.3f}",
                "budget": str(budget),
            }
            for budget in report.policy.budgets
        },
        "unjudged_points": dict(sorted(tally.unjudged.items())),
        "hints": tally.hints,
        "proposals": [
            {"block": block, "detector": each.detector, "step": each.step, "summary": each.summary}
            for block, each in tally.proposals
        ],
        "alarms": [_alarm_as_dict(each, is_attack=is_attack) for each, is_attack in tally.alarms],
        "alarms_left_out": tally.alarms_left_out,
    }  # fmt: skip


def _alarm_as_dict(judgement: RuleJudgement, *, is_attack: bool) -> dict[str, object]:
    assert judgement.level is not None
    return {
        "block": judgement.block_number,
        "level": judgement.level.name.lower(),
        "attack": is_attack,
        "strangeness_ppb": judgement.strangeness,
        "reason": judgement.reason,
        "evidence": [
            {
                "signal": each.signal,
                "detector": each.finding.detector,
                "basis": each.finding.basis.value,
                "score": str(each.finding.score),
                "p_value_ppb": each.p_value,
                "summary": each.finding.summary,
            }
            for each in judgement.findings
        ],
        "hints": [each.summary for each in judgement.hints],
    }


def render_text(report: SeriesReport) -> str:
    """The report for people."""
    days = report.benign_seconds / 86_400
    lines = [
        f"series      {report.series}",
        f"policy      {report.policy.name}  0x{report.policy.hash.hex()}",
        f"learned     {report.learned} points",
        f"judged      {report.scored} points, {report.benign} of them benign: {days:.1f} days",
    ]
    if not report.is_published:
        lines.append(
            "            learned evidence brakes once the policy says "
            f"`learned: 0x{report.learned_hash.hex()}`"
        )
    for tally in report.rules:
        lines += _rule_lines(tally, report)
    return "\n".join(_printable(line) for line in lines)


def _rule_lines(tally: RuleTally, report: SeriesReport) -> list[str]:
    lines = [f"rule        {tally.name}"]
    if report.has_attack:
        lines.append(f"  attack    {_found(tally)}")
    for budget in report.policy.budgets:
        lines.append(
            f"  false     {tally.false_alarms[budget.level]} of level {budget.level.name.lower()}, and "
            f"{report.allowed_ppm(budget) / 1_000_000:.2f} are allowed ({budget})"
        )
    for signal, each in report.policy.rules[tally.name].items():
        if each.series.get("references"):
            lines.append(f"  beside    {signal}: {', '.join(each.series['references'])}")
    lines += [f"  unjudged  {signal} at {count} points" for signal, count in sorted(tally.unjudged.items())]
    if tally.hints:
        lines.append(f"  hints     {tally.hints}")
    proposals = tally.proposals[:MOST_ALARMS_TOLD]
    lines += [f"  proposal  block {block}: {each.summary}" for block, each in proposals]
    for judgement, is_attack in tally.alarms[:MOST_ALARMS_TOLD]:
        assert judgement.level is not None
        whose = f"{judgement.level.name.lower()}  ({'attack' if is_attack else 'false'})"
        lines.append(f"  block {judgement.block_number}  {whose}  {judgement.reason}")
        lines += [f"      {each.signal}: {each.finding.summary}" for each in judgement.findings]
    more = len(tally.alarms) - MOST_ALARMS_TOLD + tally.alarms_left_out
    return [*lines, f"  and {more} more; --json has them"] if more > 0 else lines


def _found(tally: RuleTally) -> str:
    if tally.flag is None:
        return "not found"
    block, level, points_late = tally.flag
    return f"found at block {block}, {level.name.lower()}, after {points_late} points of it"


def _printable(line: str) -> str:
    return "".join(each if each.isprintable() else " " for each in line)
