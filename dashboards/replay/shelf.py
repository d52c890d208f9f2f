"""Pieces of the archive that were read lately, for all pages that replay: bounded in bytes.

A piece is named after its time and the files it was read from, so that pages that look
at the same past share it, and nobody gets an old one when the archive has more.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

from pipeline.lake.tail import File
from pipeline.replay import Reports, overlapping, read_reports

#: The time in a piece, microseconds.
PIECE_US = 5 * 60_000_000
#: What all pieces may take, bytes; those that one page needs at once are kept by it in any case.
MOST_BYTES = 256_000_000

_Key = tuple[int, tuple[str, ...]]


class Shelf:
    """See the module. For any thread."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._pieces: OrderedDict[_Key, Reports] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def has(self, files: Sequence[File], number: int) -> bool:
        """Whether piece ``number``, counted from 1970, is at hand."""
        with self._lock:
            return _key(files, number) in self._pieces

    def piece(self, files: Sequence[File], number: int) -> Reports:
        """A piece, read if need be. Raises `StorageError`."""
        key = _key(files, number)
        with self._lock:
            if key in self._pieces:
                self._pieces.move_to_end(key)
                return self._pieces[key]
        made = read_reports(files, number * PIECE_US, (number + 1) * PIECE_US)
        with self._lock:
            if key not in self._pieces:
                self._pieces[key] = made
                self._bytes += made.nbytes
            while self._bytes > self._most and len(self._pieces) > 1:
                self._bytes -= self._pieces.popitem(last=False)[1].nbytes
        return made


def _key(files: Sequence[File], number: int) -> _Key:
    part = overlapping(files, number * PIECE_US, (number + 1) * PIECE_US)
    return number, tuple(sorted(one.path.name for one in part))
