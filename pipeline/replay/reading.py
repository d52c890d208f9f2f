"""Reading a window of the past: committed files, and of those only the ones that can hold rows of it.

Blocks: for a thread. Every read is bounded in time, and in rows where a window may
be of any size.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa

from pipeline.desk.database import Database
from pipeline.desk.rows import as_shown
from pipeline.desk.silences import Silence
from pipeline.desk.tables import ALERTS, AUDIT, CASES, SHOWN, SILENCES
from pipeline.desk.times import to_microseconds, to_time
from pipeline.errors import StorageError
from pipeline.lake.cube import positions_of
from pipeline.lake.heat import MINUTE_US, Ints
from pipeline.lake.tail import File, StartOver, commits_since, newest
from pipeline.replay.alerts import Row, Seen, Silenced, Story, tell
from pipeline.replay.drones import COLUMNS, Reports
from pipeline.rules import ScoreRule
from pipeline.schema import TABLES, TIME

HOUR_US = 60 * MINUTE_US
#: So long before a window an alerted citizen's sightings are followed.
_LOOKBACK_US = HOUR_US
#: More sightings than this are not read to follow the scores of those who were alerted.
_MOST_SIGHTINGS = 100_000_000
_MOST_SEEN = 50_000
_SEEN = ["citizen_key", "time", "score", "peacescore", "action", "lat", "lon", "drone_id"]
_IDS_AT_ONCE = 500
_TIDIED = "The archive was tidied meanwhile: load this window again."


@dataclass(frozen=True)
class Cast:
    """The alerts of a window. ``per_minute`` is (minute since 1970, severity, how many were opened).

    ``stories`` are the newest of them; ``more`` says whether there were others, ``followed`` whether their
    scores were: if not, they are those that they have now.
    """

    stories: tuple[Story, ...]
    per_minute: tuple[tuple[int, str, int], ...]
    more: bool
    followed: bool


def overlapping(files: Iterable[File], begin_us: int, end_us: int) -> list[File]:
    """The files that may hold rows of a time; those whose times are not known are among them."""
    return [one for one in files if one.times is None or (one.times[0] < end_us and one.times[1] >= begin_us)]


def last_hour(files: Iterable[File], now_us: int) -> tuple[int, int] | None:
    """The last hour with reports, to whole minutes; None without any. A clock that is ahead is not believed."""
    spans = [one.times for one in files if one.times is not None]
    ends = [last if last <= now_us else first for first, last in spans if first <= now_us]
    if not ends:
        return None
    end = (max(ends) // MINUTE_US + 1) * MINUTE_US
    return end - HOUR_US, end


def nearest(files: Iterable[File], begin_us: int, end_us: int) -> int | None:
    """The time of a report next to an empty window, as far as files tell without being read."""
    spans = [one.times for one in files if one.times is not None]
    edges = [last for _, last in spans if last < begin_us] + [first for first, _ in spans if first >= end_us]
    return min(edges, key=lambda edge: max(begin_us - edge, edge - end_us), default=None)


def unread(files: Sequence[File], lake: Path, cube: Mapping[str, Any]) -> list[File]:
    """The files of ``reports`` that a cube with these attributes has not taken in yet; all of them without any."""
    if not cube:
        return list(files)
    try:
        commits = list(commits_since(lake / "reports", positions_of(cube)["reports"]))
    except StartOver:
        return []  # the next refresh makes the cube anew, from all files
    return [one for commit in commits for one in commit.files]


def read_times(files: Sequence[File], begin_us: int, end_us: int) -> Iterator[Ints]:
    """The event times of the reports of a time, file by file, microseconds since 1970. Raises `StorageError`."""
    for one in overlapping(files, begin_us, end_us):
        yield _reports([one.path], ["time"], begin_us, end_us)["time"].cast(pa.int64()).to_numpy()


def read_reports(files: Sequence[File], begin_us: int, end_us: int) -> Reports:
    """The reports of a time, from these files. Raises `StorageError`."""
    paths = [one.path for one in overlapping(files, begin_us, end_us)]
    return Reports.of(_reports(paths, COLUMNS, begin_us, end_us))


def read_alerts(database: Database, lake: Path, rule: ScoreRule, begin_us: int, end_us: int, limit: int) -> Cast:
    """The alerts that stood at any time of a window, and what became of each until its end. Raises `StorageError`."""
    with database.read() as connection:
        stood = sa.or_(CASES.c.resolved_at.is_(None), CASES.c.resolved_at >= begin_us)
        query = SHOWN.where(ALERTS.c.first_time < end_us, stood)
        query = query.order_by(ALERTS.c.first_time.desc(), ALERTS.c.alert_id).limit(limit + 1)
        alerts = [as_shown(row) for row in connection.execute(query).mappings()]
        per_minute = _per_minute(connection, begin_us, end_us)
        kept = alerts[:limit]
        deeds = _deeds(connection, [one["alert_id"] for one in kept], end_us)
        silences = _silences(connection, begin_us, end_us)
    seen = _sightings(lake, kept, begin_us, end_us)
    stories = tuple(
        tell(one, (seen or {}).get(one["citizen_key"], ()), deeds.get(one["alert_id"], ()), rule, silences)
        for one in kept
    )
    return Cast(stories, per_minute, len(alerts) > limit, seen is not None)


def _per_minute(connection: sa.Connection, begin_us: int, end_us: int) -> tuple[tuple[int, str, int], ...]:
    minute = (ALERTS.c.first_time // MINUTE_US).label("minute")
    query = sa.select(minute, ALERTS.c.severity, sa.func.count()).group_by(minute, ALERTS.c.severity)
    query = query.where(ALERTS.c.first_time >= begin_us, ALERTS.c.first_time < end_us).order_by(minute)
    return tuple((int(at), severity, count) for at, severity, count in connection.execute(query))


def _deeds(connection: sa.Connection, ids: Sequence[str], end_us: int) -> dict[str, list[Row]]:
    """What was done to alerts until a time, in its order: rows of the audit without notes."""
    columns = [AUDIT.c[name] for name in ("alert_id", "at", "user_name", "action", "details")]
    found: dict[str, list[Row]] = defaultdict(list)
    for first in range(0, len(ids), _IDS_AT_ONCE):
        wanted = AUDIT.c.alert_id.in_(ids[first : first + _IDS_AT_ONCE])
        query = sa.select(*columns).where(wanted, AUDIT.c.at < end_us, AUDIT.c.action.not_like("looked%"))
        for row in connection.execute(query.order_by(AUDIT.c.number)).mappings():
            told = {"details": orjson.loads(row["details"]), "at": to_time(row["at"])}
            found[row["alert_id"]].append(dict(row) | told)
    return found


def _silences(connection: sa.Connection, begin_us: int, end_us: int) -> list[Silenced]:
    """The silences that held at any time of a window, whoever they were of."""
    columns = [SILENCES.c[one.name] for one in fields(Silence)]
    over = sa.func.coalesce(SILENCES.c.ended_at, SILENCES.c.until).label("over")
    query = sa.select(*columns, over).where(SILENCES.c.until > begin_us, over > begin_us)
    found = []
    for row in connection.execute(query.where(SILENCES.c.started_at < end_us)).mappings():
        values = {name: value for name, value in row.items() if name != "over"}
        silence = Silence(**values | {"involved": frozenset(orjson.loads(row["involved"]))})
        found.append((silence, min(silence.until, row["over"])))
    return found


def _sightings(lake: Path, alerts: Sequence[Row], begin_us: int, end_us: int) -> dict[int, list[Seen]] | None:
    """The sightings of those who were alerted, by citizen; None if that would be too many."""
    if not alerts:
        return {}
    since = max(begin_us - _LOOKBACK_US, min(to_microseconds(one["first_time"]) for one in alerts))
    files = overlapping(newest(lake / "sightings").files, since, end_us)
    if sum(one.rows for one in files) > _MOST_SIGHTINGS:
        return None
    paths = [one.path for one in files]
    if not paths:
        return {}
    in_time = pl.col("time").is_between(to_time(since), to_time(end_us), closed="left")
    of_them = pl.col("citizen_key").is_in(sorted({one["citizen_key"] for one in alerts}))
    try:
        # Other columns are read only where somebody who was alerted is found.
        scan = pl.scan_parquet(paths, hive_partitioning=False, parallel="prefiltered")
        rows = scan.filter(of_them, in_time).select(_SEEN).with_columns(pl.col("time").cast(pl.Int64)).collect()
    except FileNotFoundError:
        raise StorageError(_TIDIED) from None
    except (OSError, pl.exceptions.PolarsError) as error:
        raise StorageError(f"{lake / 'sightings'} cannot be read ({error}): run `peacewatch verify`") from error
    if len(rows) > _MOST_SEEN:
        return None
    seen: dict[int, list[Seen]] = defaultdict(list)
    for key, *values in rows.iter_rows():
        seen[key].append(Seen(*values))
    return seen


def _reports(paths: Iterable[Path], columns: list[str], begin_us: int, end_us: int) -> pa.Table:
    schema = pa.schema([TABLES["reports"].field(column) for column in columns]).remove_metadata()
    wanted = (pc.field("time") >= pa.scalar(begin_us, TIME)) & (pc.field("time") < pa.scalar(end_us, TIME))
    parts = [schema.empty_table()]
    try:
        for path in paths:
            # One core: the pipeline may need the others.
            rows = pq.read_table(path, columns=columns, filters=wanted, partitioning=None, use_threads=False)
            parts.append(rows.select(columns).cast(schema))
    except FileNotFoundError:
        raise StorageError(_TIDIED) from None
    except (OSError, pa.ArrowException) as error:
        raise StorageError(f"the table reports cannot be read ({error}): run `peacewatch verify`") from error
    return pa.concat_tables(parts)
