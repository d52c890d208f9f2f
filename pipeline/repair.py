"""Mends what the log, the desk or the archive itself still proves, and moves aside what they do not.

With the writer's lock held, so that no `run` is up. Nothing is deleted: whatever is damaged is
afterwards below ``quarantine/`` in the archive. Rows of damaged files are decoded again from
the log, exactly those that are missing; of what the log does not hold any more it is said what is lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.desk import Desk
from pipeline.dialects import Decoded
from pipeline.durable import replace, set_aside
from pipeline.errors import StorageError, UsageError
from pipeline.fingerprints import identity_fingerprints, report_fingerprints
from pipeline.lake.checkpoints import commits_of
from pipeline.lake.cube import Cube
from pipeline.lake.cube_check import check_cube
from pipeline.lake.delta_log import committed
from pipeline.lake.log_check import check_log
from pipeline.lake.opening import writers_lock
from pipeline.lake.parquet import read_parquet
from pipeline.lake.stage import write
from pipeline.lake.state import PLAN, SOURCES, read_plan, read_sources
from pipeline.lake.tables import Lake
from pipeline.log import Log, open_log
from pipeline.recount import Damaged, Recount, archived_slices, decoded_slice, offsets_of, recount
from pipeline.rules import is_bad, rule_from_settings
from pipeline.schema import TABLES
from pipeline.sealed import mended
from pipeline.workspace import Workspace

#: Where each table's rows come from again.
_FROM_LOG = ("identities", "sightings", "rejects", "reports")


@dataclass(frozen=True)
class Repaired:
    """What was done, each in a sentence: ``mended`` is as it was, ``lost`` is not. ``aside``: the damaged files."""

    mended: list[str]
    lost: list[str]
    aside: list[str]


def repair(workspace: Workspace) -> Repaired:
    """Mend what can be mended.

    Raises `Conflict` while a `run` is up, `StorageError` if a disk refuses, `UsageError` if it takes a dialect
    whose file is gone.
    """
    done = Repaired([], [], [])
    if Lake(workspace.lake_path).exists():
        _archive(workspace, done)
        cube = Cube.of(workspace)
        if not check_cube(cube)[0]:
            cube.rebuild()
            done.mended.append("the cube was made anew from the archive")
    desk = Desk(workspace.desk_url)
    try:
        if desk.rebuild_indexes():
            done.mended.append("the indexes of the desk were made anew from its rows")
        done.lost.extend(f"the desk: {problem}" for problem in desk.problems())
    finally:
        desk.close()
    return done


def _archive(workspace: Workspace, done: Repaired) -> None:
    path = workspace.lake_path
    with writers_lock(path):
        for table in TABLES:
            _mend_log(path, table, done)
        for name, read in ((PLAN, read_plan), (SOURCES, read_sources)):
            try:
                read(path)
            except StorageError:
                done.aside.append(str(set_aside(path / name, path)))
                done.mended.append(f"{name} was made anew from the tables")
    lake = Lake.open_for_writing(path, take_back=True)
    log = open_log(workspace.log_url, workspace.settings.log)
    desk = Desk(workspace.desk_url)
    try:
        rule = rule_from_settings(workspace.settings.rules)
        found = recount(lake, lambda scores: is_bad(rule, scores), None)
        if found.damaged:
            fresh = again(workspace, log, found)
            fresh["alerts"] = _alerts(lake, desk, found.damaged)
            for table in TABLES:
                _put_in_place(lake, table, [each for each in found.damaged if each.file.table == table], fresh, done)
    finally:
        desk.close()
        log.close()
        lake.close()


def _mend_log(lake: Path, table: str, done: Repaired) -> None:
    """Commits of a table's log: mended by their checksum, or done without where that is possible."""
    log = lake / table / "_delta_log"
    for finding in check_log(lake / table):
        file = finding.file
        content = None if finding.spare or not file.exists() else mended(file.read_bytes())
        retold = content is None and file == max(commits_of(log), default=None) and _is_retold(lake, table)
        if finding.spare or retold:
            done.aside.append(str(set_aside(file, lake)))
            why = (
                "the rest of the log tells the same" if finding.spare else "the plan of the last commit tells it again"
            )
            done.mended.append(f"{file.relative_to(lake)} was moved aside: {why}")
        elif content is not None:
            done.aside.append(str(set_aside(file, lake)))
            replace(file, content)
            done.mended.append(f"{file.relative_to(lake)} has its one wrong byte right again")
        else:
            done.lost.append(f"{file.relative_to(lake)} {finding.why}: restore the archive from a backup")


def _is_retold(lake: Path, table: str) -> bool:
    """Whether the newest commit of a table is told again when the archive is opened, or when its rows come again.

    A table has none of a window that brought it nothing: its newest is of before the last plan then.
    """
    try:
        plan = read_plan(lake)
    except StorageError:
        return False
    return plan is not None and (table in ("reports", "alerts") or bool(plan.adds.get(table)))


