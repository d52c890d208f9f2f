"""Small ready-made tables over the archive, with the meaning and unit of each column."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

from pipeline.analysis import Span, alerts_frame, read_alerts
from pipeline.analysis import tally as by_district
from pipeline.analysis.tally import COUNTS, OUTSIDE
from pipeline.desk.database import Database
from pipeline.districts import Districts
from pipeline.rules import rule_from_settings
from pipeline.schema import TIME
from pipeline.workbench.card import columns_of, sheet
from pipeline.workbench.engines import to_polars
from pipeline.workbench.period import Moment, moment, period
from pipeline.workbench.selection import select
from pipeline.workbench.tally import tally
from pipeline.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

#: No zone of the world is off by a finer step.
_STEP = timedelta(minutes=15)


def _field(name: str, kind: pa.DataType, about: str, unit: str = "") -> pa.Field:
    return pa.field(name, kind, metadata={"about": about, "unit": unit})


HOURLY_BY_DISTRICT = pa.schema(
    [
        _field("hour", TIME, "begin of the hour, in the force's time zone"),
        _field("district", pa.string(), f'name of the district; "{OUTSIDE}" for all other places'),
        _field("reports", pa.int64(), "reports of drones"),
        _field("sightings", pa.int64(), "citizens seen in those reports"),
        _field("agitated", pa.int64(), "sightings whose score met today's rule"),
        _field("alerts", pa.int64(), "alerts, at the time of their first bad sighting and the place first archived"),
        _field("agitated_share", pa.float64(), "agitated of all sightings; empty without any", "percent"),
    ]
)

WEEKDAY_BY_HOUR = pa.schema(
    [
        _field("weekday", pa.int64(), "day of the week in the force's time zone, 1 is Monday"),
        _field("hour", pa.int64(), "hour of the day in the force's time zone, 0 to 23"),
        _field("sightings", pa.int64(), "citizens seen then"),
        _field("peacescore_mean", pa.float64(), "mean of their peacescores", "point"),
        _field("peacescore_min", pa.float64(), "lowest of their peacescores", "point"),
    ]
)

FLEET_BY_DAY = pa.schema(
    [
        _field("date", pa.string(), "UTC day, YYYY-MM-DD"),
        _field("drone_id", pa.string(), "the drone"),
        _field("reports", pa.int64(), "its reports of that day"),
        _field("first_seen", TIME, "event time of its first report of that day", "UTC"),
        _field("last_seen", TIME, "event time of its last report of that day", "UTC"),
        _field("battery_min", pa.float64(), "lowest charge left", "percent"),
        _field("battery_mean", pa.float64(), "mean charge left", "percent"),
        _field("temperature_max", pa.float64(), "highest temperature of the drone", "degree Celsius"),
        _field(
            "silent_minutes",
            pa.float64(),
            "time between reports beyond dashboard.silent_after_s, on the day it ends; one that lasts is not counted",
            "minute",
        ),
        _field("late", pa.int64(), "reports that arrived later than reports.late_after_s"),
        _field("lateness_median", pa.float64(), "median time from event to arrival", "second"),
    ]
)


Maker = Callable[[Workspace, Span, datetime | None], pl.DataFrame]


class View:
    """Call it to make it: a small pandas frame, ready to be plotted."""

    def __init__(self, workspace: Workspace, name: str, about: str, schema: pa.Schema, make: Maker) -> None:
        self.name, self.about, self.schema = name, about, schema
        self._workspace, self._make = workspace, make

    def __call__(
        self,
        day: Moment | None = None,
        start: Moment | None = None,
        end: Moment | None = None,
        as_of: Moment | None = None,
    ) -> pd.DataFrame:
        """Of a UTC day, or from start until just before end; ``as_of`` a time, of what was archived then.

        Raises `UsageError` as the methods of `Table` do, `StorageError` if the desk is needed and cannot be read.
        """
        then = None if as_of is None else moment(as_of, "as_of")
        rows = self._make(self._workspace, period(day, start, end), then)
        return rows.select(self.schema.names).to_pandas()

    def __repr__(self) -> str:
        return f"<{self.name}: {self.about}; call it to make it>"

    def _repr_html_(self) -> str:
        return sheet(self.name, self.about, "call it to make it", columns_of(self.schema))


class Views:
    """All views of a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self.hourly_by_district = View(
            workspace,
            "hourly_by_district",
            "One row an hour and district in which anything happened: reports, sightings, agitation, alerts",
            HOURLY_BY_DISTRICT,
            hourly_by_district,
        )
        self.weekday_by_hour = View(
            workspace,
            "weekday_by_hour",
            "One row a weekday and hour: how many citizens were seen, and how peaceful they were; made by Dask",
            WEEKDAY_BY_HOUR,
            weekday_by_hour,
        )
        self.fleet_by_day = View(
            workspace,
            "fleet_by_day",
            "One row a drone and UTC day: when it was heard, battery, temperature, silence, lateness",
            FLEET_BY_DAY,
            fleet_by_day,
        )

    def __iter__(self) -> Iterator[View]:
        return iter((self.hourly_by_district, self.weekday_by_hour, self.fleet_by_day))

    def __repr__(self) -> str:
        return f"<views: {', '.join(view.name for view in self)}>"

    def _repr_html_(self) -> str:
        return "".join(view._repr_html_() for view in self)


