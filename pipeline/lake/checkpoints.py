"""Checkpoints of a table's log: which are as they were written, and how to go on without those that are not.

deltalake writes them without a checksum and does without an fsync, and refuses a table whose newest
one is torn. So the writer notes the checksum of each; one that is damaged can go, if
the files of the log that it sums up, or an older checkpoint and those after it, are all there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.durable import replace
from pipeline.sealed import checksum, seal, unseal

#: The checksums of the checkpoints, by name; other readers of Delta pass over it.
NOTE = "_peacewatch.checkpoints"
#: What tells readers where the newest checkpoint is.
HINT = "_last_checkpoint"

_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint.*\.parquet")
_COMMIT = re.compile(r"(\d{20})\.json")


def note_checkpoints(log: Path) -> None:
    """Make the checksums of the checkpoints durable; of those that were noted before, as they were noted."""
    known = noted(log)
    sums = {file.name: known.get(file.name) or checksum(file.read_bytes()) for file in _checkpoints(log)}
    replace(log / NOTE, seal(sums))


def noted(log: Path) -> dict[str, str]:
    """The checksums of the checkpoints that were noted; none if the note is damaged."""
    try:
        return {str(name): str(value) for name, value in unseal((log / NOTE).read_bytes()).items()}
    except (OSError, ValueError):
        return {}


def is_newest_sound(log: Path) -> bool:
    """Whether the newest checkpoint, which is all that a table is opened with, is as it was written; or there is none.

    There is one for every so many commits, each as large as the table has files: not all are looked at each time.
    """
    files = _checkpoints(log)
    newest, hint = max(map(_version, files), default=-1), log / HINT
    if hint.exists() and not _leads_to_one(hint, {newest}):
        return False
    known = noted(log)
    return all(_is_sound(file, known) for file in files if _version(file) == newest)


def damaged(log: Path) -> list[Path]:
    """The checkpoints that are not as they were written, and the hint if it leads to none that is."""
    known = noted(log)
    bad = [file for file in _checkpoints(log) if not _is_sound(file, known)]
    hint = log / HINT
    if hint.exists() and not _leads_to_one(hint, {_version(file) for file in _checkpoints(log) if file not in bad}):
        bad.append(hint)
    return bad


def is_complete_without(log: Path, bad: Iterable[Path]) -> bool:
    """Whether what is left of the log tells everything up to the newest commit."""
    lost = set(bad)
    commits = {_version(file) for file in commits_of(log) if file not in lost}
    sums = {_version(file) for file in _checkpoints(log) if file not in lost}
    newest = max((_version(file) for file in [*commits_of(log), *_checkpoints(log)]), default=-1)
    begin = max(sums, default=-1)
    return newest >= 0 and all(version in commits for version in range(begin + 1, newest + 1))


def commits_of(log: Path) -> list[Path]:
    """The files of the log that hold a commit each, oldest first."""
    return sorted(file for file in log.glob("*.json") if _COMMIT.fullmatch(file.name))


def _is_sound(file: Path, known: dict[str, str]) -> bool:
    try:
        if file.name in known:
            return checksum(file.read_bytes()) == known[file.name]
        pq.read_table(file, page_checksum_verification=True)
    except (OSError, pa.ArrowException):
        return False
    return True


def _leads_to_one(hint: Path, sound: set[int]) -> bool:
    with suppress(OSError, ValueError, LookupError, TypeError):
        return int(json.loads(hint.read_bytes())["version"]) in sound
    return False


def _checkpoints(log: Path) -> list[Path]:
    return sorted(file for file in log.glob("*.checkpoint*.parquet") if _CHECKPOINT.fullmatch(file.name))


def _version(file: Path) -> int:
    return int(file.name[:20])
