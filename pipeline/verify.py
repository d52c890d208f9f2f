"""Cross-check of log, archive, desk and cube: is everything there, once, and whole?

Recounts by key from what is stored: each line that the log still holds is decoded
again and looked for, and each offset that was archived must be there as a report,
as a reject, or be a copy of a report that is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from pipeline.desk import Desk
from pipeline.desk.audit import Trail
from pipeline.errors import Overloaded, StorageError, UsageError
from pipeline.lake.cube import Cube
from pipeline.lake.cube_check import check_cube
from pipeline.lake.tables import Lake
from pipeline.log import Log, Slice, open_log
from pipeline.recount import Recount, archived_slices, decoded_slice, offsets_of, recount
from pipeline.requeue import damaged_notes
from pipeline.rules import is_bad, rule_from_settings
from pipeline.storage_check import REPAIR, Check, check_files
from pipeline.workspace import Workspace

#: Identities of two logs differ in more.
_FEW_LETTERS = 4

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class Verdict:
    """All checks; ``ok`` if each one is."""

    checks: list[Check]

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)


def verify(workspace: Workspace, progress: OnProgress | None = None) -> Verdict:
    """Check everything that is archived; what is only in the log yet is not missed. Nothing is written.

    ``progress(done, total)`` counts files, then lines of the log.
    """
    lake = Lake(workspace.lake_path)
    checks = [*check_files(workspace, damaged_notes(workspace)), _secret(workspace)]
    with ExitStack() as stack:
        log = _opened(stack, checks, "log", lambda: open_log(workspace.log_url, workspace.settings.log, look_only=True))
        desk = _opened(stack, checks, "desk", lambda: Desk(workspace.desk_url, look_only=True))
        if desk is not None:
            checks += [_desk(desk), _audit(desk, workspace)]
        if not lake.exists():
            nothing = Check("archive", True, "nothing is archived yet: `peacewatch run` does it")
            return Verdict([nothing, *checks])
        try:
            archive = _lake(workspace, lake, log, desk, progress)
        except StorageError as error:
            archive = [Check("files", False, error.message)]
    return Verdict([*archive, *checks])


_Store = TypeVar("_Store", Log, Desk)


def _opened(stack: ExitStack, checks: list[Check], name: str, open: Callable[[], _Store]) -> _Store | None:
    """A log or desk that is closed at the end; None, and a check that says why, if it cannot be opened."""
    try:
        store = open()
    except (StorageError, Overloaded, UsageError) as error:
        checks.append(Check(name, False, error.message))
        return None
    stack.callback(store.close)
    return store


def _lake(
    workspace: Workspace, lake: Lake, log: Log | None, desk: Desk | None, progress: OnProgress | None
) -> list[Check]:
    rule = rule_from_settings(workspace.settings.rules)
    unfinished = lake.unfinished()
    totals = lake.totals()
    found = recount(lake, lambda scores: is_bad(rule, scores), progress)
    damaged = {lake.path / each.file.table / each.file.path for each in found.damaged}
    checks = [_files(found), *_archive(found), _counters(found, totals, unfinished), _identities(found)]
    if log is not None:
        checks.append(_log(workspace, log, found, progress))
    if desk is not None:
        checks.append(_alerts(desk, found))
    return [*checks, Check("cube", *check_cube(Cube.of(workspace), progress, damaged))]


def _files(found: Recount) -> Check:
    damaged = "; ".join(f"{each.file.table}/{each.file.path}: {each.why}" for each in found.damaged)
    hint = f"; {REPAIR}" if damaged else ""
    return Check("files", not damaged, damaged + hint or "all committed files are as they were written")


def _secret(workspace: Workspace) -> Check:
    try:
        _ = workspace.secret
    except UsageError as error:
        return Check("secret", False, error.message)
    return Check("secret", True, "the key is the one that this workspace was made with")


def _desk(desk: Desk) -> Check:
    try:
        problems = desk.problems()
    except StorageError as error:
        problems = [error.message]
    hint = "; restore the desk from a backup, or `peacewatch verify --repair` if only indexes are concerned"
    return Check("desk", not problems, _few(problems) + hint if problems else "every row is as it was written")


def _few(problems: Sequence[str], most: int = 20) -> str:
    more = f"; and {len(problems) - most} more" if len(problems) > most else ""
    return "; ".join(problems[:most]) + more


def _archive(found: Recount) -> Iterator[Check]:
    doubled = sum(int((counts > 1).sum()) for counts in found.places.values())
    copies = found.copies()
    yield Check(
        "once",
        not doubled and not copies,
        f"{doubled} lines and {copies} reports are stored more than once; "
        f"{found.ambiguous} say other than one before with the same drone, time and sequence",
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
    missing, read = 0, 0
    try:
        torn = log.problems()
    except (StorageError, Overloaded) as error:
        torn = [error.message]
    for source in found.sources:
        if source.startswith(log.identity) or not _is_nearly(source.partition("/")[0], log.identity):
            continue
        torn.append(f"its identity {log.identity} is damaged: it was {source.partition('/')[0]}")
    for part, begin in log.begins().items():
        source = f"{log.identity}/{part}"
        if source not in found.sources:
            continue
        number = found.sources.index(source)
        stop = found.stops[number]
        try:
            for slice in archived_slices(log, part, begin, stop):
                missing += _missing(workspace, log, slice, number, found)
                read += slice.reports
                if progress is not None:
                    progress(slice.stop - begin, stop - begin)
        except (StorageError, UsageError) as error:
            torn.append(error.message)
    detail = f"{read} archived lines are still in the log, {missing} of them are missing from the archive"
    return Check("log", not missing and not torn, "; ".join([detail, *([_few(torn)] if torn else [])]))


def _is_nearly(one: str, other: str) -> bool:
    return len(one) == len(other) and sum(a != b for a, b in zip(one, other, strict=True)) <= _FEW_LETTERS


def _missing(workspace: Workspace, log: Log, slice: Slice, number: int, found: Recount) -> int:
    try:
        decoded = decoded_slice(workspace, log, slice, number)
    except UsageError:  # its dialect's file is gone: all that can be told is that each line is there
        return int((found.places[number][slice.start : slice.stop] == 0).sum())
    there = found.has(decoded)
    _, offsets = offsets_of(decoded.reports["report_id"].to_numpy())
    _, rejected = offsets_of(decoded.rejects["report_id"].to_numpy())
    # A line may have been a reject in its time, before its dialect was mended.
    gone = ~there & (found.places[number][offsets] == 0)
    return int(gone.sum()) + int((found.places[number][rejected] == 0).sum())


def _alerts(desk: Desk, found: Recount) -> Check:
    """Whoever had a bad score in the archive must have had an alert."""
    try:
        alerts = desk.alerts()
    except StorageError as error:
        return Check("alerts", False, error.message)
    except (ValueError, TypeError, OverflowError) as error:  # a value that nobody wrote
        return Check("alerts", False, f"alerts cannot be read ({type(error).__name__}): see the check `desk`")
    alerted = np.array([alert["citizen_key"] for alert in alerts], np.int64)
    missed = len(np.setdiff1d(found.agitated, alerted))
    hint = " (was [rules] changed? what is archived is not screened again)" if missed else ""
    detail = f"{len(found.agitated)} citizens had a bad score, {missed} of them no alert{hint}"
    return Check("alerts", not missed, detail)


def _audit(desk: Desk, workspace: Workspace) -> Check:
    """The chain of the audit: no row changed, gone or slipped in."""
    try:
        problems = desk.audit_problems(Trail(workspace.secret))
    except (StorageError, UsageError) as error:
        problems = [error.message]
    except (ValueError, TypeError) as error:  # a value that nobody wrote
        problems = [f"it cannot be read ({type(error).__name__}): see the check `desk`"]
    return Check("audit", not problems, _few(problems) or "every row of the audit is as it was written")