def hourly_by_district(workspace: Workspace, span: Span, as_of: datetime | None) -> pl.DataFrame:
    """Rows of `HOURLY_BY_DISTRICT`, by the hours of the officers' analysis page.

    Which alerts there are, and where, is what was archived; when each began only the desk knows.
    """

    def read(table: str, part: Span, columns: list[str]) -> pl.LazyFrame:
        return to_polars(select(workspace.lake_path / table, table, part, columns, as_of=as_of))

    settings, places = workspace.settings, Districts.of(workspace)
    place = ["time", "lat", "lon"]
    # No change of an alert is of a time before its first bad sighting.
    changes = read("alerts", Span(start=span.start), ["alert_id", "revision", "lat", "lon"])
    opened = changes.sort("revision").group_by("alert_id").first().collect()
    with closing(Database(workspace.desk_url)) as database:
        begun = alerts_frame([]) if opened.is_empty() else read_alerts(database, span)
    counted = by_district(
        read("reports", span, place),
        read("sightings", span, [*place, "score"]),
        opened.join(begun.select("alert_id", "first_time"), "alert_id"),
        rule_from_settings(settings.rules),
        places,
        _STEP,
    )
    hour = pl.col("begin").dt.convert_time_zone(settings.force.timezone).dt.truncate("1h").alias("hour")
    names = dict(enumerate(places.names)) | {-1: OUTSIDE}
    hours = counted.group_by(hour, "district").agg(pl.col(COUNTS).sum()).sort("hour", "district")
    share = 100 * pl.col("agitated") / pl.col("sightings")
    return hours.with_columns(
        pl.col("district").replace_strict(names, return_dtype=pl.String),
        agitated_share=pl.when(pl.col("sightings") > 0).then(share),
    )


def weekday_by_hour(workspace: Workspace, span: Span, as_of: datetime | None) -> pl.DataFrame:
    """Rows of `WEEKDAY_BY_HOUR`."""
    sightings = select(workspace.lake_path / "sightings", "sightings", span, ["time", "peacescore"], as_of=as_of)
    counted = pl.from_pandas(tally(sightings, ["weekday", "hour"], ["peacescore"], workspace.settings.force.timezone))
    return counted.rename({"rows": "sightings"})


def fleet_by_day(workspace: Workspace, span: Span, as_of: datetime | None) -> pl.DataFrame:
    """Rows of `FLEET_BY_DAY`."""
    settings = workspace.settings
    columns = ["drone_id", "time", "battery", "temperature", "accepted_at", "date"]
    reports = to_polars(select(workspace.lake_path / "reports", "reports", span, columns, as_of=as_of))

    def beyond(gap: pl.Expr) -> pl.Expr:
        """Silent minutes of the time between two reports."""
        return (gap.dt.total_microseconds() / 1e6 - settings.dashboard.silent_after_s).clip(lower_bound=0) / 60

    before = pl.col("last_seen").shift().over("drone_id", order_by="date")
    lateness = (pl.col("accepted_at") - pl.col("time")).dt.total_microseconds() / 1e6
    days = reports.group_by("date", "drone_id").agg(
        reports=pl.len().cast(pl.Int64),
        first_seen=pl.col("time").min(),
        last_seen=pl.col("time").max(),
        battery_min=pl.col("battery").min(),
        battery_mean=pl.col("battery").mean(),
        temperature_max=pl.col("temperature").max(),
        silent_minutes=beyond(pl.col("time").sort().diff()).sum(),
        late=(lateness > settings.reports.late_after_s).sum().cast(pl.Int64),
        lateness_median=lateness.median(),
    )
    overnight = beyond(pl.col("first_seen") - before).fill_null(0)
    return days.collect(engine="streaming").with_columns(pl.col("silent_minutes") + overnight).sort("date", "drone_id")