def again(workspace: Workspace, log: Log, found: Recount) -> dict[str, pa.Table]:
    """The rows, by table, that the archive should have, has not, and that the log still proves."""
    parts: dict[str, list[pa.Table]] = {table: [TABLES[table].empty_table()] for table in _FROM_LOG}
    taken: set[tuple[int, int]] = set()
    people = set(found.identities.tolist())
    for number, decoded in _decoded(workspace, log, found):
        reports, lines = decoded.reports, found.places[number]
        _, offsets = offsets_of(reports["report_id"].to_numpy())
        moments = reports["time"].cast(pa.int64()).to_numpy()
        hashes = report_fingerprints(reports, decoded.sightings)
        lost = (lines[offsets] == 0) & ~found.has(decoded)
        for row in np.flatnonzero(lost).tolist():
            # Of copies the first is the report.
            key = int(hashes[row]), int(moments[row])
            lost[row] = key not in taken
            taken.add(key)
        # A line that is there may be a reject of when its dialect was another.
        there = lost | (found.expected_sightings[number][offsets] > 0)
        torn = there & (found.sightings[number][offsets] == 0) & (reports["citizens"].to_numpy() > 0)
        rows_of = np.repeat(torn, reports["citizens"].to_numpy())
        _, rejected = offsets_of(decoded.rejects["report_id"].to_numpy())
        unknown = []
        for hashed in identity_fingerprints(decoded.people["citizen_key"], decoded.people["citizen_name"]).tolist():
            unknown.append(hashed not in people)
            people.add(hashed)
        named = np.array(unknown, bool) & np.repeat(there, reports["citizens"].to_numpy())
        parts["reports"].append(reports.filter(pa.array(lost)))
        parts["sightings"].append(decoded.sightings.filter(pa.array(rows_of)))
        parts["rejects"].append(decoded.rejects.filter(pa.array(lines[rejected] == 0)))
        parts["identities"].append(decoded.people.filter(pa.array(named)))
    return {
        table: pa.concat_tables([part.select(TABLES[table].names).cast(TABLES[table]) for part in each])
        for table, each in parts.items()
    }


def _decoded(workspace: Workspace, log: Log, found: Recount) -> Iterator[tuple[int, Decoded]]:
    """What the log still holds of what was archived, with the number of its source; what is torn is left out."""
    for part, begin in log.begins().items():
        source = f"{log.identity}/{part}"
        if source not in found.sources:
            continue
        number = found.sources.index(source)
        for slice in archived_slices(log, part, begin, found.stops[number]):
            try:
                yield number, decoded_slice(workspace, log, slice, number)
            except StorageError:
                continue
            except UsageError:  # its dialect's file is gone
                if not found.is_whole(number, slice.start, slice.stop):
                    raise


def _alerts(lake: Lake, desk: Desk, damaged: Sequence[Damaged]) -> pa.Table:
    """The changes of alerts that no sound file holds and the desk still knows: the last one of each alert."""
    bad = {each.file.path for each in damaged if each.file.table == "alerts"}
    if not bad:
        return TABLES["alerts"].empty_table()
    sound = [path for path in committed(lake.table("alerts"))["path"].to_pylist() if path not in bad]
    known = [read_parquet(lake.path / "alerts" / path, ["revision"])["revision"].to_pylist() for path in sound]
    rows = desk.history(0, limit=1 << 30)
    archived = pa.array([number for numbers in known for number in numbers], pa.int64())
    wanted = pc.and_(
        pc.less_equal(rows["revision"], lake.alerts_revision()), pc.invert(pc.is_in(rows["revision"], archived))
    )
    return rows.filter(wanted)


def _put_in_place(
    lake: Lake, table: str, damaged: Sequence[Damaged], fresh: dict[str, pa.Table], done: Repaired
) -> None:
    """Commit what was found again in place of damaged files, and move those aside."""
    if not damaged:
        return
    rows, folder = fresh[table], lake.path / table
    about = committed(lake.table(table)).to_pylist()
    files = [
        (one["path"], one["size_bytes"], one.get("partition.date"))
        for one in about
        if one["path"] in {each.file.path for each in damaged}
    ]
    gone = sum(each.file.rows for each in damaged) - rows.num_rows
    if gone > 0:
        kept = [_readable(lake, each, rows) for each in damaged]
        rows = pa.concat_tables([rows, *kept])
        gone -= sum(part.num_rows for part in kept)
    lake.put_in_place(table, files, write(folder, table, rows) if rows.num_rows else [], same=gone == 0)
    for path, _, _ in files:
        if (folder / path).exists():
            done.aside.append(str(set_aside(folder / path, lake.path)))
    told = ", ".join(f"{table}/{path}" for path, _, _ in files)
    done.mended.append(f"{rows.num_rows:,} rows of {told} were found again and put in place")
    if gone > 0:
        spans = [span for one in about if one["path"] in {path for path, _, _ in files} and (span := _span(one))]
        done.lost.append(f"{gone:,} rows of {told} are lost{': ' if spans else ''}{'; '.join(spans)}")


def _readable(lake: Lake, damaged: Damaged, besides: pa.Table) -> pa.Table:
    """The rows of a damaged file that are proven by the checksums of its pages, but for those of ``besides``."""
    schema = TABLES[damaged.file.table]
    try:
        rows = read_parquet(lake.path / damaged.file.table / damaged.file.path)
        if "date" in schema.names:
            day = damaged.file.path.partition("=")[2].partition("/")[0]
            rows = rows.append_column("date", pa.array([day] * rows.num_rows))
        rows = rows.select(schema.names).cast(schema)
    except (StorageError, KeyError, pa.ArrowException):
        return schema.empty_table()
    if rows.num_rows != damaged.file.rows:
        return schema.empty_table()
    key = next(name for name in ("revision", "report_id", "citizen_key") if name in schema.names)
    return rows.filter(pc.invert(pc.is_in(rows[key], besides[key].combine_chunks())))


def _span(about: dict[str, Any]) -> str:
    """Of which offsets and times a file was."""
    told = []
    if about.get("min.report_id") is not None:
        first, last = (int(offsets_of(np.array([about[name]]))[1][0]) for name in ("min.report_id", "max.report_id"))
        told.append(f"among offsets {first:,} to {last:,}")
    if about.get("min.time") is not None:
        told.append(f"from {about['min.time']} to {about['max.time']}")
    return ", ".join(told)
