"""A report's derived figures, and the one object that `--json` prints.

Rates carry the exact interval of Clopper and Pearson (1934): all rates under which a count as extreme as the
one seen has a chance of at least 2.5 % on its side. It needs scipy, from the extra `backtest`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, Final

from consensus.alert import Level
from node.backtest.report import ACTIONS, Alarm, Report, TokenLoss
from node.detect.scale import WHOLE_BPS

COUNTED_LEVELS: Final = (("alerts", Level.ALERT), ("limits", Level.LIMIT), ("pauses", Level.PAUSE))
"""What a report calls the benign transactions at a level or harder."""

_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """False alarms in a thousand benign transactions, between bounds that hold with 95 % confidence. None
    where there were no benign transactions; the bounds also where scipy is not installed."""

    per_thousand: float | None
    low: float | None
    high: float | None


def compute_rate(false_alarms: int, benign: int) -> Rate:
    """The rate and its exact interval."""
    if not benign:
        return Rate(per_thousand=None, low=None, high=None)
    bounds = _interval(false_alarms, benign)
    return Rate(
        per_thousand=1000 * false_alarms / benign,
        low=bounds and 1000 * bounds[0],
        high=bounds and 1000 * bounds[1],
    )


def compute_share_bps(loss: TokenLoss) -> int | None:
    """What the exploit took, in basis points of the recorded balance; None where the books are too low to
    say."""
    if loss.lost_units > loss.held_units or not loss.held_units:
        return None
    return loss.lost_units * WHOLE_BPS // loss.held_units


def compute_speed(report: Report) -> int | None:
    """Transactions a second, reading and learning counted in; None where no time was measured."""
    return round(report.played / report.seconds) if report.seconds > 0 else None


def as_dict(report: Report) -> dict[str, Any]:
    """The report as plain JSON values. The keys before `learned` are read by scorers and stay."""
    return {
        "history": report.history,
        "scored": report.scored,
        "benign": report.benign,
        "exploit": None if report.exploit is None else report.exploit.value,
        "level": None if report.level is None else _name(report.level),
        "detectors": list(report.detectors),
        **{name: report.count(level) for name, level in COUNTED_LEVELS},
        "seconds": round(report.seconds, 3),
        "learned": report.learned,
        "transactions_per_second": compute_speed(report),
        "per_thousand": {
            name: rate_as_dict(compute_rate(report.count(level), report.benign))
            for name, level in COUNTED_LEVELS
        },
        "flag": _flag_as_dict(report),
        "losses": [_loss_as_dict(loss) for loss in report.losses],
        "held_up": {
            _name(level): {
                "transactions": report.held_up[level],
                "blocks_each": report.hold_blocks.of(level),
            }
            for level in Level
            if level > Level.ALERT
        },
        "alarms": [_alarm_as_dict(alarm) for alarm in report.alarms],
        "alarms_left_out": report.alarms_left_out,
        "benign_evidence": {
            name: {"found": found, "strange": strange} for name, found, strange in report.benign_evidence
        },
        "policy_hash": f"0x{report.policy_hash.hex()}",
        "state_hash": f"0x{report.state_hash.hex()}",
    }


def is_exact() -> bool:
    """Whether intervals can be computed."""
    return find_spec("scipy") is not None


@lru_cache(maxsize=1024)
def _interval(count: int, trials: int) -> tuple[float, float] | None:
    if not is_exact():
        return None
    from scipy.stats import binomtest

    bounds = binomtest(count, trials).proportion_ci(confidence_level=_CONFIDENCE, method="exact")
    return float(bounds.low), float(bounds.high)


def _name(level: Level) -> str:
    return level.name.lower()


def rate_as_dict(rate: Rate) -> dict[str, float | None]:
    """The rate as plain JSON values."""
    shown = {"rate": rate.per_thousand, "low": rate.low, "high": rate.high}
    return {key: None if value is None else round(value, 4) for key, value in shown.items()}


def _flag_as_dict(report: Report) -> dict[str, Any] | None:
    flag = report.flag
    if flag is None:
        return None
    return {
        "transaction": flag.transaction_hash,
        "block": flag.block_number,
        "level": _name(flag.level),
        "delay_transactions": flag.transactions_late,
        "delay_blocks": flag.blocks_late,
    }


def _loss_as_dict(loss: TokenLoss) -> dict[str, Any]:
    return {
        "token": loss.token,
        # As text: most readers of JSON lose digits above 2**53.
        "held_units": str(loss.held_units),
        "lost_units": str(loss.lost_units),
        "lost_bps": compute_share_bps(loss),
        "moved_after_flag_units": str(loss.moved_after_flag_units),
        "left_units": str(loss.left_units),
    }


def _alarm_as_dict(alarm: Alarm) -> dict[str, Any]:
    judgement = alarm.judgement
    return {
        "transaction": judgement.transaction_hash,
        "block": judgement.block_number,
        "level": _name(alarm.level),
        "action": ACTIONS[alarm.level],
        "is_attack": alarm.is_attack,
        "strangeness_ppb": judgement.strangeness,
        "reason": judgement.reason,
        "evidence": [
            {
                "detector": each.evidence.detector,
                "score": str(each.evidence.score),
                "p_value_ppb": each.p_value,
                "summary": each.evidence.summary,
            }
            for each in judgement.evidence
        ],
    }
