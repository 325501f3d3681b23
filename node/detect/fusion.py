"""From evidence to a level: within a family the strongest counts, across families agreement does.

The p-values of the k families that say anything are multiplied, and Fisher's method says how often a product as
small comes about by chance, were they independent: x · Σ (−ln x)^j / j! for j < k. That number is the
transaction's *strangeness*. A level is reached when all of this holds, else the one below is tried:

- enough families speak (`families`);
- the strangeness is within the level's `budget_ppm`, the share of benign transactions that may come so far;
- benign transactions here have not shown more of it than that: among the n learned ones at most n · budget
  were as strange. Families are never quite independent; this is where a history corrects the formula.

Hard evidence needs none of it: certain mechanisms together are a theft, whatever was learned.

Logarithms are taken in decimal arithmetic of fixed precision, which gives the same digits on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_CEILING, Context, Decimal
from typing import Final

from consensus.alert import Level
from node.detect.calibration import Calibration
from node.detect.evidence import CERTAIN, Ppb, Weighed
from node.detect.policy import DetectionPolicy, HardEvidence

_CONTEXT: Final = Context(prec=40)
_PPB_IN_PPM: Final = 1_000


def combine(p_values: Sequence[Ppb]) -> Ppb:
    """Fisher's combined p-value of independent ones, rounded up; certain for none."""
    product = Decimal(1)
    for p_value in p_values:
        product = _CONTEXT.multiply(product, _CONTEXT.divide(Decimal(p_value), Decimal(CERTAIN)))
    minus_log = _CONTEXT.minus(_CONTEXT.ln(product))
    term = total = Decimal(1)
    for j in range(1, len(p_values)):
        term = _CONTEXT.divide(_CONTEXT.multiply(term, minus_log), Decimal(j))
        total = _CONTEXT.add(total, term)
    scaled = _CONTEXT.multiply(_CONTEXT.multiply(product, total), Decimal(CERTAIN))
    return Ppb(min(CERTAIN, max(1, int(scaled.to_integral_value(rounding=ROUND_CEILING)))))


def compute_strangeness(evidence: Sequence[Weighed]) -> Ppb:
    """All evidence as one p-value, of each family the smallest."""
    strongest: dict[str, Ppb] = {}
    for each in evidence:
        family = each.evidence.family
        strongest[family] = min(each.p_value, strongest.get(family, CERTAIN))
    return combine(list(strongest.values()))


def compute_level(
    evidence: Sequence[Weighed], strangeness: Ppb, *, policy: DetectionPolicy, past: Calibration
) -> tuple[Level | None, str]:
    """The highest level that is reached, and why. `past` holds the learned transactions' `rarity`."""
    for rule in policy.hard:
        if _is_met(rule, evidence):
            return Level.PAUSE, f"hard evidence: {rule.name}"
    families = {each.evidence.family for each in evidence}
    if not families:
        return None, ""
    in_the_past = past.p_value(rarity(strangeness))
    for level in sorted(policy.levels, key=lambda each: each.level, reverse=True):
        budget = level.budget_ppm * _PPB_IN_PPM
        if len(families) < level.families or strangeness > budget:
            continue
        if not past.is_within(rarity(strangeness), budget_ppm=level.budget_ppm):
            continue
        return level.level, (
            f"{len(families)} families agree; by chance once in {CERTAIN // strangeness} transactions, "
            f"in this history once in {CERTAIN // in_the_past} or less"
        )
    return None, ""


def rarity(strangeness: Ppb) -> int:
    """Strangeness as a score: larger is stranger, zero is nothing at all."""
    return CERTAIN - strangeness


def _is_met(rule: HardEvidence, evidence: Sequence[Weighed]) -> bool:
    scores = {each.evidence.detector: each.evidence.score for each in evidence}
    return all(scores.get(detector, 0) >= least for detector, least in rule.least_scores)
