"""One look at an alert: what the desk and the archive know of it and around it.

Promises: nothing is read of the archive, and nothing returned, before the look is in
the audit; the names of those who were near only after it is there how many they are.
Blocks: for a thread. What is returned is as the drones sent it, to be shown as text.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from dashboards.board import row_of
from dashboards.visit import Visit
from pipeline.desk.database import Database
from pipeline.desk.earlier import one_alert, other_alerts
from pipeline.desk.roles import Right
from pipeline.errors import PeacewatchError
from pipeline.lake import context
from pipeline.lake.tables import Lake

#: How much of the citizen's scores is shown before the alert and after its last bad score.
BEFORE, AFTER = timedelta(hours=6), timedelta(hours=2)
#: An alert that lasts longer is shown from so long before its end.
LONGEST = timedelta(hours=24)
#: How much of the drone's way is shown, on each side.
TRACK = timedelta(minutes=10)
NEAR_M, NEAR_S = 150.0, 300.0

LOOKED = "looked at an alert"
SAW_NEAR = "looked at who was near"
MADE_NOTEBOOK = "made a notebook of an alert"

Alert = dict[str, Any]


class Unknown(PeacewatchError):
    """There is no such alert."""


@dataclass(frozen=True)
class Around:
    """What the archive knows. ``near`` has names; ``trouble`` says why the rest is missing, if it is."""

    scores: pl.DataFrame = field(default_factory=pl.DataFrame)
    track: pl.DataFrame = field(default_factory=pl.DataFrame)
    words: list[tuple[str, int]] = field(default_factory=list)
    near: list[dict[str, Any]] = field(default_factory=list)
    trouble: str | None = None


@dataclass(frozen=True)
class Looked:
    """All that the page shows."""

    alert: Alert
    around: Around
    others: list[Alert]
    trail: list[dict[str, Any]]


def find(visit: Visit, alert_id: str) -> Alert:
    """An alert of the desk, not to be shown yet; `Unknown` if there is none."""
    with closing(Database(visit.site.workspace.desk_url)) as database, database.read() as connection:
        alert = one_alert(connection, alert_id)
    if alert is None:
        raise Unknown("There is no such alert: the address is incomplete, or the alert is of another force.")
    return alert


def look(visit: Visit, alert_id: str, purpose: str) -> Looked:
    """Write to the audit that this visit looks, then read. Raises `Unknown`, `Forbidden` or `StorageError`."""
    alert = find(visit, alert_id)
    who = {"alert_id": alert_id, "citizen_key": alert["citizen_key"]}
    visit.look(Right.SEE_PEOPLE, LOOKED, **who, details={"purpose": purpose})
    around, people = _around(visit, alert)
    seen = {"purpose": purpose, "people": len(people) or len(alert["others"]), "citizen_keys": people}
    visit.look(Right.SEE_PEOPLE, SAW_NEAR, **who, details=seen)
    with closing(Database(visit.site.workspace.desk_url)) as database, database.read() as connection:
        others = other_alerts(connection, alert["citizen_key"], besides=alert_id)
    return Looked(alert, around, others, visit.site.office.cases.history(alert_id)[::-1])


def window(alert: Alert) -> tuple[datetime, datetime]:
    """The time of which scores are shown."""
    return max(alert["first_time"], alert["time"] - LONGEST) - BEFORE, alert["time"] + AFTER


def _around(visit: Visit, alert: Alert) -> tuple[Around, list[int]]:
    """What the archive knows, and the keys of those who were near. A broken archive leaves what the desk knows."""
    lake = Lake(visit.site.workspace.lake_path)
    key, at, place = alert["citizen_key"], alert["time"], (alert["lat"], alert["lon"])
    try:
        scores = context.scores(lake, key, *window(alert))
        track, words, near = pl.DataFrame(), pl.DataFrame(), pl.DataFrame()
        if alert["drone_id"] is not None:
            track = context.track(lake, alert["drone_id"], at - TRACK, at + TRACK)
        if None not in place:
            words = context.words(lake, *place, at, NEAR_M, NEAR_S)
            near = context.near(lake, *place, at, NEAR_M, NEAR_S, besides=key)
        people = near["citizen_key"].to_list() if len(near) else []
        known = {row["citizen_key"]: row for row in context.names(lake, people).to_dicts()} if people else {}
    except PeacewatchError as error:
        return Around(trouble=f"Only what the desk knows is shown: {error.message}"), []
    trouble = None if len(scores) else "The archive has nothing of this yet: reload in a few seconds."
    persons = [_person(row, known.get(row["citizen_key"], {})) for row in near.to_dicts()]
    return Around(scores, track, list(words.rows()), persons, trouble), people


def _person(row: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    called = list(known.get("citizen_names") or [])
    return {
        "name": called[0] if called else known.get("citizen_id") or "Unknown",
        "also": called[1:],
        "citizen_id": known.get("citizen_id"),
        **{name: row[name] for name in ("distance_m", "peacescore", "lat", "lon")},
        "time": _milliseconds(row["time"]),
    }


def as_message(looked: Looked) -> dict[str, Any]:
    """What the browser is told: plain JSON, times in milliseconds since the epoch."""
    alert, around = looked.alert, looked.around
    case = {name: alert[name] for name in ("acknowledged_by", "assigned_to", "resolved_by", "reason")}
    times = {name: _milliseconds(alert[name]) for name in ("acknowledged_at", "resolved_at", "recovered_at")}
    last = around.track.to_dicts()[-1] if len(around.track) else {}
    return {
        "alert": row_of(alert) | case | times,
        "trouble": around.trouble,
        "scores": len(around.scores),
        "drone": {name: last.get(name) for name in ("battery", "status")},
        "near": around.near,
        "words": around.words,
        "others": [row_of(other) for other in looked.others],
        **_story(looked.trail),
    }


def _story(trail: list[dict[str, Any]]) -> dict[str, Any]:
    """What was done to an alert, newest first, and its looks counted."""
    looks = [row for row in trail if row["action"] == LOOKED]
    done = [row for row in trail if row["action"] not in (LOOKED, SAW_NEAR)]
    last = looks[0] if looks else None
    return {
        "done": [{"at": _milliseconds(row["at"]), "who": row["user_name"], "what": row["action"], "note": row["note"],
                  "details": {name: str(value) for name, value in row["details"].items()}} for row in done],
        "looks": {"count": len(looks), "people": len({row["user_name"] for row in looks}),
                  "who": last and last["user_name"], "at": last and _milliseconds(last["at"])},
    }  # fmt: skip


def _milliseconds(time: datetime | None) -> int | None:
    return None if time is None else round(time.timestamp() * 1000)
