"""Files that survive a power cut: written, fsynced, and their directory entry too."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from pipeline.errors import StorageError


def sync(path: Path) -> None:
    """fsync a file or a directory; `StorageError` if the disk refuses.

    What was refused may be gone: a later fsync that succeeds says nothing about it, so it must be written again.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise StorageError(f"{path} could not be made durable ({error.strerror}): check the disk") from error


def is_read_only(path: Path) -> bool:
    """Whether a file is there and can only be read, by this account or by anybody: on a snapshot, say."""
    return path.is_file() and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))


def sqlite_snapshot(path: Path) -> str:
    """The URI of an SQLite file that can only be read.

    What a process that was alive had not yet put into the file is in its WAL, and is read from there.
    """
    wal = path.with_name(f"{path.name}-wal")
    left = wal.exists() and wal.stat().st_size > 0
    return f"file:{quote(str(path))}?{'mode=ro' if left else 'immutable=1'}"


def replace(path: Path, content: bytes, durable: bool = True) -> None:
    """Give a file new content, all or nothing; ``durable`` makes it survive a power cut."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            fresh.write_bytes(content)
            if durable:
                sync(fresh)
            fresh.replace(path)
        except BaseException:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)
            raise
    except OSError as error:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise StorageError(f"{path} could not be written ({error.strerror}): check the disk") from error
    if durable:
        sync(path.parent)


def set_aside(file: Path, root: Path) -> Path:
    """Move a damaged file below ``root`` into its folder ``quarantine``, durably; returns where it is now."""
    target = root / "quarantine" / file.relative_to(root)
    number = 1
    while target.exists():
        number += 1
        target = target.with_name(f"{target.name.partition('~')[0]}~{number}")
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.rename(target)
    except OSError as error:
        raise StorageError(f"{file} could not be moved to {target} ({error.strerror}): check the disk") from error
    for folder in (target.parent, file.parent):
        sync(folder)
    return target
