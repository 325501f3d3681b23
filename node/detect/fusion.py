"""From evidence to a level: within a family the strongest counts, across families agreement does.

The p-values of the k families that say anything uncommon are multiplied, and the truncated product method
says how often a product as small comes about by chance (Zaykin and others 2002): with x the product and t the
share above which evidence is common, x · Σ ln(t^k / x)^j / j! for j < k. With t = 1 this is Fisher's method;
but what is common was cut off, so that no family is ever seen above t. The result is the transaction's
*strangeness*. A level is reached when all of this holds, else the one below is tried:

- the strangeness is within the level's budget, the share of benign transactions that may come so far. There
  is one for evidence that stands alone (`alone_ppm`), and one for when `families` agree (`agreed_ppm`);
- the history has not shown as much: of n benign transactions at most n · budget were as strange, weighed by
  what is known now. This holds the sum over all families within the budget; and families are never quite
  independent, an owner's first use of a function is new and writes settings, so that a protocol's own
  history must correct the formula.

Hard evidence needs none of it: certain mechanisms together are a theft, unless one of them is common here.

Logarithms are taken in decimal arithmetic of fixed precision, which gives the same digits on every machine.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import ROUND_CEILING, Context, Decimal
from functools import lru_cache
from typing import Final

from consensus.alert import Level
from node.detect.calibration import require_rising
from node.detect.evidence import CERTAIN, PPB_IN_PPM, Evidence, Family, Ppb, Weighed
from node.detect.policy import DetectionPolicy, HardEvidence
from node.detect.shape import Count, Name, parse
from node.detect.vocabulary import WHOLE_PPM

_CONTEXT: Final = Context(prec=40)

Weigh = Callable[[Iterable[Evidence]], tuple[Weighed, ...]]
"""Gives evidence the p-values that it has by now."""


class StrangePast:
    """The benign transactions that had any evidence against them: what evidence is worth in this history."""

    def __init__(self, *, window: int, common: Ppb) -> None:
        self._window = window
        self._common = common
        self._learned = 0
        self._recent: deque[tuple[int, tuple[Evidence, ...]]] = deque()

    def learn(self, evidence: Sequence[Evidence]) -> None:
        """Take in a benign transaction's evidence, which may be none."""
        self._learned += 1
        if evidence:
            self._recent.append((self._learned, tuple(evidence)))
        while self._recent and self._recent[0][0] <= self._learned - self._window:
            self._recent.popleft()

    def count_as_strange(self, strangeness: Ppb, weigh: Weigh) -> int:
        """How many were as strange, by what is known now. A protocol's birth, the first quarter of what was
        learned, does not count: everything was new then."""
        return sum(
            compute_strangeness(weigh(evidence), self._common) <= strangeness
            for place, evidence in self._recent
            if place * 4 > self._learned
        )

    def is_within(self, budget_ppm: int, strangeness: Ppb, weigh: Weigh) -> bool:
        """Whether the budget's share of benign transactions, at most, was as strange; of few it is none."""
        as_strange = self.count_as_strange(strangeness, weigh)
        return as_strange * WHOLE_PPM <= min(self._learned, self._window) * budget_ppm

    def state(self) -> list[int | list[str | int]]:
        """What `is_within` depends on, beside the calibrations."""
        return [
            self._learned,
            *(
                [place, *(part for each in evidence for part in (each.detector, each.score))]
                for place, evidence in self._recent
            ),
        ]

    def restore(self, state: object, families: Mapping[str, Family]) -> None:
        """Take over what `state` gave; `families` are those of the policy's detectors. Raises `ValueError`
        with the place that has another shape."""
        learned, *rows = parse(state, list[Count | list[Name | Count]])
        self._learned = parse(learned, Count)
        for row in rows:
            place, *told = parse(row, list[Name | Count])
            self._recent.append((parse(place, Count), parse_evidence(told, families)))
        require_rising(
            [place for place, _ in self._recent], within=(self._learned - self._window, self._learned)
        )


def parse_evidence(told: Sequence[object], families: Mapping[str, Family]) -> tuple[Evidence, ...]:
    """Evidence from detectors and scores in turn, without the sentences, which no judgement depends on.
    Raises `ValueError` with the place that has another shape."""
    evidence = []
    for detector, score in zip(parse(told[::2], list[Name]), parse(told[1::2], list[Count]), strict=True):
        if detector not in families or not score:
            raise ValueError(f"expected a detector of the policy and a score above zero, came {detector!r}")
        evidence.append(Evidence(detector=detector, family=families[detector], score=score, summary=""))
    return tuple(evidence)


@lru_cache(maxsize=4096)
def combine(p_values: tuple[Ppb, ...], common: Ppb) -> Ppb:
    """The chance of a product as small of as many p-values, none above `common`; certain for none."""
    product = limit = Decimal(1)
    for p_value in p_values:
        product = _CONTEXT.multiply(product, _CONTEXT.divide(Decimal(p_value), Decimal(CERTAIN)))
        limit = _CONTEXT.multiply(limit, _CONTEXT.divide(Decimal(common), Decimal(CERTAIN)))
    log_ratio = _CONTEXT.ln(_CONTEXT.divide(limit, product))
    term = total = Decimal(1)
    for j in range(1, len(p_values)):
        term = _CONTEXT.divide(_CONTEXT.multiply(term, log_ratio), Decimal(j))
        total = _CONTEXT.add(total, term)
    scaled = _CONTEXT.multiply(_CONTEXT.multiply(product, total), Decimal(CERTAIN))
    return Ppb(min(CERTAIN, max(1, int(scaled.to_integral_value(rounding=ROUND_CEILING)))))


def compute_strangeness(evidence: Sequence[Weighed], common: Ppb) -> Ppb:
    """All evidence that is not common, as one p-value, of each family the smallest."""
    return combine(tuple(sorted(_strongest(evidence, common).values())), common)


def compute_level(
    evidence: Sequence[Weighed],
    strangeness: Ppb,
    *,
    policy: DetectionPolicy,
    past: StrangePast,
    weigh: Weigh,
) -> tuple[Level | None, str]:
    """The highest level that is reached, and why in a sentence; None and nothing where none is."""
    common = Ppb(policy.common_ppm * PPB_IN_PPM)
    for rule in policy.hard:
        if _is_met(rule, evidence, common):
            return Level.PAUSE, f"hard evidence: {rule.name}"
    families = _strongest(evidence, common)
    for each in sorted(policy.levels, key=lambda each: each.level, reverse=True):
        budget_ppm = each.budget_ppm(len(families))
        if strangeness > budget_ppm * PPB_IN_PPM or not past.is_within(budget_ppm, strangeness, weigh):
            continue
        return each.level, f"{', '.join(families)}: by chance once in {CERTAIN // strangeness} transactions"
    return None, ""


def _strongest(evidence: Sequence[Weighed], common: Ppb) -> dict[Family, Ppb]:
    strongest: dict[Family, Ppb] = {}
    for each in evidence:
        if each.p_value <= common:
            family = each.evidence.family
            strongest[family] = min(each.p_value, strongest.get(family, CERTAIN))
    return strongest


def _is_met(rule: HardEvidence, evidence: Sequence[Weighed], common: Ppb) -> bool:
    scores = {each.evidence.detector: each.evidence.score for each in evidence if each.p_value <= common}
    return all(scores.get(detector, 0) >= least for detector, least in rule.least_scores)
