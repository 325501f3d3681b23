"""What both the terminal and the page say of a report, in the same words; and names that are safe to print.

A history is a stranger's file. Its name, its tokens and its functions are shown with everything unprintable
replaced, since a terminal would obey it; each way of showing escapes its own marks besides.
"""

from __future__ import annotations

from typing import Final

from consensus.alert import Level
from node.backtest.figures import Rate, compute_share_bps
from node.backtest.plan import QUARANTINE_BLOCKS
from node.backtest.report import Outcome, Report, TokenLoss
from node.detect.evidence import CERTAIN, Ppb

MAX_SHOWN: Final = 400

OUTCOMES: Final = {
    None: "none named",
    Outcome.BEFORE: "flagged before its transaction",
    Outcome.AT: "flagged at its transaction",
    Outcome.MISSED: "missed",
}

NOT_KNOWN: Final = (
    "Amounts are in each token's smallest unit: a recording holds no prices and no decimals, so that nothing "
    "can be said in money.",
    "Balances are summed up from the recorded transfers. What came in before the recording began is not in "
    "them, and a share is left out where more left than they hold.",
    "What happened after an alarm is taken from the recording. With the protocol braked, users and attacker "
    "might have done something else.",
)
"""What a report of a recording cannot say."""


def printable(text: str) -> str:
    """The text without what a terminal obeys, and no longer than a line or two."""
    kept = text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in kept)


def outcome_of(report: Report) -> str:
    """What became of the exploit, with the level that it was flagged at."""
    reached = "" if report.level is None else f", level {report.level.name.lower()}"
    return f"{OUTCOMES[report.exploit]}{reached}"


def delay_of(report: Report) -> str:
    """How late the flag was; empty without one."""
    if report.flag is None:
        return ""
    if not report.flag.transactions_late and not report.flag.blocks_late:
        return "none: flagged at the first transaction that was set aside"
    return (
        f"{plural(report.flag.transactions_late, 'transaction')} and "
        f"{plural(report.flag.blocks_late, 'block')} after the first one that was set aside"
    )


def set_aside_of(report: Report) -> str:
    """How many transactions are neither benign nor false alarms."""
    attack = report.scored - report.benign
    return f"{attack} from {QUARANTINE_BLOCKS} blocks before the exploit on" if attack else "none"


def rate_of(rate: Rate) -> str:
    """A rate per thousand with its interval."""
    if rate.per_thousand is None:
        return "no benign transaction"
    if rate.low is None or rate.high is None:
        return f"{rate.per_thousand:.2f} per thousand"
    return f"{rate.per_thousand:.2f} per thousand (95 %: {rate.low:.2f} to {rate.high:.2f})"


def share_of(loss: TokenLoss) -> str:
    """What part of the recorded balance the exploit took."""
    bps = compute_share_bps(loss)
    return "not known" if bps is None else f"{bps / 100:.2f} %"


def units(amount: int) -> str:
    """An amount with its digits in groups."""
    return f"{amount:,}".replace(",", " ")


def chance(p_value: Ppb) -> str:
    """How rare that is among benign transactions."""
    return f"1 in {units(CERTAIN // p_value)}"


def plural(count: int, noun: str) -> str:
    """A count with its noun."""
    return f"{units(count)} {noun}" if count == 1 else f"{units(count)} {noun}s"


def held_up_of(report: Report, level: Level) -> str:
    """How many benign transactions a level's restrictions would have met, set by false alarms."""
    return (
        f"{plural(report.held_up[level], 'benign transaction')} in restrictions of "
        f"{plural(report.hold_blocks.of(level), 'block')} each"
    )
