"""Cross-check of log, archive, desk and cube: is everything there, once, and whole?

Recounts by key from what is stored: each line that the log still holds is decoded
again and looked for, and each offset that was archived must be there as a report,
as a reject, or be a copy of a report that is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.desk import Desk
from pipeline.desk.office import Office
from pipeline.dialects import decode, workspace_dialect
from pipeline.errors import StorageError
from pipeline.fingerprints import holds, report_fingerprints
from pipeline.lake.cube import Cube
from pipeline.lake.cube_check import check_cube
from pipeline.lake.tables import Lake
from pipeline.log import Log, Slice, open_log
from pipeline.recount import Recount, offsets_of, recount
from pipeline.rules import is_bad, rule_from_settings
from pipeline.schema import report_id_base
from pipeline.workspace import Workspace

_SLICE_BYTES = 8_000_000

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: whether it is as it should be, and what was seen."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True)
class Verdict:
    """All checks; ``ok`` if each one is."""

    checks: list[Check]

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)


def verify(workspace: Workspace, progress: OnProgress | None = None) -> Verdict:
    """Check everything that is archived; what is only in the log yet is not missed.

    ``progress(done, total)`` counts files, then lines of the log.
    """
    settings = workspace.settings
    log, desk = open_log(workspace.log_url, settings.log), Desk(workspace.desk_url, settings.reports.late_after_s)
    try:
        lake = Lake(workspace.lake_path)
        if not lake.exists():
            nothing = Check("archive", True, "nothing is archived yet: `peacewatch run` does it")
            return Verdict([nothing, _audit(workspace)])
        rule = rule_from_settings(settings.rules)
        unfinished = lake.unfinished()
        totals = lake.totals()
        found = recount(lake, lambda scores: is_bad(rule, scores), progress)
        return Verdict(
            [
                _files(found),
                *_archive(found),
                _counters(found, totals, unfinished),
                _identities(found),
                _log(workspace, log, found, progress),
                _alerts(desk, found),
                _audit(workspace),
                Check("cube", *check_cube(Cube.of(workspace), progress)),
            ]
        )
    finally:
        desk.close()
        log.close()


def _files(found: Recount) -> Check:
    detail = "; ".join(found.unreadable) or "all committed files can be read"
    return Check("files", not found.unreadable, detail)


def _archive(found: Recount) -> Iterator[Check]:
    doubled = sum(int((counts > 1).sum()) for counts in found.places.values())
    copies = found.copies()
    yield Check(
        "once",
        not doubled and not copies,
        f"{doubled} lines and {copies} reports (drone, time, sequence) are stored more than once",
    )
    torn = sum(int((found.expected_sightings[n] != found.sightings[n]).sum()) for n in found.places)
    yield Check("sightings", not torn, f"{torn} reports have more or fewer sightings than they should")


def _counters(found: Recount, totals: dict[str, int], unfinished: bool) -> Check:
    """The running totals against the rows; what is neither report nor reject was a copy."""
    if unfinished:
        return Check("counts", True, "a commit is unfinished: the next run finishes it")
    gone = sum(int((counts == 0).sum()) for counts in found.places.values())
    rows = {**{name: found.rows[name] for name in ("reports", "sightings", "rejects")}, "duplicates": gone}
    wrong = [f"{name}: {rows[name]} instead of {totals[name]}" for name in totals if rows[name] != totals[name]]
    right = ", ".join(f"{number} {name}" for name, number in rows.items())
    return Check("counts", not wrong, "; ".join(wrong) or right)


def _identities(found: Recount) -> Check:
    doubled = len(found.identities) - len(np.unique(found.identities))
    unnamed = len(np.setdiff1d(found.citizens, found.named))
    return Check(
        "identities", not doubled and not unnamed, f"{doubled} identities twice, {unnamed} citizens without one"
    )


def _log(workspace: Workspace, log: Log, found: Recount, progress: OnProgress | None) -> Check:
    """Every archived line that the log still holds, decoded again, must be in the archive."""
    missing, read, torn = 0, 0, []
    for part, begin in log.begins().items():
        source = f"{log.identity}/{part}"
        if source not in found.sources:
            continue
        number = found.sources.index(source)
        stop = found.stops[number]
        try:
            for slice in _slices(log, part, begin, stop):
                missing += _missing(workspace, log, slice, number, found)
                read += slice.reports
                if progress is not None:
                    progress(slice.stop - begin, stop - begin)
        except StorageError as error:
            torn.append(error.message)
    detail = f"{read} archived lines are still in the log, {missing} of them are missing from the archive"
    return Check("log", not missing and not torn, "; ".join([detail, *torn]))


def _slices(log: Log, partition: int, begin: int, stop: int) -> Iterator[Slice]:
    others = {part: end for part, end in log.ends().items() if part != partition}
    while begin < stop:
        slice = log.slices({**others, partition: begin}, _SLICE_BYTES, 1)[0]
        yield Slice(partition, slice.start, min(slice.stop, stop), slice.bytes, slice.dialect, slice.accepted_at)
        begin = slice.stop


def _missing(workspace: Workspace, log: Log, slice: Slice, number: int, found: Recount) -> int:
    stretches = log.read(slice.partition, slice.start, slice.stop)
    decoded = decode(
        b"".join(stretch.data for stretch in stretches),
        workspace_dialect(workspace, slice.dialect),
        secret=workspace.secret,
        first_report_id=report_id_base(number) + slice.start,
        accepted_at=[(stretch.stop - stretch.start, stretch.accepted_at) for stretch in stretches],
        max_report_bytes=workspace.settings.reports.max_report_kb * 1024,
    )
    reports = decoded.reports
    times = reports["time"].cast(pa.int64()).to_numpy()
    there = holds(found.reports, (report_fingerprints(reports["drone_id"], times, reports["sequence"]), times))
    _, rejected = offsets_of(decoded.rejects["report_id"].to_numpy())
    return int((~there).sum()) + int((found.places[number][rejected] == 0).sum())


def _alerts(desk: Desk, found: Recount) -> Check:
    """Whoever had a bad score in the archive must have had an alert."""
    alerted = np.array([alert["citizen_key"] for alert in desk.alerts()], np.int64)
    missed = len(np.setdiff1d(found.agitated, alerted))
    hint = " (was [rules] changed? what is archived is not screened again)" if missed else ""
    detail = f"{len(found.agitated)} citizens had a bad score, {missed} of them no alert{hint}"
    return Check("alerts", not missed, detail)


def _audit(workspace: Workspace) -> Check:
    """The chain of the audit: no row changed, gone or slipped in."""
    office = Office(workspace)
    try:
        problems = office.audit_problems()
    finally:
        office.close()
    return Check("audit", not problems, "; ".join(problems) or "every row of the audit is as it was written")
