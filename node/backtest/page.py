"""A backtest's report as one HTML page that needs nothing from elsewhere, in light and dark.

The page is built as a tree of elements, so that whatever a history's author wrote is text and cannot become
markup. It holds no script, and its policy allows none, nor anything from another place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from consensus.alert import Level
from node.backtest.figures import COUNTED_LEVELS, compute_rate, compute_speed
from node.backtest.plot import colour_rules, draw_report
from node.backtest.report import ACTIONS, Alarm, Outcome, Report
from node.backtest.shown import (
    NOT_KNOWN,
    chance,
    held_up_of,
    outcome_of,
    plural,
    printable,
    rate_of,
    set_aside_of,
    share_of,
    units,
)
from node.backtest.sums import count_flagged

CONTENT_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"

_SVG: Final = "http://www.w3.org/2000/svg"

_STYLE: Final = """
:root{color-scheme:light dark;--page:#fbfbfa;--card:#ffffff;@light@}
@media (prefers-color-scheme:dark){:root{--page:#15181c;--card:#1c2026;@dark@}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:70rem;margin:0 auto;padding:2rem 1.25rem 4rem}
h1{font-size:1.5rem;margin:0 0 .25rem}
h2{font-size:1.25rem;margin:3rem 0 .25rem;overflow-wrap:anywhere}
h3{font-size:1rem;margin:2rem 0 .5rem}
p{margin:.25rem 0;max-width:60rem}
.muted{color:var(--muted)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(11rem,1fr));gap:.75rem;margin:1.25rem 0}
.tile{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.75rem 1rem}
.tile b{display:block;font-size:1.05rem;font-weight:600;overflow-wrap:anywhere}
.tile span{color:var(--muted);font-size:.85rem}
figure{margin:1rem 0;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:1rem}
figure svg{display:block;width:100%;height:auto}
figcaption{color:var(--muted);font-size:.85rem;margin-top:.5rem}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}
th{text-align:left;font-weight:600;color:var(--muted);border-bottom:1px solid var(--line);padding:.35rem
.75rem .35rem 0} td{border-bottom:1px solid var(--line);padding:.45rem .75rem .45rem
0;vertical-align:top;overflow-wrap:anywhere} .number{text-align:right;white-space:nowrap}
code{font:.85em ui-monospace,monospace;overflow-wrap:anywhere}
ul{margin:.25rem 0 0;padding-left:1.1rem}
.level{font-weight:600;white-space:nowrap}
.level .muted{font-weight:400;white-space:normal;min-width:8rem}
.alert{color:var(--alert)}.limit{color:var(--limit)}.freeze{color:var(--freeze)}.pause,.missed{color:var(--pause)}
"""


def render_page(reports: Sequence[Report]) -> bytes:
    """The page, in UTF-8. Raises `Refused` (EXTRA_MISSING) without matplotlib."""
    html = Element("html", lang="en")
    head = SubElement(html, "head")
    SubElement(head, "meta", charset="utf-8")
    SubElement(head, "meta", {"http-equiv": "Content-Security-Policy", "content": CONTENT_POLICY})
    SubElement(head, "meta", name="viewport", content="width=device-width, initial-scale=1")
    _add(head, "title", "Tocsin backtest")
    style = _STYLE.replace("@light@", colour_rules(is_dark=False)).replace(
        "@dark@", colour_rules(is_dark=True)
    )
    _add(head, "style", style)
    main = SubElement(SubElement(html, "body"), "main")
    _add(main, "h1", "Tocsin backtest")
    _add(main, "p", f"{_histories(reports)}, policy 0x{reports[0].policy_hash.hex()}", "muted")
    if len(reports) > 1:
        main.append(_sums(reports))
    for report in reports:
        main.append(_history(report))
    _add(main, "h3", "What this cannot say")
    notes = SubElement(main, "ul", {"class": "muted"})
    for note in NOT_KNOWN:
        _add(notes, "li", note)
    # Serialised as HTML, where text and attributes are escaped.
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    written: bytes = ElementTree.tostring(html, encoding="utf-8", method="html")
    return b"<!DOCTYPE html>\n" + written


def _add(parent: Element, tag: str, text: str, style: str = "") -> Element:
    child = SubElement(parent, tag, {"class": style} if style else {})
    child.text = text
    return child


def _histories(reports: Sequence[Report]) -> str:
    return "1 history" if len(reports) == 1 else f"{len(reports)} histories"


def _history(report: Report) -> Element:
    section = Element("section")
    _add(section, "h2", printable(report.history))
    _add(
        section,
        "p",
        f"{plural(report.learned, 'transaction')} learned, {units(report.scored)} scored; "
        f"set aside: {set_aside_of(report)}",
        "muted",
    )
    section.append(_tiles(report))
    section.append(_figure(report))
    section.append(_false_alarms(report))
    if report.losses:
        _add(section, "h3", "What the exploit took")
        section.append(_losses(report))
    _add(section, "h3", "Alarms")
    section.append(_alarms(report))
    if report.alarms_left_out:
        _add(section, "p", f"{plural(report.alarms_left_out, 'more alarm')} left out.", "muted")
    _add(section, "p", f"learned state 0x{report.state_hash.hex()}", "muted")
    return section


def _tiles(report: Report) -> Element:
    tiles = Element("div", {"class": "tiles"})
    style = "missed" if report.exploit is Outcome.MISSED else ""
    _tile(tiles, "exploit", outcome_of(report), style)
    if report.flag is not None:
        late = report.flag.transactions_late
        _tile(
            tiles,
            "from the first set-aside transaction to the flag",
            f"{plural(late, 'transaction')}, {plural(report.flag.blocks_late, 'block')}",
        )
        _tile(tiles, f"what it would do, at block {report.flag.block_number}", ACTIONS[report.flag.level])
    _tile(
        tiles,
        "false alarms",
        f"{report.count(Level.ALERT)} in {plural(report.benign, 'benign transaction')}",
    )
    speed = compute_speed(report)
    _tile(tiles, f"in {report.seconds:.1f} s", f"{units(speed)} transactions a second" if speed else "played")
    return tiles


def _tile(tiles: Element, name: str, said: str, style: str = "") -> None:
    tile = SubElement(tiles, "div", {"class": "tile"})
    _add(tile, "b", said, style)
    _add(tile, "span", name)


def _figure(report: Report) -> Element:
    figure = Element("figure")
    figure.append(ElementTree.fromstring(draw_report(report)))
    _add(
        figure,
        "figcaption",
        "Above: how rare each transaction is among benign ones; dashed, what agreeing evidence must come to "
        "for each level. Ringed: alarms. Below: the largest share of a holding that left in one transaction. "
        "Red: set aside as attack. Transactions without evidence or outflow are not drawn.",
    )
    return figure


def _table(columns: Sequence[tuple[str, bool]]) -> tuple[Element, Element]:
    """A table that scrolls by itself, and its body; each column with whether it holds numbers."""
    around = Element("div", {"class": "scroll"})
    table = SubElement(around, "table")
    head = SubElement(SubElement(table, "thead"), "tr")
    for name, is_number in columns:
        _add(head, "th", name, "number" if is_number else "")
    return around, SubElement(table, "tbody")


def _false_alarms(report: Report) -> Element:
    section = Element("div")
    _add(section, "h3", "False alarms, and what they would have cost")
    around, body = _table([("level or harder", False), ("benign transactions", True), ("rate", True)])
    for name, level in COUNTED_LEVELS:
        row = SubElement(body, "tr")
        _add(row, "td", name, f"level {level.name.lower()}")
        _add(row, "td", f"{report.count(level)} of {units(report.benign)}", "number")
        _add(row, "td", rate_of(compute_rate(report.count(level), report.benign)), "number")
    section.append(around)
    held = [f"{level.name.lower()}: {held_up_of(report, level)}" for level in Level if level > Level.ALERT]
    _add(section, "p", f"Held up. {'; '.join(held)}.", "muted")
    return section


def _losses(report: Report) -> Element:
    names = ("held before", "exploit took", "share", "moved after the flag", "left")
    around, body = _table([("token", False), *((name, True) for name in names)])
    for loss in report.losses:
        row = SubElement(body, "tr")
        SubElement(SubElement(row, "td"), "code").text = printable(loss.token)
        for said in (
            units(loss.held_units),
            units(loss.lost_units),
            share_of(loss),
            units(loss.moved_after_flag_units),
            units(loss.left_units),
        ):
            _add(row, "td", said, "number")
    return around


def _alarms(report: Report) -> Element:
    if not report.alarms:
        none = Element("p")
        none.text = "None."
        return none
    around, body = _table([("level", False), ("block", True), ("transaction", False), ("evidence", False)])
    for alarm in report.alarms:
        body.append(_alarm(alarm))
    return around


def _alarm(alarm: Alarm) -> Element:
    judgement = alarm.judgement
    row = Element("tr")
    level = _add(row, "td", alarm.level.name.lower(), f"level {alarm.level.name.lower()}")
    _add(level, "div", ACTIONS[alarm.level], "muted")
    _add(row, "td", str(judgement.block_number), "number")
    transaction = SubElement(row, "td")
    _add(transaction, "code", printable(judgement.transaction_hash))
    _add(transaction, "div", "set aside as attack" if alarm.is_attack else "benign: a false alarm", "muted")
    told = _add(row, "td", printable(judgement.reason))
    found = SubElement(told, "ul")
    for said in _evidence(alarm):
        _add(found, "li", said)
    return row


def _evidence(alarm: Alarm) -> Iterator[str]:
    for each in alarm.judgement.evidence:
        yield f"{each.evidence.detector} ({chance(each.p_value)}): {printable(each.evidence.summary)}"


def _sums(reports: Sequence[Report]) -> Element:
    section = Element("section")
    benign = sum(report.benign for report in reports)
    exploits = sum(report.exploit is not None for report in reports)
    tiles = SubElement(section, "div", {"class": "tiles"})
    _tile(tiles, "exploits flagged", f"{count_flagged(reports)} of {exploits}")
    for name, level in COUNTED_LEVELS:
        count = sum(report.count(level) for report in reports)
        _tile(tiles, f"{name} on {units(benign)} benign transactions", rate_of(compute_rate(count, benign)))
    columns = [("history", False), ("exploit", False), ("benign", True)]
    around, body = _table([*columns, *((name, True) for name, _ in COUNTED_LEVELS)])
    for report in reports:
        row = SubElement(body, "tr")
        _add(row, "td", printable(report.history))
        _add(row, "td", outcome_of(report))
        _add(row, "td", units(report.benign), "number")
        for _, level in COUNTED_LEVELS:
            _add(row, "td", str(report.count(level)), "number")
    section.append(around)
    return section
