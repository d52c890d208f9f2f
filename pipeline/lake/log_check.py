"""Is the log of a table as it was written? Each commit and each checkpoint, before anybody opens the table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from pipeline.lake.checkpoints import HINT, commits_of, damaged, is_complete_without
from pipeline.sealed import is_whole


@dataclass(frozen=True)
class Finding:
    """A file of the log that is damaged; ``spare`` if the table is known without it."""

    file: Path
    why: str
    spare: bool


def check_log(table: Path) -> list[Finding]:
    """What is damaged in a table's log; nothing if there is no table yet."""
    log = table / "_delta_log"
    if not log.is_dir():
        return []
    found = dict(_commits(log)) | {file: _told(file) for file in damaged(log)}
    # Deltalake reads what a checkpoint sums up no more, so a damaged commit before one is spare as well.
    return [Finding(file, why, is_complete_without(log, found)) for file, why in found.items()]


def _commits(log: Path) -> Iterator[tuple[Path, str]]:
    commits = commits_of(log)
    for file in commits:
        try:
            content = file.read_bytes()
            whole = is_whole(content)
            actions = [json.loads(line) for line in content.splitlines()]
        except OSError as error:
            yield file, f"cannot be read ({error.strerror})"
        except ValueError:
            yield file, "is torn"
        else:
            if whole is False:
                yield file, "does not match its checksum"
            elif not actions or not all(isinstance(action, dict) for action in actions):
                yield file, "is torn"
    for before, file in pairwise(commits):
        if int(file.stem) != int(before.stem) + 1:
            yield file, "does not follow the one before it"


def _told(file: Path) -> str:
    return "leads to no checkpoint that is whole" if file.name == HINT else "is no whole checkpoint"
