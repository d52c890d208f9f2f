"""The durable log, and the one door to its implementations."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import Overloaded, StorageError, UsageError
from pipeline.log.base import Appended, Chunk, Log, Slice, Stretch
from pipeline.workspace import LogSettings

__all__ = ["Appended", "Chunk", "Log", "Slice", "Stretch", "open_log"]


def open_log(
    url: str, settings: LogSettings, create: bool = True, busy_s: float = 10.0, look_only: bool = False
) -> Log:
    """Open the log at ``url``, or make it if ``create``.

    A program that holds it locked is waited for ``busy_s`` seconds. Who will ``look_only``
    gets a log on a full disk as well. Raises `UsageError`
    for a kind that is not known, `StorageError` if there is no log to open.
    """
    if url.startswith("sqlite:///"):
        from pipeline.log.sqlite import SQLiteLog

        path = url.removeprefix("sqlite:///")
        if not create and not Path(path).is_file():
            raise StorageError(f"there is no log at {path}: workers must see the workspace under the same path")
        try:
            return SQLiteLog(path, settings, busy_s)
        except (StorageError, Overloaded):
            if not look_only or not Path(path).is_file():
                raise
            return SQLiteLog(path, settings, busy_s, read_only=True)
    raise UsageError(f"log.url = {url!r} is wrong: use sqlite:///FILE")
