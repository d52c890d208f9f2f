"""Running a backtest on Dask: find what is bad, find what is good again, fold both into alerts.

Memory is bounded by the pieces that are read at once and by the bad sightings, which are
few; a rule that finds more than `MOST_FINDINGS` is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import islice
from typing import Any, TypeVar

import dask
import numpy as np
import polars as pl
from distributed import Client, Future, KilledWorker, LocalCluster, as_completed

from pipeline.analysis import Span
from pipeline.backtest.candidate import Candidate
from pipeline.backtest.fold import ALERTS, KEPT, Closing, earliest, fold, mark
from pipeline.backtest.scan import Piece, find, recover
from pipeline.errors import PeacewatchError, StorageError, UsageError

#: Bad sightings of a rule that fit into memory with ease.
MOST_FINDINGS = 3_000_000
#: Fewer sightings than this are done before processes of their own have started.
_SMALL_ROWS = 5_000_000
#: Bad sightings that one task folds.
_SHARD = 50_000
_WORKER_ENVIRONMENT = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}
_MEMORY_LIMIT = "1500MB"

Advance = Callable[[int, int], None]
_T = TypeVar("_T")


def alerts_of(
    pieces: Sequence[Piece],
    candidates: Sequence[Candidate],
    span: Span,
    closing: Closing,
    late_after_us: int,
    client: Client | None,
    workers: int,
    progress: Advance | None,
) -> list[pl.DataFrame]:
    """Each candidate's alerts (see `fold`) in some pieces of the archive.

    ``progress(done, total)`` counts sightings. Without a client, small archives are done in this process
    and large ones by ``workers`` processes of their own.
    """
    total = sum(piece.rows for piece in pieces)
    rules = [candidate.rule for candidate in candidates]
    with _cluster(client, workers, total) as cluster, _explained(cluster):
        # Waits for a worker with a task, as clusters that adapt start none for nothing.
        cluster.submit(int, pure=False).result(timeout=dask.config.get("distributed.comm.timeouts.connect"))
        count = _Count(progress, total)
        marks = [mark(one) for one in _findings(cluster, pieces, rules, span, count)]
        good = _good(cluster, pieces, rules, span, marks, count)
        return [
            _folded(cluster, bad, better, closing, candidate.cool_down_us, late_after_us)
            for bad, better, candidate in zip(marks, good, candidates, strict=True)
        ]


def _findings(client: Client, pieces: Sequence[Piece], rules: Sequence[Any], span: Span, count: _Count) -> list[Any]:
    parts: list[list[pl.DataFrame]] = [[pl.DataFrame(schema=KEPT)] for _ in rules]
    for piece, found in _each(client, pieces, find, rules, span):
        for mine, some in zip(parts, found, strict=True):
            mine.append(some)
            if sum(map(len, mine)) > MOST_FINDINGS:
                raise UsageError(
                    f"a rule finds more than {MOST_FINDINGS:,} bad sightings, more than anybody could look at: "
                    "take a stricter threshold or a shorter period"
                )
        count.add(piece.rows)
    return [pl.concat(mine) for mine in parts]


def _good(
    client: Client,
    pieces: Sequence[Piece],
    rules: Sequence[Any],
    span: Span,
    marks: Sequence[pl.DataFrame],
    count: _Count,
) -> list[pl.DataFrame]:
    slim = [one.select("number", "citizen_key", "accepted_at", "report_id", "time", "latest") for one in marks]
    columns = {"number": pl.UInt32, "accepted_at": pl.Int64, "report_id": pl.Int64, "time": pl.Int64}
    first = [pl.DataFrame(schema=columns) for _ in rules]
    if not any(map(len, marks)):
        count.add(sum(piece.rows for piece in pieces))
        return first
    known = client.scatter(slim, broadcast=True, hash=False)
    for piece, found in _each(client, pieces, recover, rules, span, known):
        first = [earliest(pl.concat([one, more])) for one, more in zip(first, found, strict=True)]
        count.add(piece.rows)
    return first


def _folded(
    client: Client, marks: pl.DataFrame, good: pl.DataFrame, closing: Closing, cool_down_us: int, late_after_us: int
) -> pl.DataFrame:
    """Subjects are whole in a shard; the shards come back in the order of the subjects."""
    keys = marks["citizen_key"].to_numpy()
    cuts = np.searchsorted(keys, keys[np.arange(_SHARD, len(keys), _SHARD)])
    bounds = np.unique([0, *cuts, len(keys)])
    shared = client.scatter(closing, hash=False)
    tasks = []
    for begin, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        mine = good.filter(pl.col("number").is_between(begin, end - 1))
        some = client.scatter([marks.slice(begin, end - begin), mine], hash=False)
        tasks.append(client.submit(fold, *some, shared, cool_down_us, late_after_us, pure=False))
    parts: list[pl.DataFrame] = client.gather(tasks)
    return pl.concat([pl.DataFrame(schema=ALERTS), *parts])


def _each(
    client: Client, pieces: Sequence[Piece], task: Callable[..., _T], *arguments: Any
) -> Iterator[tuple[Piece, _T]]:
    """Each piece with what a task makes of it, as they are done, and only a few at once."""
    waiting = iter(pieces)
    piece_of: dict[Future[_T], Piece] = {}

    def submit(piece: Piece) -> Future[_T]:
        future = client.submit(task, piece, *arguments, pure=False)
        piece_of[future] = piece
        return future

    ahead = max(1, 2 * sum(client.nthreads().values()))
    first = [submit(piece) for piece in islice(waiting, ahead)]
    running = as_completed(first, loop=client.loop)
    for future in running:
        result = future.result()
        yield piece_of.pop(future), result
        running.update(submit(piece) for piece in islice(waiting, 1))


class _Count:
    """Tells how far it is: each sighting is looked at twice, and counts half each time."""

    def __init__(self, progress: Advance | None, total: int) -> None:
        self._progress, self._total, self._looks = progress, total, 0
        self.add(0)

    def add(self, rows: int) -> None:
        self._looks += rows
        if self._progress is not None:
            self._progress(self._looks // 2, self._total)


@contextmanager
def _cluster(client: Client | None, workers: int, rows: int) -> Iterator[Client]:
    if client is not None:
        yield client
        return
    small = rows < _SMALL_ROWS
    settings = {"distributed.nanny.pre-spawn-environ": _WORKER_ENVIRONMENT}
    with (
        nullcontext() if small else dask.config.set(settings),
        LocalCluster(
            n_workers=1 if small else workers,
            threads_per_worker=2 if small else 1,
            processes=not small,
            host="127.0.0.1",
            protocol="tcp://",
            memory_limit=None if small else _MEMORY_LIMIT,
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0", "dashboard": False},
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster, set_as_default=False) as own,
    ):
        yield own


@contextmanager
def _explained(client: Client) -> Iterator[None]:
    """Says in words for people what went wrong with files or workers."""
    try:
        yield
    except TimeoutError as error:
        address = client.scheduler.address  # type: ignore[union-attr]
        raise PeacewatchError(
            f"no Dask worker of the scheduler at {address} answers: start some with `dask worker {address}`"
        ) from error
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise StorageError(f"the archive cannot be read ({reason}): `peacewatch verify` finds what is torn") from error
    except ImportError as error:
        raise PeacewatchError(f"a Dask worker cannot import Peacewatch ({error}): install it there") from error
    except KilledWorker as error:
        raise PeacewatchError(
            "Dask workers died over the same files, probably for want of memory: take a shorter period"
        ) from error
