"""What Dask workers do with a slice: pure functions of the slice and the job.

What is kept between calls (the connection to the log, the tables that wait for the
archive, which people the driver knows) can be had again, so a task can run anywhere when
its worker is lost. A task does not raise, it returns `Failed`: an error whose traceback
cannot be packed would break the client that waits for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache, wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np
import pyarrow as pa
from distributed import get_worker

from pipeline.dialects import Decoded, decode, load_dialect, rejected
from pipeline.errors import PeacewatchError, StorageError, Torn
from pipeline.fingerprints import Hashes, Ints, identity_fingerprints, report_fingerprints
from pipeline.held import Held, Known
from pipeline.lake.stage import Add, Batch, Choice, stage
from pipeline.lake.upkeep import Merge, carry_out
from pipeline.log import Log, Slice, open_log
from pipeline.messages import Failed, Job, Recipe, Screened, Selection, Shared, Stamps, packed
from pipeline.oddities import oddities
from pipeline.outages import passes
from pipeline.patience import no_long_pauses
from pipeline.recoveries import KeyFilter, Keys, of_citizens, relevant
from pipeline.rules import recoveries, rule_from_settings, screen
from pipeline.schema import report_id_base
from pipeline.workspace import LogSettings, Rules

_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True)
class DecodedSlice:
    """A slice in canonical tables, as it waits on a worker; and its distinct identities.

    ``people`` are their fingerprints, rising; ``person`` is a row of ``tables.people`` for each. Whoever the
    driver knows may be left out; ``distinct`` is how many there are.
    """

    tables: Decoded
    people: Hashes
    person: Ints
    distinct: int


@lru_cache(maxsize=4)
def _log(url: str, settings: LogSettings, identity: str) -> Log:
    log = open_log(url, settings, create=False)
    if log.identity != identity:
        raise StorageError(f"{url} is another log on this worker: workers must see the workspace under the same path")
    return log


def _never_raises(task: Callable[_P, _T]) -> Callable[_P, _T | Failed]:
    """A task that returns what it would have raised."""

    @wraps(task)
    def safe(*arguments: _P.args, **options: _P.kwargs) -> _T | Failed:
        try:
            return task(*arguments, **options)
        except Torn as error:
            return Failed(error.message, torn=True)
        except PeacewatchError as error:
            return Failed(error.message, outside=True, passing=passes(error))
        except OSError as error:
            return Failed(f"{type(error).__name__}: {error}", outside=True, passing=passes(error))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a panic of a parser is no Exception
            return Failed(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")

    return safe


#: The windows that are being archived, and as much again: more is there only if something went wrong.
_HELD: Held[DecodedSlice] = Held(max_bytes=512_000_000)
#: Identities that the driver of a run knows: it need not be told of them again.
_KNOWN = Known(max_hashes=4_000_000)


@_never_raises
def screen_slice(recipe: Recipe, shared: Shared[Job], watched: Keys) -> Screened:
    """What the driver needs to know of a slice: findings, recoveries of ``watched`` (sorted keys), and what tells
    copies apart. Its tables stay here.
    """
    started, job = time.time(), shared.get()
    decoded = _make(recipe, job)
    reports = decoded.tables.reports
    at_decoded = time.time()
    screened = screen(job.rule, reports, decoded.tables.sightings, decoded.tables.people)
    at_screened = time.time()
    times = reports["time"].cast(pa.int64()).to_numpy()
    fingerprints = report_fingerprints(reports, decoded.tables.sightings)
    unknown = ~_KNOWN.holds(job.run, decoded.people)
    people, person = decoded.people[unknown], decoded.person[unknown]
    _HELD.keep(_place(recipe, job), DecodedSlice(decoded.tables, people, person, decoded.distinct), _size(decoded))
    return Screened(
        get_worker().address,
        packed(screened.findings),
        packed(relevant(screened.recoveries, screened.findings, watched)),
        KeyFilter.of(screened.recoveries["citizen_key"].to_numpy()),
        fingerprints,
        times,
        people,
        Stamps(started, at_decoded, at_screened),
        packed(oddities(decoded.tables, fingerprints)),
    )


@_never_raises
def recoveries_of(recipe: Recipe, shared: Shared[Job], keys: Keys) -> bytes:
    """The recoveries (packed) of citizens, by sorted keys, in a slice that was screened before."""
    job = shared.get()
    decoded = _HELD.look(_place(recipe, job)) or _make(recipe, job)
    return _recoveries(decoded, job, keys)


@_never_raises
def held_recoveries_of(recipe: Recipe, shared: Shared[Job], keys: Keys) -> bytes | None:
    """The same, if the tables are here; None if they would have to be made again."""
    job = shared.get()
    decoded = _HELD.look(_place(recipe, job))
    return None if decoded is None else _recoveries(decoded, job, keys)


@_never_raises
def stage_slices(
    lake: str, recipes: Sequence[Recipe], selections: Sequence[Selection], shared: Shared[Job]
) -> dict[str, list[Add]]:
    """Write the chosen rows of screened slices as durable Parquet files; see `stage`."""
    job = shared.get()
    slices = [_HELD.take(_place(recipe, job)) or _make(recipe, job) for recipe in recipes]
    choices = [
        Choice(selection.reports, np.isin(slice.people, selection.people, assume_unique=True))
        for slice, selection in zip(slices, selections, strict=True)
    ]
    adds = stage(lake, [_batch(slice) for slice in slices], choices, job.cube)
    for slice in slices:
        # Who chose among them has seen them all.
        _KNOWN.add(job.run, slice.people)
    return adds


def _recoveries(decoded: DecodedSlice, job: Job, keys: Keys) -> bytes:
    return packed(recoveries(job.rule, decoded.tables.reports, of_citizens(decoded.tables.sightings, keys)))


def _place(recipe: Recipe, job: Job) -> Hashable:
    return job.run, recipe.slice, recipe.reason


def _size(decoded: DecodedSlice) -> int:
    tables = decoded.tables
    return sum(table.nbytes for table in (tables.reports, tables.sightings, tables.people, tables.rejects))


def _make(recipe: Recipe, job: Job) -> DecodedSlice:
    slice = recipe.slice
    first_report_id = report_id_base(job.sources[slice.partition]) + slice.start
    log = _log(job.log_url, job.log_settings, job.log_identity)
    if recipe.reason is not None or recipe.dialect is None:
        lines, reason = _lines_to_reject(log, slice, recipe.reason or "")
        return _with_identities(rejected(lines, slice.dialect, reason, first_report_id, slice.accepted_at))
    stretches = log.read(slice.partition, slice.start, slice.stop)
    return _with_identities(
        decode(
            b"".join(stretch.data for stretch in stretches),
            recipe.dialect.get(),
            secret=job.secret,
            first_report_id=first_report_id,
            accepted_at=[(stretch.stop - stretch.start, stretch.accepted_at) for stretch in stretches],
            max_report_bytes=job.max_report_bytes,
        )
    )


def _lines_to_reject(log: Log, slice: Slice, reason: str) -> tuple[list[bytes], str]:
    """Every line of a slice that no worker can decode; empty ones, and why, where the log is torn."""
    try:
        stretches = log.read(slice.partition, slice.start, slice.stop)
    except Torn as error:
        return [b""] * slice.reports, error.message
    return [line for stretch in stretches for line in stretch.data.removesuffix(b"\n").split(b"\n")], reason


def _with_identities(tables: Decoded) -> DecodedSlice:
    fingerprints = identity_fingerprints(tables.people["citizen_key"], tables.people["citizen_name"])
    people, person = np.unique(fingerprints, return_index=True)
    return DecodedSlice(tables, people, person, len(people))


@_never_raises
def merge_on_worker(lake: Path, merge: Merge) -> Add:
    """Write the merged file of some small ones; see `upkeep.carry_out`."""
    return carry_out(lake, merge)


def _batch(decoded: DecodedSlice) -> Batch:
    tables = decoded.tables
    people = tables.people.take(pa.array(decoded.person))
    return Batch(tables.reports, tables.sightings, people, tables.rejects, decoded.distinct)


def warm_up() -> None:
    """Import on a worker, and run once, what its first slice would have to; forget what a run before left there."""
    tables = decode(
        _SAMPLE,
        load_dialect("peacewatch"),
        secret="",
        first_report_id=0,
        accepted_at=[(2, 0.0)],
        max_report_bytes=len(_SAMPLE),
    )
    screen(rule_from_settings(Rules()), tables.reports, tables.sightings, tables.people)
    _with_identities(tables)
    _HELD.clear()
    _KNOWN.clear()
    no_long_pauses()


#: With an unknown field and an escaped surrogate pair, so that the code for these is loaded, or compiled, too.
_SAMPLE = 2 * (
    b'{"drone_id": "a", "time": "2026-11-02T07:30:00Z", "location": {"lat": 0, "lon": 0}, "words": ["\\ud842\\udfb7"], '
    b'"citizens": [{"id": "a", "name": "a", "peacescore": 1}, {"id": "b", "name": "b", "peacescore": 50}], "x": 1}\n'
)
