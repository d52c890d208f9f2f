"""All answers about one period at once, from one version of the archive and one look at the desk.

`Question` says what is asked, and compares equal when the same is asked again; `study`
answers it. Memory is bounded by the city and the period, not by the number of reports.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import polars as pl

from pipeline.analysis.archive import EVER, Archive, Span
from pipeline.analysis.desk import read_alerts
from pipeline.analysis.handling import response_by_hour, response_times, wrong_person
from pipeline.analysis.subjects import repeat_subjects
from pipeline.analysis.tally import COUNTS, by_district, district, step_of, tally, trend, unit_of, weekday_hour
from pipeline.analysis.words import words_around
from pipeline.desk.database import Database
from pipeline.districts import Districts
from pipeline.errors import StorageError, UsageError
from pipeline.rules import rule_from_settings
from pipeline.workspace import Workspace


@dataclass(frozen=True)
class Question:
    """What is asked: a period of event time, and only one district (its name) or severity if given.

    A severity narrows down alerts and what comes of them, not sightings.
    """

    span: Span = EVER
    district: str | None = None
    severity: str | None = None


@dataclass(frozen=True)
class Study:
    """The answers; frames as their functions describe them.

    ``at`` is the moment that waiting alerts are counted until, ``extent`` the whole period
    of the archive, ``part`` what it has of the one asked for (each None if nothing), ``unit``
    what the trend is cut into (hour or day), ``totals`` the sums of `COUNTS`.
    """

    question: Question
    at: datetime
    extent: Span | None
    part: Span | None
    unit: str
    totals: dict[str, int]
    week: pl.DataFrame
    districts: pl.DataFrame
    trend: pl.DataFrame
    words: pl.DataFrame
    subjects: pl.DataFrame
    responses: pl.DataFrame
    responses_by_hour: pl.DataFrame
    wrong_by_drone: pl.DataFrame
    wrong_by_rule: pl.DataFrame


def study(workspace: Workspace, question: Question, archive: Archive, now: datetime | None = None) -> Study:
    """Answer a question. Raises `StorageError` if the desk or the archive cannot be read."""
    try:
        return _study(workspace, question, archive, now or datetime.now(UTC))
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise StorageError(f"the archive cannot be read ({reason}): `peacewatch verify` finds what is torn") from error


def _study(workspace: Workspace, question: Question, archive: Archive, at: datetime) -> Study:
    settings = workspace.settings
    zone, rule, places = ZoneInfo(settings.force.timezone), rule_from_settings(settings.rules), Districts.of(workspace)
    extent = archive.extent
    part = question.span & extent if extent else Span(at, at)
    step = step_of(zone, part)

    with closing(Database(workspace.desk_url)) as database:
        alerts = _of_severity(read_alerts(database, question.span), question)
    alerts = _of_district(alerts.lazy(), question, places).collect()
    reports = _of_district(
        archive.scan("reports", ["report_id", "time", "lat", "lon", "words"], part), question, places
    )
    sightings = _of_district(archive.scan("sightings", _SIGHTING, part), question, places)
    archived = alerts.filter(part.holds(pl.col("first_time")))

    counted = tally(reports, sightings, archived, rule, places, step)
    return Study(
        question=question,
        at=at,
        extent=extent,
        part=part if part else None,
        unit=unit_of(part),
        totals={name: int(counted[name].sum()) for name in COUNTS},
        week=weekday_hour(counted, zone, part, step),
        districts=by_district(counted, places),
        trend=trend(counted, zone, part, step),
        words=words_around(reports, sightings, rule),
        subjects=repeat_subjects(sightings, archived, rule, zone),
        responses=response_times(alerts, settings.work, at),
        responses_by_hour=response_by_hour(alerts, settings.work, zone, at),
        wrong_by_drone=wrong_person(alerts, "drone_id"),
        wrong_by_rule=wrong_person(alerts, "rule"),
    )


_SIGHTING = ["report_id", "citizen_key", "time", "lat", "lon", "score", "peacescore"]


def _of_severity(alerts: pl.DataFrame, question: Question) -> pl.DataFrame:
    return alerts if question.severity is None else alerts.filter(pl.col("severity") == question.severity)


def _of_district(rows: pl.LazyFrame, question: Question, places: Districts) -> pl.LazyFrame:
    if question.district is None:
        return rows
    if question.district not in places.names:
        raise UsageError(f"there is no district {question.district!r}: use one of {', '.join(places.names)}")
    return rows.filter(district(places) == places.names.index(question.district))
