"""What a series policy may hold: keys, values and what they mean; parser and JSON Schema are made from it."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from consensus.alert import Level
from node.detect.series.catalogue import SERIES_CATALOGUE
from node.detect.series.detector import Role, SeriesDetector
from node.detect.vocabulary import WHOLE_PPM
from node.evaluate.document import Node
from node.evaluate.includes import INCLUDE
from node.evaluate.problems import did_you_mean
from node.evaluate.shapes import Choice, Items, Json, Key, Named, Table, Text, Whole, document_schema
from node.evaluate.vocabulary import NAME, NAME_RULE

SERIES_FORMAT: Final = 1
MAX_RULES: Final = 128
MAX_SIGNALS: Final = 32
MAX_WINDOW: Final = 1_000_000
MAX_SECONDS: Final = 31_557_600

_HASH: Final = re.compile(r"0x[0-9a-f]{64}", re.ASCII)


class Each(StrEnum):
    """What a point stands for."""

    BLOCK = "block"
    PERIOD = "period"
    """Of `seconds_per_point`, as `node/detect/series/sample.py` makes them."""


POINT: Final = Table(
    {
        "each": Key(Choice(tuple(Each)), "Whether a point is a block, or a period of so many seconds."),
        "seconds": Key(Whole(1, MAX_SECONDS), "How far points are apart."),
    }
)
LEARNING: Final = Table(
    {
        "window": Key(Whole(100, MAX_WINDOW), "How many points back a score is compared with."),
        "common_ppm": Key(
            Whole(1, WHOLE_PPM), "Evidence that a larger share of points shows does not count."
        ),
    }
)
_SERIES_NAME: Final = Text(NAME, NAME_RULE)


def role_table(detector: type[SeriesDetector]) -> Table:
    """Which series a detector is shown, by role."""
    return Table(
        {
            role.name: Key(Items(_SERIES_NAME, role.most), _says(role), required=role.least > 0)
            for role in detector.roles
        }
    )


def series_parameters_table(detector: type[SeriesDetector]) -> Table:
    """What a policy must give a series detector."""
    return Table(
        {
            each.name: Key(Whole(each.least, each.most), f"From {each.least} to {each.most}.")
            for each in detector.parameters
        }
    )


def _says(role: Role) -> str:
    return f"Names of {role.least} to {role.most} series."


def _signal_table(detector: type[SeriesDetector]) -> Table:
    return Table(
        {
            "detector": Key(Choice((detector.name,)), "Which detector looks; see docs/detectors.md."),
            "most": Key(
                Choice(tuple(level.name.lower() for level in Level)),
                "The hardest level that it may ask for; a stated bound asks for this one.",
            ),
            "series": Key(role_table(detector), "Which series it is shown, by role."),
            "parameters": Key(series_parameters_table(detector), "Its parameters, all of them."),
        },
        (detector.__doc__ or detector.name).strip().splitlines()[0],
    )


SIGNAL_OF: Final = {name: _signal_table(detector) for name, detector in SERIES_CATALOGUE.items()}
"""What a signal must say, by its detector."""


def find_detector_of(node: Node) -> str:
    """The detector that a signal's map names. Raises `DocumentRefused` where none is called so."""
    entry = node.entries().get("detector")
    if entry is None:
        raise node.missing_key("detector")
    name = entry.text()
    if name not in SIGNAL_OF:
        raise entry.refusal(
            f"no series detector is called {name[:48]!r}{did_you_mean(name, SIGNAL_OF)}; there are "
            f"{', '.join(SIGNAL_OF)}"
        )
    return name


SIGNALS: Final = Named(
    tuple(SIGNAL_OF.values()),
    MAX_SIGNALS,
    NAME,
    least=1,
    empty=f"expected 1 to {MAX_SIGNALS} signals, came 0",
)
RULES: Final = Named((SIGNALS,), MAX_RULES, NAME, least=1, empty=f"expected 1 to {MAX_RULES} rules, came 0")

SERIES: Final = Table(
    {
        "tocsin_series": Key(Whole(SERIES_FORMAT, SERIES_FORMAT), "The format's version."),
        "name": Key(_SERIES_NAME, "The policy's name."),
        "version": Key(Whole(1, 2**32 - 1), "Yours; raise it with every change."),
        "point": Key(POINT, "What a point stands for."),
        "learning": Key(LEARNING, "How the past is weighed."),
        "cooldown_points": Key(
            Whole(0, MAX_WINDOW), "For how long a level that was raised is not raised again by the same rule."
        ),
        "budgets": Key(
            Items(Text(), len(Level)),
            "How many false alarms are allowed, the easiest level first: `at most one false pause per year "
            "and rule`, or `… for all rules`.",
        ),
        "rules": Key(RULES, "What is judged together, by name; in each its signals by name."),
        "learned": Key(
            Text(_HASH, "expected 0x and 64 digits in lower case, as learning prints it"),
            "The hash of what was learned: without it learned evidence leads to no more than an alert.",
            required=False,
        ),
        "include": INCLUDE,
    }
)


def series_schema() -> dict[str, Json]:
    """The JSON Schema of series policies."""
    return document_schema(SERIES, title="Tocsin series policy")
