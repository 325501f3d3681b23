"""A report's plot: how strange each transaction was, and how much of a balance it took, over blocks.

It is drawn as SVG without a single word from the history. Colours are names that the page around it defines
for light and dark; matplotlib knows no such thing, so that each goes in as a stand-in and is replaced.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.util import find_spec
from io import StringIO
from typing import TYPE_CHECKING, Final

from consensus.alert import Level
from consensus.errors import Reason, Refused
from node.backtest.report import Alarm, Point, Report
from node.detect.evidence import CERTAIN, PPB_IN_PPM

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS: Final = {
    "ink": ("#010101", "#1b1f24", "#e6e8eb"),
    "muted": ("#020202", "#667080", "#9aa4b2"),
    "line": ("#030303", "#d5dae1", "#363d47"),
    "dot": ("#040404", "#3b6ea8", "#7fb0e8"),
    "attack": ("#050505", "#c0392b", "#ff7a6b"),
    "shade": ("#060606", "#f7e3e0", "#3a2422"),
    "alert": ("#070707", "#0b7f8c", "#56c7d4"),
    "limit": ("#080808", "#a06a00", "#e3b04b"),
    "freeze": ("#090909", "#8e44ad", "#cf9ae8"),
    "pause": ("#0a0a0a", "#c0392b", "#ff7a6b"),
}
"""Stand-in, colour on light, colour on dark."""

_LEVEL_NAMES: Final = {level: level.name.lower() for level in Level}
_RAREST: Final = 2 * CERTAIN  # strangeness is never below 1 in a billion


def require_matplotlib() -> None:
    """Raises `Refused` (EXTRA_MISSING) where it is not installed."""
    if find_spec("matplotlib") is None:
        raise Refused(
            Reason.EXTRA_MISSING, "plots need matplotlib; install it with pip install 'tocsin[backtest]'"
        )


def colour_rules(*, is_dark: bool) -> str:
    """The colours as CSS declarations."""
    return "".join(f"--{name}:{dark if is_dark else light};" for name, (_, light, dark) in _COLOURS.items())


def draw_report(report: Report, *, standalone: bool = False) -> str:
    """The plot as an SVG element; `standalone` gives a whole file that brings its colours along.

    Raises `Refused` (EXTRA_MISSING).
    """
    require_matplotlib()
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    # The salt and the missing date make equal reports equal bytes.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "tocsin", "font.size": 10}):
        figure = Figure(figsize=(9.6, 5.4), layout="constrained")
        FigureCanvasSVG(figure)
        figure.patch.set_alpha(0)
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        _draw_strangeness(above, report)
        _draw_outflow(below, report)
        for axes in (above, below):
            _draw_attack(axes, report)
            _style(axes)
        _name_exploit(above, report)
        drawn = StringIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    return _finish(drawn.getvalue(), standalone=standalone)


def _draw_strangeness(axes: Axes, report: Report) -> None:
    axes.set_yscale("log")
    axes.set_ylim(0.7, _RAREST)
    axes.set_ylabel("strangeness, 1 in …")
    for level, agreed_ppm, _ in report.level_lines:
        if agreed_ppm:
            needed = CERTAIN / (agreed_ppm * PPB_IN_PPM)
            colour = _stand_in(_LEVEL_NAMES[level])
            axes.axhline(needed, color=colour, linewidth=0.9, linestyle=(0, (4, 3)))
            axes.annotate(
                _LEVEL_NAMES[level],
                (1.005, needed),
                xycoords=("axes fraction", "data"),
                color=colour,
                va="center",
                fontsize=8,
            )
    for is_attack, name in ((False, "dot"), (True, "attack")):
        drawn = [
            point for point in report.timeline if point.is_attack is is_attack and point.strangeness < CERTAIN
        ]
        _dots(axes, drawn, [CERTAIN / point.strangeness for point in drawn], name)
    _ring(axes, [alarm for alarm in report.alarms if not alarm.is_attack], "s", "false alarm")
    _ring(axes, [alarm for alarm in report.alarms if alarm.is_attack], "o", "alarm on what was set aside")
    if report.alarms:
        axes.legend(
            loc="upper left", frameon=False, fontsize=8, labelcolor=_stand_in("muted"), borderaxespad=0.2
        )


def _draw_outflow(axes: Axes, report: Report) -> None:
    axes.set_ylim(0, 108)
    axes.set_ylabel("largest share of a\nholding that left, %")
    axes.set_xlabel("block")
    axes.xaxis.set_major_formatter(lambda block, _: f"{block:,.0f}".replace(",", " "))
    for is_attack, name in ((False, "dot"), (True, "attack")):
        drawn = [point for point in report.timeline if point.is_attack is is_attack and point.outflow_bps]
        heights = [point.outflow_bps / 100 for point in drawn]
        if drawn:
            axes.vlines(
                [point.block_number for point in drawn], 0, heights, color=_stand_in(name), linewidth=0.8
            )
        _dots(axes, drawn, heights, name)


def _draw_attack(axes: Axes, report: Report) -> None:
    first = report.timeline[0].block_number if report.timeline else 0
    last = max((point.block_number for point in report.timeline), default=1)
    margin = max(1, (last - first) // 40)
    axes.set_xlim(first - margin, last + margin)
    if report.first_attack_block is not None:
        axes.axvspan(
            report.first_attack_block, last + margin, color=_stand_in("shade"), linewidth=0, zorder=0
        )
    if report.exploit_block is not None:
        axes.axvline(report.exploit_block, color=_stand_in("attack"), linewidth=1, zorder=1)


def _name_exploit(axes: Axes, report: Report) -> None:
    if report.exploit_block is None:
        return
    is_late = report.exploit_block > sum(axes.get_xlim()) / 2
    axes.annotate(
        "exploit",
        (report.exploit_block, 1),
        xycoords=("data", "axes fraction"),
        xytext=(-4 if is_late else 4, -3),
        textcoords="offset points",
        ha="right" if is_late else "left",
        va="top",
        fontsize=8,
        color=_stand_in("attack"),
    )


def _dots(axes: Axes, points: Sequence[Point], heights: Sequence[float], name: str) -> None:
    axes.plot(
        [point.block_number for point in points],
        heights,
        linestyle="none",
        marker="o",
        markersize=3.5,
        color=_stand_in(name),
        markeredgewidth=0,
    )


def _ring(axes: Axes, alarms: Sequence[Alarm], marker: str, label: str) -> None:
    if not alarms:
        return
    axes.plot(
        [alarm.judgement.block_number for alarm in alarms],
        [CERTAIN / alarm.judgement.strangeness for alarm in alarms],
        linestyle="none",
        marker=marker,
        markersize=9,
        markerfacecolor="none",
        markeredgecolor=_stand_in("ink"),
        markeredgewidth=1.1,
        label=label,
        zorder=5,
    )


def _style(axes: Axes) -> None:
    axes.set_facecolor("none")
    axes.grid(axis="y", color=_stand_in("line"), linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_stand_in("muted"), labelsize=8, length=3)
    axes.tick_params(which="minor", length=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_color(_stand_in("line"))
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(_stand_in("muted"))
        label.set_fontsize(9)


def _stand_in(name: str) -> str:
    return _COLOURS[name][0]


def _finish(drawn: str, *, standalone: bool) -> str:
    """The element alone, in the page's font and colours."""
    svg = drawn[drawn.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font: ([0-9.]+)px [^;\"]*", r"font: \1px system-ui, sans-serif", svg)
    svg = re.sub(r' width="[^"]*pt"', "", re.sub(r' height="[^"]*pt"', "", svg, count=1), count=1)
    if standalone:
        return '<?xml version="1.0" encoding="utf-8"?>\n' + _in_plain_colours(svg)
    for name, (stand_in, _, _) in _COLOURS.items():
        svg = svg.replace(stand_in, f"var(--{name})")
    return svg


def _in_plain_colours(svg: str) -> str:
    """The colours on light, and rules for dark: not all that draw such a file know CSS variables."""
    rules = ""
    for light, dark in {light: dark for _, light, dark in _COLOURS.values()}.items():
        for part in ("fill", "stroke"):
            rules += f'[style*="{part}: {light}"]{{{part}:{dark} !important}}'
    for stand_in, light, _ in _COLOURS.values():
        svg = svg.replace(stand_in, light)
    return svg.replace(">", f"><style>@media (prefers-color-scheme:dark){{{rules}}}</style>", 1)
