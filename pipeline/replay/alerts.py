"""What an alert was at an instant: its story, told from its citizen's sightings and from what officers did.

Pure. Sightings change it as they do on the desk: a worse score raises its severity, a
good one lets it recover, a bad one after that opens it again. Of what was seen before
the sightings that were read, severity, worst score and count are believed as they are
now; what a later sighting said is not shown before its time, but left open.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np

from pipeline.desk.alerts import OPEN, RECOVERED, RESOLVED
from pipeline.desk.silences import Silence, quiet_until
from pipeline.desk.times import to_microseconds, to_time
from pipeline.rules import SEVERITIES, ScoreRule, is_bad

Row = Mapping[str, Any]
#: What happened, what is different from then on, and who did it.
_News = tuple[str, dict[str, Any], str | None]
#: What becomes of an alert that stands as given; None: nothing.
_Event = Callable[[Row], _News | None]
#: A silence, and when it was over, microseconds since 1970.
Silenced = tuple[Silence, int]
#: The level that a score reaches and its threshold; "good" if it is good again, None if it is neither.
_Grade = tuple[str, float] | None

_UNTOUCHED: dict[str, Any] = {
    "state": OPEN,
    "recovered_at": None,
    "acknowledged_at": None,
    "acknowledged_by": None,
    "assigned_to": None,
    "resolved_at": None,
    "resolved_by": None,
    "reason": None,
    "escalated_at": None,
    "silenced_until": None,
    "comments": 0,
}
#: What only the newest bad sighting of all is known to have had around it.
_OF_LATEST: dict[str, Any] = {"words": [], "others": []}
#: What an alert says of its newest bad sighting, before that was seen.
_NOT_SEEN: dict[str, Any] = dict.fromkeys(("score", "peacescore", "action", "lat", "lon", "drone_id")) | _OF_LATEST


@dataclass(frozen=True)
class Seen:
    """A sighting of an alerted citizen; ``time`` in microseconds since 1970."""

    time: int
    score: float
    peacescore: float
    action: str | None
    lat: float | None
    lon: float | None
    drone_id: str | None


@dataclass(frozen=True)
class Turn:
    """From ``at`` (microseconds since 1970) on the alert had these ``values``; ``what`` happened, ``by`` whom."""

    at: int
    what: str
    values: Mapping[str, Any]
    by: str | None = None


@dataclass(frozen=True)
class Story:
    """One alert, in the order of what happened to it; the first turn is that it was opened."""

    alert: Row
    turns: tuple[Turn, ...]
    times: tuple[int, ...]

    def place(self, at_us: int) -> int:
        """How many turns it had taken by an instant; 0: it was not there yet."""
        return bisect_right(self.times, at_us)

    def at(self, at_us: int) -> dict[str, Any] | None:
        """The alert as it stood, with all columns that readers get; None before it was opened."""
        place = self.place(at_us)
        return None if place == 0 else {**self.alert, **self.turns[place - 1].values}


def tell(
    alert: Row, seen: Iterable[Seen], deeds: Iterable[Row], rule: ScoreRule, silences: Iterable[Silenced] = ()
) -> Story:
    """The story of an alert as readers get it, from sightings of its citizen, its rows of the audit, and silences.

    Of the silences, whosever they are, those count that concern it.
    """
    opened = to_microseconds(alert["first_time"])
    sightings = sorted((one for one in seen if one.time >= opened), key=lambda one: one.time)
    graded = list(zip(sightings, _grades(sightings, rule), strict=True))
    newest, values = _newest(alert), dict(_UNTOUCHED)
    if sightings and sightings[0].time == opened:
        values |= _first(alert, *graded.pop(0))
    elif newest.time > opened:
        values |= _NOT_SEEN | {"time": alert["first_time"]}
        graded = [pair for pair in graded if pair[0].time != newest.time]
        graded.append((newest, (alert["severity"], alert["threshold"])))
    ours = [one for one in silences if one[0].concerns(alert["rule"], alert["citizen_key"])]
    values |= {"silenced_until": _quiet(alert, ours, opened, values)}
    turns = [Turn(opened, "opened", values)]
    events = [(one.time, 0, _sighting(alert, one, grade)) for one, grade in graded]
    if alert["recovered_at"] is not None:
        events.append((to_microseconds(alert["recovered_at"]), 1, _recovery(alert["recovered_at"])))
    for deed in deeds:
        at = max(opened, to_microseconds(deed["at"]))
        events.append((at, 2, _deed(deed, partial(_quiet, alert, ours, at))))
    for silence, over in ours:
        for at, what, by in ((silence.started_at, "silenced", silence.started_by), (over, "silence over", None)):
            if at > opened:
                events.append((at, 3, _silence(what, by, partial(_quiet, alert, ours, at))))
    for at, _kind, happen in sorted(events, key=lambda event: event[:2]):
        if (news := happen(turns[-1].values)) is not None:
            turns.append(Turn(at, news[0], {**turns[-1].values, **news[1]}, news[2]))
    return Story(alert, tuple(turns), tuple(turn.at for turn in turns))


def _grades(sightings: Sequence[Seen], rule: ScoreRule) -> list[_Grade]:
    """What each score means to the rule."""
    scores = np.array([one.score for one in sightings], np.float64)
    grades: list[_Grade] = [None] * len(scores)
    # The worst level comes first, and so last here.
    for level in (("good", *rule.recovered), *reversed(rule.levels)):
        for at in np.flatnonzero(is_bad(replace(rule, levels=(level,)), scores)).tolist():
            grades[at] = level[0], level[2]
    return grades


def _first(alert: Row, one: Seen, grade: _Grade) -> dict[str, Any]:
    # Rules may have changed since: then it was not bad by those that there are now.
    known = grade if grade and grade[0] != "good" else (alert["severity"], alert["threshold"])
    worst = {"severity": known[0], "threshold": known[1], "worst_peacescore": one.peacescore}
    return _of(alert, one) | worst | {"findings": 1}


def _newest(alert: Row) -> Seen:
    """The newest bad sighting of all, which the alert tells of."""
    values = (alert[name] for name in ("score", "peacescore", "action", "lat", "lon", "drone_id"))
    return Seen(to_microseconds(alert["time"]), *values)


def _of(alert: Row, one: Seen) -> dict[str, Any]:
    """What a bad sighting says of an alert."""
    latest = one.time == to_microseconds(alert["time"])
    return {
        "time": to_time(one.time),
        "score": one.score,
        "peacescore": one.peacescore,
        "action": one.action,
        "lat": one.lat,
        "lon": one.lon,
        "drone_id": one.drone_id,
        **({name: alert[name] for name in _OF_LATEST} if latest else _OF_LATEST),
    }


def _sighting(alert: Row, one: Seen, grade: _Grade) -> _Event:
    def happen(now: Row) -> _News | None:
        if now["state"] == RESOLVED or grade is None:
            return None
        if grade[0] == "good":
            return _recovery(to_time(one.time))(now)
        known = {**alert, **now}
        values = _of(alert, one) | {
            "severity": min(known["severity"], grade[0], key=SEVERITIES.index),
            "threshold": grade[1],
            "worst_peacescore": float(np.fmin(known["worst_peacescore"], one.peacescore)),
            "findings": min(known["findings"] + 1, alert["findings"]),
            "state": OPEN,
            "recovered_at": None,
        }
        return "bad again" if now["state"] == RECOVERED else "seen again", values, None

    return happen


def _recovery(at: datetime | None) -> _Event:
    def happen(now: Row) -> _News | None:
        return ("recovered", {"state": RECOVERED, "recovered_at": at}, None) if now["state"] == OPEN else None

    return happen


def _quiet(alert: Row, silences: Iterable[Silenced], at: int, now: Row) -> datetime | None:
    """Until when an alert that stands as given is silenced; where its place is open, its last one counts."""
    holding = [silence for silence, over in silences if silence.started_at <= at < over]
    place = alert if now.get("lat") is None else now
    return to_time(quiet_until(holding, alert["rule"], alert["citizen_key"], place["lat"], place["lon"]))


def _silence(what: str, by: str | None, until: Callable[[Row], datetime | None]) -> _Event:
    """A silence began, or was over; if an officer did that to this alert, it is told already."""

    def happen(now: Row) -> _News | None:
        changed = now["state"] != RESOLVED and until(now) != now["silenced_until"]
        return (what, {"silenced_until": until(now)}, by) if changed else None

    return happen


def _deed(deed: Row, until: Callable[[Row], datetime | None]) -> _Event:
    """What an officer, or the desk itself, did: see `pipeline.desk.work`. ``until`` says how long it is silenced."""
    at, by, what, details = deed["at"], deed["user_name"], deed["action"], deed["details"]
    taken = {"acknowledged_at": at, "acknowledged_by": by}

    def happen(now: Row) -> _News | None:
        untaken = now["acknowledged_at"] is None
        values: dict[str, dict[str, Any]] = {
            "acknowledged": taken | {"assigned_to": by},
            "assigned": {"assigned_to": details.get("to")},
            "commented": {"comments": now["comments"] + 1},
            "resolved": {
                **(taken | {"assigned_to": now["assigned_to"] or by} if untaken else {}),
                **{"state": RESOLVED, "resolved_at": at, "resolved_by": by, "reason": details.get("reason")},
                "silenced_until": None,
            },
            "reopened": {"state": OPEN, **dict.fromkeys(("recovered_at", "resolved_at", "resolved_by", "reason"))},
            **{done: {"silenced_until": until(now)} for done in ("silenced", "lifted", "silence broken")},
            "escalated": {"escalated_at": at},
        }
        return (what, values[what], by) if what in values else None

    return happen
