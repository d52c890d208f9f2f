"""Reports from files into the log.

Promises: every line is appended, in order and byte for byte, bad ones too (the
flow keeps those as rejects); a full log is waited for; what was appended before
an error stays appended. A file given twice is appended twice: that a report is
stored once is the lake's work. Must not know how a report looks, only whether
its dialect can read it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from pipeline.dialects import Dialect, check
from pipeline.errors import BadInput, Overloaded, UsageError
from pipeline.intake.blocks import STDIN, Damaged, Foreign, cut_chunks, read_blocks
from pipeline.intake.judging import check_lines
from pipeline.log import Appended, Chunk, Log

_COMMIT_BYTES = 4 << 20

#: Told the bytes of the files read so far, as they lie on disk, and how many there are (None if unknown).
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Ingested:
    """Lines appended to the log: those that their dialect can read, and those that it cannot."""

    accepted: int
    rejected: int


def ingest_files(
    log: Log,
    paths: Sequence[str | Path],
    dialect: Dialect,
    max_report_bytes: int,
    progress: Progress | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> Ingested:
    """Append the lines of files to the log; ``-`` is standard input, what is packed with gzip or zstd is unpacked.

    A longer line than ``max_report_bytes`` is appended too, and counts as rejected.
    ``wait`` is called with seconds when the log has no room. Raises `UsageError` for
    a path that cannot be read or a file that is something else than JSON in UTF-8, before
    anything is taken in, and `BadInput` for a file that turns out to be damaged, after its
    complete lines were taken in.
    """
    sizes = [_size(path) for path in paths]
    total = None if None in sizes else sum(size or 0 for size in sizes)
    done = 0

    def advance(read: int) -> None:
        nonlocal done
        done += read
        if progress is not None:
            progress(done, total)

    with ThreadPoolExecutor(1, "ingest") as executor:
        intake = _Intake(log, dialect, max_report_bytes, wait, executor)
        for path in paths:
            before = intake.lines
            try:
                for data in cut_chunks(read_blocks(path, advance)):
                    intake.take(data)
            except Damaged as error:
                intake.finish()
                if isinstance(error, Foreign):  # of a stream
                    raise UsageError(f"{path} cannot be taken in: {error}", path=str(path)) from None
                taken = intake.lines - before
                raise BadInput(
                    f"{path} is damaged: {error}; its first {taken} reports were taken in", path=str(path), taken=taken
                ) from error
        intake.finish()
    return Ingested(intake.lines - intake.rejected, intake.rejected)


def _size(path: str | Path) -> int | None:
    """Bytes of a file, None for a stream; `UsageError` if it cannot be read."""
    if str(path) == STDIN:
        return None
    file = Path(path)
    if not file.exists():
        raise UsageError(f"there is no file {path}: check the name", path=str(path))
    if file.is_dir():
        raise UsageError(f"{path} is a directory: name the files in it", path=str(path))
    if not os.access(file, os.R_OK):
        raise UsageError(f"{path} may not be read by this user: change its permissions", path=str(path))
    if not file.is_file():
        return None
    try:
        read_blocks(file, lambda _: None)
    except Foreign as error:
        raise UsageError(f"{path} cannot be taken in: {error}", path=str(path)) from None
    return file.stat().st_size


class _Intake:
    """Gathers chunks into commits; the next one is read and checked while the last is made durable."""

    def __init__(
        self,
        log: Log,
        dialect: Dialect,
        max_report_bytes: int,
        wait: Callable[[float], None],
        executor: ThreadPoolExecutor,
    ) -> None:
        self._log = log
        self._dialect = dialect
        self._max_report_bytes = max_report_bytes
        self._wait = wait
        self._executor = executor
        self._gathered: list[Chunk] = []
        self._pending: tuple[list[Chunk], Future[list[Appended]]] | None = None
        self._partitions = cycle(range(log.partitions))
        self.lines = 0
        self.rejected = 0

    def take(self, data: bytes) -> None:
        """Count a chunk's lines and append it with its neighbours."""
        checked = check_lines(data, lambda lines: check(lines, self._dialect, self._max_report_bytes))
        self.lines += checked.lines
        self.rejected += len(checked.rejects)
        self._gathered.append(Chunk(data, self._dialect.name))
        if sum(len(chunk.data) for chunk in self._gathered) >= _COMMIT_BYTES:
            self._commit()

    def finish(self) -> None:
        """Return when everything taken is durable."""
        if self._gathered:
            self._commit()
        self._settle()

    def _commit(self) -> None:
        self._settle()
        chunks, self._gathered = self._gathered, []
        self._pending = chunks, self._executor.submit(self._log.append, chunks, next(self._partitions))

    def _settle(self) -> None:
        while self._pending is not None:
            chunks, future = self._pending
            try:
                future.result()
                self._pending = None
            except Overloaded as error:
                # Waiting is done here and not in the other thread, where an interrupt would not reach it.
                self._wait(error.retry_after_s)
                self._pending = chunks, self._executor.submit(self._log.append, chunks, next(self._partitions))
