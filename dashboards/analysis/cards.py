"""The cards of the page: what each is called, how it is read, and what it says when there is too little. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import polars as pl

from dashboards.analysis.choices import MEASURES
from dashboards.analysis.tables import UNKNOWN, duration, percent
from pipeline.analysis.study import Study

#: Less of an hour than this says nothing of a mean hour.
_LEAST_H = 0.25
#: The measure that is a share, not a count.
SHARE = "agitated_share"

_NO_ALERTS = "No alert in this period."


@dataclass(frozen=True)
class Options:
    """How charts are drawn: a measure of `MEASURES`, and a clock."""

    measure: str = "alerts"
    clock: str = "acknowledge"


#: What each option may be, in the words of the page.
CHOICES: dict[str, dict[str, str]] = {
    "measure": MEASURES,
    "clock": {"acknowledge": "To acknowledge", "resolve": "To resolve"},
}


@dataclass(frozen=True)
class Card:
    """A card: its ``note`` says how to read it, ``empty`` why there is nothing to be seen, or ""."""

    title: str
    note: Callable[[Study, Options], str]
    empty: Callable[[Study, Options], str]


def _no_reports(study: Study, _options: Options) -> str:
    return "" if study.totals["reports"] else "No report in this period."


def per_hour(study: Study, measure: str) -> pl.Series:
    """What a cell of the week shows: a share, or the count of a mean hour; null where there is too little."""
    week = study.week
    if measure == SHARE:
        return week[measure]
    return week.select(pl.when(pl.col("hours") >= _LEAST_H).then(pl.col(measure) / pl.col("hours")))[measure]


def value_text(value: float, measure: str) -> str:
    """A value of a measure, as it is shown."""
    return percent(value) if measure == SHARE else f"{value:,.{0 if value >= 100 else 1}f}"


def _strongest(values: pl.Series, measure: str) -> str:
    most = values.max()
    return f" The strongest colour stands for {value_text(most, measure)}." if isinstance(most, int | float) else ""


def _week_note(study: Study, options: Options) -> str:
    measure, hours = options.measure, study.week["hours"].sum()
    mean = "" if measure == SHARE else " in a mean hour"
    blank = (
        "" if study.week["hours"].min() else f" The period covers {hours:,.0f} hours: the rest of the week is blank."
    )
    return f"{MEASURES[measure]}{mean}.{_strongest(per_hour(study, measure), measure)}{blank}"


def _district_note(study: Study, options: Options) -> str:
    measure, outside = options.measure, study.districts.row(-1, named=True)["reports"]
    left_out = f" {outside:,} reports came from outside all districts." if outside else ""
    shown = study.districts[measure].head(study.districts.height - 1)
    return f"{MEASURES[measure]}.{_strongest(shown.cast(pl.Float64), measure)}{left_out}"


def _no_words(study: Study, _options: Options) -> str:
    if study.words.is_empty():
        return "Too few words were heard in this period: each must be in 20 reports."
    if not study.words["agitated_reports"].sum():
        return "No words were heard around an agitated sighting in this period."
    if surest_words(study).is_empty():
        return "No word was heard surely more often around agitation than elsewhere. The table has them all."
    return ""


def surest_words(study: Study, most: int = 15) -> pl.DataFrame:
    """The words that are heard more often around agitation even if the dice fell badly."""
    return study.words.filter(pl.col("lift_low") > 1).head(most)


def _nothing_done(study: Study, options: Options) -> str:
    rows = study.responses_by_hour.filter(clock=options.clock)
    if not rows["alerts"].sum():
        return _NO_ALERTS
    if not rows["done"].sum():
        return f"None of {rows['alerts'].sum():,} alerts was {options.clock}d yet."
    return ""


def _wrong_note(_study: Study, _options: Options) -> str:
    return (
        "Resolved as “wrong person”, of all resolved. The line holds the true share, 95 % sure; the surest come first."
    )


def _none_resolved(study: Study, _options: Options) -> str:
    if study.wrong_by_rule["resolved"].sum():
        return ""
    return "No alert of this period was resolved yet, so nobody has said whom it really was."


#: The cards, by the names of the frames behind them (see `Study`), in the order of the page.
CARDS: dict[str, Card] = {
    "trend": Card(
        "Trend",
        lambda study, options: (
            f"{MEASURES[options.measure]}, by the {study.unit}. "
            f"Pale: the period covers only a part of that {study.unit}."
        ),
        _no_reports,
    ),
    "week": Card("Weekday and hour", _week_note, _no_reports),
    "districts": Card("Districts", _district_note, _no_reports),
    "words": Card(
        "Words around agitation",
        lambda _study, _options: (
            "Dot: reports with an agitated sighting; ring: all others. On the right: how many times as often, at least "
            "(95 % sure, taking reports of one scene as independent)."
        ),
        _no_words,
    ),
    "subjects": Card(
        "Repeat subjects",
        lambda study, _options: (
            f"The {study.subjects.height} with most alerts, then days, then agitated sightings. Scores are 0–100."
        ),
        lambda study, _options: "Nobody was agitated in this period." if study.subjects.is_empty() else "",
    ),
    "responses": Card(
        "Response times",
        lambda _study, _options: (
            "Dot: half of the alerts are done by then; ring: nine in ten; bar: the target. Alerts that wait count "
            "as at least so long; dotted: too many wait to tell."
        ),
        lambda study, _options: "" if study.responses["alerts"].sum() else _NO_ALERTS,
    ),
    "responses_by_hour": Card(
        "Response by hour of the day",
        lambda _study, _options: (
            "By the hour in which the alert was raised. Dot: half are done by then; line: up to nine in ten; dotted: "
            "too many wait to tell."
        ),
        _nothing_done,
    ),
    "wrong_by_drone": Card("Wrong person, by drone", _wrong_note, _none_resolved),
    "wrong_by_rule": Card("Wrong person, by rule", _wrong_note, _none_resolved),
}


def counters(study: Study) -> list[dict[str, str]]:
    """The numbers above the cards: ``name``, ``title``, ``value``."""
    totals = study.totals
    agitated = percent(totals["agitated"] / totals["sightings"]) if totals["sightings"] else UNKNOWN
    median = study.responses.filter(clock="acknowledge", severity="any")["median_s"].item()
    shown = [
        ("reports", "Reports", f"{totals['reports']:,}"),
        ("sightings", "Sightings", f"{totals['sightings']:,}"),
        ("agitated", "Agitated sightings", f"{totals['agitated']:,}"),
        ("agitated_share", "Share agitated", agitated),
        ("alerts", "Alerts", f"{totals['alerts']:,}"),
        ("acknowledged", "Half acknowledged within", UNKNOWN if median is None else duration(median)),
    ]
    return [{"name": name, "title": title, "value": value} for name, title, value in shown]


def scope_text(study: Study, zone: ZoneInfo) -> str:
    """What was read, in words."""
    if study.extent is None:
        return "The archive is empty: no report has come in yet."
    first, last = (_moment(at, zone) for at in (study.extent.start, study.extent.end))
    if study.part is None:
        return f"The archive has nothing of this period: it goes from {first} to {last} ({zone.key})."
    begin, end = (_moment(at, zone) for at in (study.part.start, study.part.end))
    return f"{begin} to {end} ({zone.key}), read at {study.at.astimezone(zone):%H:%M:%S}"


def _moment(at: datetime, zone: ZoneInfo) -> str:
    return f"{at.astimezone(zone):%a %d %b %Y, %H:%M}"


def option(options: Options, name: str, value: object) -> Options:
    """The options with one changed; what is not on offer changes nothing."""
    if isinstance(value, str) and value in CHOICES.get(name, {}):
        return Options(**{**options.__dict__, name: value})
    return options
