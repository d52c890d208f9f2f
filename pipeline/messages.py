"""What travels between the driver and its workers: as little as each can decide with."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar

import pyarrow as pa

from pipeline.dialects import Dialect
from pipeline.fingerprints import Hashes, Ints, Mask
from pipeline.lake.definition import Definition
from pipeline.log import Slice
from pipeline.recoveries import KeyFilter
from pipeline.rules import ScoreRule
from pipeline.workspace import LogSettings

_T = TypeVar("_T")


@dataclass(frozen=True)
class Job:
    """What every task of a run needs to know; travels with the task."""

    run: str  # whose tables are held, see `pipeline.held`
    log_url: str
    log_identity: str
    log_settings: LogSettings
    sources: Mapping[int, int]  # partition -> its number in report ids
    secret: str
    max_report_bytes: int
    rule: ScoreRule
    cube: Definition


class Shared(Generic[_T]):
    """What many tasks need: packed once by the driver, and unpacked once by each worker."""

    def __init__(self, value: _T) -> None:
        self._packed = pickle.dumps(value)

    def get(self) -> _T:
        """The value; not to be changed, as all tasks of a worker have the same."""
        value: _T = _unpack(self._packed)
        return value


@lru_cache(maxsize=64)
def _unpack(packed: bytes) -> Any:
    return pickle.loads(packed)


@dataclass(frozen=True)
class Failed:
    """A task that could not do its work.

    ``torn``: the log is damaged there. ``outside``: the fault is not the slice's (a
    disk, a log that the worker cannot see), so nothing may be rejected for it; ``passing``:
    and it may pass, see `pipeline.outages`.
    """

    reason: str
    torn: bool = False
    outside: bool = False
    passing: bool = False


@dataclass(frozen=True)
class Recipe:
    """How the tables of a slice are made: from the log, or if there is a ``reason``, as rejects of every line.

    Without a ``dialect`` there is a reason.
    """

    slice: Slice
    dialect: Shared[Dialect] | None
    reason: str | None = None


@dataclass(frozen=True)
class Stamps:
    """When a worker had what of a slice, in seconds since the epoch, by the worker's clock."""

    started: float
    decoded: float
    screened: float


@dataclass(frozen=True)
class Screened:
    """What the driver hears of a slice.

    ``findings`` and ``recoveries`` are packed, see `unpacked`; of the recoveries there are only those that
    were asked for and those of citizens with a finding in the slice. ``people`` leaves out whoever the
    driver is known to know.
    """

    worker: str  # where its tables are held
    findings: bytes
    recoveries: bytes
    good: KeyFilter  # of whom the slice has recoveries
    fingerprints: Hashes  # of its reports
    times: Ints  # of its reports, microseconds
    people: Hashes  # fingerprints of its distinct identities
    stamps: Stamps
    odd: bytes = b""  # what is odd about its reports, packed, see `pipeline.oddities`


@dataclass(frozen=True)
class Selection:
    """What of a slice goes into the archive: a mask over its reports (None for all), and identities by fingerprint."""

    reports: Mask | None
    people: Hashes


def packed(table: pa.Table) -> bytes:
    """A small table as one piece of bytes, as each column would be several; of no rows nothing at all."""
    if not table.num_rows:
        return b""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def unpacked(data: bytes, schema: pa.Schema) -> pa.Table:
    """What `packed` made of a table of ``schema``."""
    return pa.ipc.open_stream(data).read_all() if data else schema.empty_table()
