"""What Dask workers do with a slice: pure functions of the slice and the job.

Nothing here is kept between calls but the connection to the log, so a task can run
again anywhere when its worker is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dialects import Decoded, Dialect, decode, rejected
from pipeline.errors import StorageError
from pipeline.fingerprints import Hashes, Ints, identity_fingerprints, report_fingerprints
from pipeline.lake.stage import Add, Batch, Choice, stage
from pipeline.log import Log, Slice, open_log
from pipeline.rules import ScoreRule, screen
from pipeline.schema import report_id_base
from pipeline.workspace import LogSettings


@dataclass(frozen=True)
class Job:
    """What every task of a run needs to know; travels with the task."""

    log_url: str
    log_settings: LogSettings
    sources: Mapping[int, int]  # partition -> its number in report ids
    secret: str
    max_report_bytes: int
    rule: ScoreRule


@dataclass(frozen=True)
class Screened:
    """What travels from a worker to the driver about a slice."""

    slice: Slice
    findings: pa.Table
    recoveries: pa.Table
    fingerprints: Hashes  # of its reports
    times: Ints  # of its reports, microseconds
    people: Hashes  # fingerprints of its distinct identities
    sightings: Ints  # of each report
    rejects: int


@lru_cache(maxsize=4)
def _log(url: str, settings: LogSettings) -> Log:
    return open_log(url, settings)


def decode_slice(slice: Slice, dialect: Dialect, job: Job) -> Decoded:
    """The canonical tables of a slice."""
    stretches = _log(job.log_url, job.log_settings).read(slice.partition, slice.start, slice.stop)
    return decode(
        b"".join(stretch.data for stretch in stretches),
        dialect,
        secret=job.secret,
        first_report_id=report_id_base(job.sources[slice.partition]) + slice.start,
        accepted_at=[(stretch.stop - stretch.start, stretch.accepted_at) for stretch in stretches],
        max_report_bytes=job.max_report_bytes,
    )


def reject_slice(slice: Slice, job: Job, reason: str) -> Decoded:
    """A slice whose every line is rejected for ``reason``; the last resort for what no worker can decode."""
    try:
        stretches = _log(job.log_url, job.log_settings).read(slice.partition, slice.start, slice.stop)
        lines = [line for stretch in stretches for line in stretch.data.removesuffix(b"\n").split(b"\n")]
    except StorageError as error:
        lines, reason = [b""] * slice.reports, error.message
    first = report_id_base(job.sources[slice.partition]) + slice.start
    return rejected(lines, slice.dialect, reason, first, slice.accepted_at)


def screen_slice(decoded: Decoded, slice: Slice, job: Job) -> Screened:
    """What the driver needs to know of a decoded slice: findings, and what tells copies apart."""
    reports = decoded.reports
    screened = screen(job.rule, reports, decoded.sightings, decoded.people)
    times = reports["time"].cast(pa.int64()).to_numpy()
    return Screened(
        slice,
        screened.findings,
        screened.recoveries,
        report_fingerprints(reports["drone_id"], times, reports["sequence"]),
        times,
        _identities(decoded)[0],
        reports["citizens"].to_numpy(),
        decoded.rejects.num_rows,
    )


def stage_slices(lake: str, decoded: list[Decoded], choices: list[Choice]) -> dict[str, list[Add]]:
    """Write the chosen rows of decoded slices as durable Parquet files; see `stage`."""
    return stage(lake, [_batch(slice) for slice in decoded], choices)


def _batch(decoded: Decoded) -> Batch:
    rows = _identities(decoded)[1]
    return Batch(decoded.reports, decoded.sightings, decoded.people.take(pa.array(rows)), decoded.rejects)


def _identities(decoded: Decoded) -> tuple[Hashes, Ints]:
    """Fingerprints of the distinct identities of a slice, rising, and the row in ``people`` of each."""
    fingerprints = identity_fingerprints(decoded.people["citizen_key"], decoded.people["citizen_name"])
    hashes, rows = np.unique(fingerprints, return_index=True)
    return hashes, rows


def warm_up() -> None:
    """Import on a worker what its first task would have to."""
    pc.sum(pa.array([1]))
