"""Every key of a detection policy, with its bounds and what it means. `policy.py` reads by these tables."""

from __future__ import annotations

from typing import Final

from consensus.alert import Level
from node.detect.catalogue import CATALOGUE
from node.detect.detector import Detector
from node.detect.evidence import Family
from node.evaluate.includes import INCLUDE
from node.evaluate.shapes import Json, Key, Named, Table, Text, Whole, document_schema
from node.evaluate.vocabulary import NAME, NAME_RULE

DETECTION_FORMAT: Final = 1
MAX_HARD_RULES: Final = 32
MAX_DETECTORS: Final = 64
MAX_SETTLE_BLOCKS: Final = 100_000
MAX_CALIBRATION_TRANSACTIONS: Final = 1_000_000
WHOLE_PPM: Final = 1_000_000

LEARNING: Final = Table(
    {
        "settle_blocks": Key(
            Whole(0, MAX_SETTLE_BLOCKS),
            "After so many blocks a transaction that asked for no brake is learned.",
        ),
        "calibration_transactions": Key(
            Whole(100, MAX_CALIBRATION_TRANSACTIONS), "How many transactions back a score is compared with."
        ),
        "common_ppm": Key(
            Whole(1, WHOLE_PPM), "Evidence that a larger share of benign transactions shows does not count."
        ),
    }
)
LEVEL: Final = Table(
    {
        "alone_ppm": Key(
            Whole(0, WHOLE_PPM),
            "How strange one family must be, in millionths of transactions; 0: never enough.",
        ),
        "agreed_ppm": Key(Whole(0, WHOLE_PPM), "How strange `families` families that agree must be."),
        "families": Key(Whole(2, len(Family)), "How many families must agree."),
    }
)
LEVELS: Final = Table(
    {level.name.lower(): Key(LEVEL, f"What it takes for the level {level.name.lower()}.") for level in Level}
)
SCORE: Final = Whole(1, 10**9)
SCORES: Final = Named(
    (SCORE,),
    MAX_DETECTORS,
    NAME,
    least=1,
    empty="without a detector this would always hold; write `detector: least score`",
)
HARD: Final = Named((SCORES,), MAX_HARD_RULES, NAME)


def parameters_table(detector: type[Detector]) -> Table:
    """What a policy must give a detector."""
    return Table(
        {
            each.name: Key(
                Whole(each.least, each.most), f"From {each.least} to {each.most}; see docs/detectors.md."
            )
            for each in detector.parameters
        }
    )


class _Detectors:
    """The detectors by name: ours with their parameters, those of other packages with whatever they take."""

    def read(self, node: object) -> object:
        return node

    def schema(self) -> dict[str, Json]:
        ours: dict[str, Json] = {
            name: {"description": _first_line(detector), **parameters_table(detector).schema()}
            for name, detector in CATALOGUE.items()
        }
        return {
            "type": "object",
            "properties": ours,
            "patternProperties": {f"^(?:{NAME.pattern})$": {"type": "object"}},
            "additionalProperties": False,
            "minProperties": 1,
        }


def _first_line(detector: type[Detector]) -> str:
    return (detector.__doc__ or detector.name).strip().splitlines()[0]


DETECTION: Final = Table(
    {
        "tocsin_detection": Key(Whole(DETECTION_FORMAT, DETECTION_FORMAT), "The format's version."),
        "name": Key(Text(NAME, NAME_RULE), "The policy's name."),
        "version": Key(Whole(1, 2**32 - 1), "Yours; raise it with every change."),
        "learning": Key(LEARNING, "How the baseline is learned."),
        "levels": Key(LEVELS, "What learned evidence must come to for each level."),
        "hard": Key(HARD, "Detectors that together prove a theft, each with its least score."),
        "detectors": Key(_Detectors(), "Which detectors look, with their parameters."),
        "include": INCLUDE,
    }
)


def detection_schema() -> dict[str, Json]:
    """The JSON Schema of detection policies."""
    return document_schema(DETECTION, title="Tocsin detection policy")
