"""What the archive knows around an alert: a citizen's scores, who was near, a drone's way, words.

Reads committed files only, and of those only the ones that can hold rows of the time
that is asked for; every question is bounded in time. Times are datetimes with a zone,
degrees are WGS 84, distances metres on the ground. Each function gives an empty frame
where nothing was archived yet, and raises `StorageError` if the archive cannot be
read and `UsageError` for a window that ends before it begins. It knows nothing of desks
and audits: whoever calls `names` says why.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from datetime import datetime, timedelta

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import StorageError, UsageError
from pipeline.lake.tables import Lake
from pipeline.schema import TABLES, TIME

_RADIUS_M = 6_371_008.8
_M_PER_DEGREE = math.radians(1) * _RADIUS_M

_SCORES = ["time", "score", "peacescore", "action", "lat", "lon", "drone_id"]
_TRACK = ["time", "lat", "lon", "battery", "status"]


def scores(lake: Lake, citizen_key: int, begin: datetime, end: datetime) -> pl.DataFrame:
    """Sightings of a citizen from ``begin`` until before ``end``, in order of time.

    Columns: time, score (the force's scale), peacescore, action, lat, lon, drone_id.
    """
    rows = _read(lake, "sightings", _SCORES, begin, end, pc.field("citizen_key") == citizen_key)
    return rows.sort("time")


def near(
    lake: Lake,
    lat: float,
    lon: float,
    time: datetime,
    within_m: float = 150,
    within_s: float = 300,
    *,
    besides: int | None = None,
    limit: int = 50,
) -> pl.DataFrame:
    """Citizens seen around a place and a time, each once, the nearest first.

    Columns: citizen_key, distance_m, peacescore, time, lat, lon: those of the nearest sighting
    of each. ``besides`` is a citizen to leave out.
    """
    columns = ["citizen_key", "peacescore", "time", "lat", "lon"]
    seen = _around(lake, "sightings", columns, lat, lon, time, within_m, within_s)
    if besides is not None:
        seen = seen.filter(pl.col("citizen_key") != besides)
    nearest = seen.sort("distance_m", "time", "citizen_key").unique("citizen_key", keep="first", maintain_order=True)
    return nearest.select("citizen_key", "distance_m", "peacescore", "time", "lat", "lon").head(limit)


def track(lake: Lake, drone_id: str, begin: datetime, end: datetime) -> pl.DataFrame:
    """Where a drone was from ``begin`` until before ``end``, in order of time.

    Columns: time, lat, lon, battery (percent), status.
    """
    return _read(lake, "reports", _TRACK, begin, end, pc.field("drone_id") == drone_id).sort("time")


def words(
    lake: Lake,
    lat: float,
    lon: float,
    time: datetime,
    within_m: float = 150,
    within_s: float = 300,
    *,
    limit: int = 30,
) -> pl.DataFrame:
    """Words heard around a place and a time, those of most reports first.

    Columns: word, reports (how many heard it).
    """
    heard = _around(lake, "reports", ["time", "lat", "lon", "words"], lat, lon, time, within_m, within_s)
    word = heard.select(pl.col("words").list.unique().alias("word")).explode("word").drop_nulls()
    counts = word.group_by("word").agg(pl.len().cast(pl.Int64).alias("reports"))
    return counts.sort(["reports", "word"], descending=[True, False]).head(limit)


def names(lake: Lake, keys: Collection[int]) -> pl.DataFrame:
    """Who citizens are, one row each, for those that are known. Restricted: audit who asks, and why.

    Columns: citizen_key, citizen_id, citizen_names (all that came with that id, sorted).
    """
    wanted = pc.field("citizen_key").isin(pa.array(sorted(set(keys)), pa.int64()))
    rows = _rows(lake, "identities", ["citizen_key", "citizen_id", "citizen_name"], wanted)
    known = pl.col("citizen_name").drop_nulls().unique().sort().alias("citizen_names")
    return rows.group_by("citizen_key").agg(pl.col("citizen_id").drop_nulls().min(), known).sort("citizen_key")


def _around(
    lake: Lake,
    table: str,
    columns: list[str],
    lat: float,
    lon: float,
    time: datetime,
    within_m: float,
    within_s: float,
) -> pl.DataFrame:
    """Rows within a distance and a time, with their ``distance_m``; both ends included."""
    reach = within_m / _M_PER_DEGREE * 1.001
    spread = reach / max(math.cos(math.radians(lat)), 1e-6)
    where = (pc.field("lat") >= lat - reach) & (pc.field("lat") <= lat + reach)
    if abs(lon) + spread < 180:  # else it reaches over the date line
        where &= (pc.field("lon") >= lon - spread) & (pc.field("lon") <= lon + spread)
    half = timedelta(seconds=within_s)
    rows = _read(lake, table, columns, time - half, time + half + timedelta(microseconds=1), where)
    return rows.with_columns(_distance(lat, lon)).filter(pl.col("distance_m") <= within_m)


def _distance(lat: float, lon: float) -> pl.Expr:
    """Great-circle distance of a row's place, metres (haversine)."""
    d_lat = (pl.col("lat").radians() - math.radians(lat)) / 2
    d_lon = (pl.col("lon").radians() - math.radians(lon)) / 2
    square = d_lat.sin().pow(2) + d_lon.sin().pow(2) * pl.col("lat").radians().cos() * math.cos(math.radians(lat))
    return (2 * _RADIUS_M * square.sqrt().clip(0, 1).arcsin()).alias("distance_m")


def _read(
    lake: Lake, table: str, columns: list[str], begin: datetime, end: datetime, where: pc.Expression
) -> pl.DataFrame:
    """Rows with an event time from ``begin`` until before ``end`` that fit ``where``."""
    if end < begin:
        raise UsageError(f"the window from {begin} to {end} ends before it begins: swap the two")
    first, stop = pa.scalar(begin, TIME), pa.scalar(end, TIME)
    in_time = (pc.field("time") >= first) & (pc.field("time") < stop)
    return _rows(lake, table, columns, in_time & where, (first, stop))


def _rows(
    lake: Lake,
    table: str,
    columns: list[str],
    where: pc.Expression,
    window: tuple[pa.Scalar, pa.Scalar] | None = None,
) -> pl.DataFrame:
    schema = pa.schema([TABLES[table].field(column) for column in columns]).remove_metadata()
    parts = [schema.empty_table()]
    try:
        for path in _files(lake, table, window) if lake.exists() else []:
            rows = pq.read_table(lake.path / table / path, columns=columns, filters=where, partitioning=None)
            parts.append(rows.select(columns).cast(schema))
    except (OSError, pa.ArrowException) as error:
        raise StorageError(f"{lake.path / table} cannot be read ({error}): run `peacewatch verify`") from error
    return pl.DataFrame(pa.concat_tables(parts))


def _files(lake: Lake, table: str, window: tuple[pa.Scalar, pa.Scalar] | None) -> list[str]:
    """Committed files that can hold rows of a window; those whose times are not known are among them."""
    files = pa.table(lake.table(table).get_add_actions(flatten=True))
    if window is not None and files.num_rows and "min.time" in files.column_names:
        overlap = pc.and_(pc.less(files["min.time"], window[1]), pc.greater_equal(files["max.time"], window[0]))
        files = files.filter(pc.fill_null(overlap, True))
    return list(files["path"].to_pylist()) if files.num_rows else []
