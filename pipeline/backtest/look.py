"""How a backtest looks in a notebook. Pure: a result in, HTML out, all texts escaped, no script.

Both rules' colours can be told apart by the colour-blind, and today's bars are
outlines, so that it is never colour alone; texts take the page's colours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from pipeline.backtest.compare import CANDIDATE, GAINED, KEPT, LOST, TODAY
from pipeline.backtest.result import Backtest

_STYLE = """<style>
.pw-backtest{font-family:var(--jp-ui-font-family,system-ui,sans-serif);font-size:13px;line-height:1.45;max-width:60em}
.pw-backtest h4{font-size:15px;margin:0 0 4px;font-weight:600}
.pw-backtest p{margin:0 0 6px}
.pw-backtest .pw-soft{opacity:.75}
.pw-backtest .pw-side{display:flex;flex-wrap:wrap;gap:8px 32px;align-items:flex-start}
.pw-backtest table{border-collapse:collapse;font-size:inherit;margin:4px 0 8px;width:auto}
.pw-backtest th,.pw-backtest td{text-align:right;padding:3px 0 3px 16px;border:0;background:none;
  border-bottom:1px solid color-mix(in srgb,currentColor 16%,transparent);font-variant-numeric:tabular-nums}
.pw-backtest th:first-child,.pw-backtest td:first-child{text-align:left;padding-left:0}
.pw-backtest th{font-weight:600}
.pw-backtest svg{display:block;margin:4px 0;max-width:100%;height:auto}
.pw-backtest svg text{fill:currentColor;font-size:11px}
.pw-backtest .pw-new{fill:#e07b00}
.pw-backtest .pw-old{fill:none;stroke:currentColor;stroke-width:1.3}
</style>"""

_NAMES = {
    "alerts": "alerts",
    "incidents": "incidents (calls)",
    "incidents_per_day": "calls a day",
    "people": "people",
    "critical": "critical",
    "high": "high",
    "recovered": "recovered",
}
_BAR, _HEIGHT, _TOP, _BOTTOM = 18, 90, 16, 18


def page(result: Backtest) -> str:
    """A card: the answer, both rules in numbers, calls by hour, and what the lost alerts were."""
    rules = [("today", str(result.today)), ("candidate", str(result.candidate))]
    said = "".join(f"<p><b>{name}</b>: {escape(rule)}</p>" for name, rule in rules)
    read = f"{result.period}, {result.sightings:,} sightings in {result.seconds:,.1f} s; {result.closes}."
    changes = [(verdict, f"{result.count(verdict):,}") for verdict in (KEPT, GAINED, LOST)]
    lost = [(outcome, f"{count:,}") for outcome, count in result.lost_outcomes.items() if count]
    grids = [_grid(("", TODAY, CANDIDATE), numbers(result)), _grid(("alerts", ""), changes)]
    if lost:
        grids.append(_grid(("of the lost ones", ""), lost))
    hours = [tuple(row) for row in result.load_by_hour()[["today", "candidate"]].itertuples(index=False)]
    return (
        f"{_STYLE}<div class='pw-backtest'><h4>{escape(result.headline())}</h4>{said}"
        f"<div class='pw-side'>{''.join(grids)}</div>{_bars(hours, result.zone.key)}"
        f"<p class='pw-soft'>{escape(read)}</p></div>"
    )


def numbers(result: Backtest) -> list[tuple[str, str, str]]:
    """What is counted, of today's rule and of the candidate."""
    sides = result.sides
    return [(name, f"{sides[TODAY][key]:,}", f"{sides[CANDIDATE][key]:,}") for key, name in _NAMES.items()]


def _grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(text)}</th>" for text in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _bars(hours: Sequence[tuple[int, int]], zone: str) -> str:
    """Calls by hour of the day: the candidate's filled, today's as outlines over them."""
    most = max((max(pair) for pair in hours), default=0) or 1
    floor = _TOP + _HEIGHT
    parts = []
    for hour, (today, candidate) in enumerate(hours):
        x = hour * _BAR
        new, old = (_HEIGHT * count / most for count in (candidate, today))
        parts.append(f"<rect class='pw-new' x='{x + 2}' y='{floor - new:.1f}' width='{_BAR - 4}' height='{new:.1f}'/>")
        parts.append(f"<rect class='pw-old' x='{x + 2}' y='{floor - old:.1f}' width='{_BAR - 4}' height='{old:.1f}'/>")
        parts.append(
            f"<rect x='{x}' y='{_TOP}' width='{_BAR}' height='{_HEIGHT}' fill-opacity='0'>"
            f"<title>{hour}:00, today {today:,}, candidate {candidate:,}</title></rect>"
        )
        if hour % 3 == 0:
            parts.append(f"<text x='{x + 2}' y='{floor + 13}'>{hour}</text>")
    width, height = 24 * _BAR + 2, floor + _BOTTOM
    title = f"Calls by hour of the day ({zone}), at most {most:,}: filled the candidate, outlined today"
    size = f"width='{width}' height='{height}' viewBox='0 0 {width} {height}'"
    return (
        f"<svg role='img' aria-label='{escape(title)}' {size}>"
        f"<text x='0' y='11'>{escape(title)}</text>{''.join(parts)}</svg>"
    )
