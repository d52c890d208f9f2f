"""A notebook about one alert: cells that open the archive where the page looked. Pure.

It holds keys, places and times, and no name: who opens it works without names too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dashboards.alert.look import NEAR_M, NEAR_S, TRACK, window

_OPEN = """\
import os
from datetime import datetime, timedelta

import holoviews as hv

from pipeline.lake import context
from pipeline.lake.tables import Lake
from pipeline.workspace import Workspace

hv.extension("bokeh")
lake = Lake(Workspace.open(os.environ["PEACEWATCH_WORKSPACE"]).lake_path)"""

_SCORES = """\
scores = context.scores(lake, citizen_key, begin, end)
line = hv.Curve(scores.to_pandas(), "time", "score") * hv.HLine(threshold)
line.opts(hv.opts.Curve(width=800, height=280, color="#566473"), hv.opts.HLine(color="#d55e00"))"""

_NEAR = """\
near = context.near(lake, *place, time, within_m, within_s, besides=citizen_key)
near"""

_WORDS = "context.words(lake, *place, time, within_m, within_s)"

_TRACK = """\
track = context.track(lake, drone_id, time - around, time + around)
path = hv.Path(track.to_pandas(), ["lon", "lat"]) * hv.Points([place[::-1]], ["lon", "lat"])
path.opts(hv.opts.Path(width=500, height=400), hv.opts.Points(size=10, color="#d55e00"))"""


def notebook_name(alert_id: str) -> str:
    """The name of its file."""
    return f"alert-{alert_id}.ipynb"


def notebook(alert: Mapping[str, Any]) -> bytes:
    """The file of a notebook (nbformat 4.5) about an alert of the desk; the same alert gives the same bytes."""
    begin, end = window(dict(alert))
    values = {
        "citizen_key": alert["citizen_key"],
        "threshold": alert["threshold"],
        "drone_id": alert["drone_id"],
        "place": (alert["lat"], alert["lon"]),
        "within_m": NEAR_M,
        "within_s": NEAR_S,
    }
    about = [f"{name} = {value!r}" for name, value in values.items()]
    moments = (("time", alert["time"]), ("begin", begin), ("end", end))
    about += [f'{name} = datetime.fromisoformat("{moment.isoformat()}")' for name, moment in moments]
    about.append(f"around = timedelta(seconds={TRACK.total_seconds():g})")
    cells = [
        _markdown(
            f"# Alert {alert['alert_id']}\n\n"
            "What the archive knows around it, without names. `peacewatch lab` sets `PEACEWATCH_WORKSPACE`."
        ),
        _code(_OPEN),
        _code("\n".join(about)),
        _markdown("## The citizen's scores, and the threshold"),
        _code(_SCORES),
    ]
    if None not in values["place"]:
        cells += [_markdown("## Who was near, the nearest first"), _code(_NEAR), _markdown("## Words around")]
        cells.append(_code(_WORDS))
        if alert["drone_id"] is not None:
            cells += [_markdown("## The drone's way"), _code(_TRACK)]
    book = {
        "cells": [cell | {"id": f"cell-{number:02}"} for number, cell in enumerate(cells)],
        "metadata": {
            "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(book, indent=1, ensure_ascii=False).encode() + b"\n"


def _markdown(text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": text.splitlines(keepends=True)}


def _code(text: str) -> dict[str, Any]:
    source = text.splitlines(keepends=True)
    return {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": source}
