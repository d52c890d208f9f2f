"""Pieces of the archive that were read lately, for all pages that replay: bounded in bytes.

A piece is named after its time and the files it was read from, so that pages that look
at the same past share it, and nobody gets an old one when the archive has more. Pieces
that are needed together are kept as one, too.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

from pipeline.lake.tail import File
from pipeline.replay import Reports, overlapping, read_reports

#: The time in a piece, microseconds.
PIECE_US = 5 * 60_000_000
#: What all of it may take, bytes.
MOST_BYTES = 256_000_000

_Key = tuple[int, tuple[str, ...]]
_Keys = tuple[_Key, ...]


class Shelf:
    """See the module. For any thread."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._kept: OrderedDict[_Keys, Reports] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def has(self, files: Sequence[File], *numbers: int) -> bool:
        """Whether the piece with a number, counted from 1970, is at hand; with several, what they are together."""
        keys = _keys(files, numbers)
        with self._lock:
            return keys in self._kept

    def piece(self, files: Sequence[File], number: int) -> Reports:
        """A piece, read if need be. Raises `StorageError`."""
        return self._get(
            _keys(files, [number]), lambda: read_reports(files, number * PIECE_US, (number + 1) * PIECE_US)
        )

    def joined(self, files: Sequence[File], numbers: Sequence[int]) -> Reports:
        """Pieces that follow one another, as one. Raises `StorageError`."""
        return self._get(
            _keys(files, numbers), lambda: Reports.joined([self.piece(files, number) for number in numbers])
        )

    def _get(self, keys: _Keys, make: Callable[[], Reports]) -> Reports:
        with self._lock:
            if keys in self._kept:
                self._kept.move_to_end(keys)
                return self._kept[keys]
        made = make()
        with self._lock:
            if keys in self._kept:  # somebody else was faster
                return self._kept[keys]
            self._kept[keys] = made
            self._bytes += made.nbytes
            while self._bytes > self._most and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return made


def _keys(files: Sequence[File], numbers: Sequence[int]) -> _Keys:
    return tuple(_key(files, number) for number in numbers)


def _key(files: Sequence[File], number: int) -> _Key:
    part = overlapping(files, number * PIECE_US, (number + 1) * PIECE_US)
    return number, tuple(sorted(one.path.name for one in part))
