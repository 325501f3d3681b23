"""An alarm budget: what a policy says in a sentence, as the p-value that keeps to it.

    at most one false pause per year and rule
    at most 5 false alerts per week for all rules

A year of points, each judged by every rule, is so many chances for a false alarm. For c alarms in a
period of T seconds with a point each s seconds, the p-value of one judgement may be c · s / T, and where
all rules share the budget a share of that: c · s / (T · rules). The sum of the chances is then c whatever
depends on what (Boole's inequality). One false pause a year at 12 seconds a block is 1 in 2 629 800, 380
parts per billion.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from consensus.alert import Level
from consensus.errors import Reason, Refused
from consensus.types import Seconds
from node.detect.evidence import CERTAIN, Ppb

_DAY: Final = 86_400
_YEAR: Final = 31_557_600  # 365.25 days
PERIODS: Final[Mapping[str, Seconds]] = MappingProxyType(
    {
        "hour": Seconds(3_600),
        "day": Seconds(_DAY),
        "week": Seconds(7 * _DAY),
        "month": Seconds(_YEAR // 12),
        "quarter": Seconds(_YEAR // 4),
        "year": Seconds(_YEAR),
    }
)
_NUMBERS: Final = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_LEVELS: Final = "|".join(level.name.lower() for level in Level)
_SENTENCE: Final = re.compile(
    rf"at most (?P<count>[1-9][0-9]{{0,5}}|{'|'.join(_NUMBERS)}) false (?P<level>{_LEVELS})s? "
    rf"per (?P<period>{'|'.join(PERIODS)}) (?P<scope>and rule|for all rules)",
    re.ASCII,
)


class Scope(StrEnum):
    """Who shares a budget."""

    RULE = "and rule"
    """Each rule has all of it."""
    ALL = "for all rules"
    """All rules together have it once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmBudget:
    """At most `count` false alarms of a level in a period."""

    count: int
    level: Level
    period: str
    scope: Scope

    def p_value(self, *, seconds_per_point: Seconds, rules: int) -> Ppb:
        """The largest p-value of one judgement that keeps to it, rounded down.

        Raises `Refused` (POLICY_INVALID) where that is below one part per billion, or the budget is so large
        that it forbids nothing.
        """
        sharing = rules if self.scope is Scope.ALL else 1
        p_value = self.count * seconds_per_point * CERTAIN // (PERIODS[self.period] * sharing)
        if p_value < 1:
            raise Refused(
                Reason.POLICY_INVALID,
                f"{self}: with a point each {seconds_per_point} seconds and {sharing} rules that share it "
                "this asks for less than one part per billion, which no past can show; allow more, or "
                "judge by the hour",
            )
        if p_value >= CERTAIN:
            raise Refused(
                Reason.POLICY_INVALID,
                f"{self}: this allows a false alarm at every point, which are {seconds_per_point} seconds "
                "apart; allow fewer",
            )
        return Ppb(p_value)

    def __str__(self) -> str:
        count = _NUMBERS[self.count - 1] if self.count <= len(_NUMBERS) else str(self.count)
        plural = "" if self.count == 1 else "s"
        return f"at most {count} false {self.level.name.lower()}{plural} per {self.period} {self.scope}"


def parse_budget(sentence: str) -> AlarmBudget:
    """The budget that a sentence states. Raises `Refused` (POLICY_INVALID)."""
    found = _SENTENCE.fullmatch(" ".join(sentence.lower().split()))
    if found is None:
        raise Refused(
            Reason.POLICY_INVALID,
            f"expected a budget such as `at most one false pause per year and rule`, came {sentence[:80]!r}; "
            f"a period is {', '.join(PERIODS)}, and it ends with `and rule` or `for all rules`",
        )
    count = found["count"]
    return AlarmBudget(
        count=_NUMBERS.index(count) + 1 if count in _NUMBERS else int(count),
        level=Level[found["level"].upper()],
        period=found["period"],
        scope=Scope(found["scope"]),
    )
