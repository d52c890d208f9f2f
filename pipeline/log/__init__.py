"""The durable log, and the one door to its implementations."""

from __future__ import annotations

from pipeline.errors import UsageError
from pipeline.log.base import Appended, Chunk, Log, Slice, Stretch
from pipeline.workspace import LogSettings

__all__ = ["Appended", "Chunk", "Log", "Slice", "Stretch", "open_log"]


def open_log(url: str, settings: LogSettings) -> Log:
    """Open (or make) the log at ``url``; `UsageError` for a kind that is not known."""
    if url.startswith("sqlite:///"):
        from pipeline.log.sqlite import SQLiteLog

        return SQLiteLog(url.removeprefix("sqlite:///"), settings)
    raise UsageError(f"log.url = {url!r} is wrong: use sqlite:///FILE")
