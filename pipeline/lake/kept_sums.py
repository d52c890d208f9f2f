"""Sums of staged files, kept beside the tables until the cube has taken them in.

A cache, never a truth: sums that are missing, torn or of another definition are
passed over, and the Parquet file itself is read. So nothing of them is fsynced, and
nothing that goes wrong with them is an error. The cube deletes what it took in;
what nobody asked for goes after an hour.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

import pyarrow as pa

from pipeline.lake.definition import Definition
from pipeline.lake.sums import Sums

_FOLDER = "sums"
_FORMAT = 1
_LEFTOVERS_S = 3600.0
#: More files than this are kept only if no cube is being made: then there is no use in more.
_MOST = 4096
_CHECK_BYTES = 8
_PLACES = "places"


class KeptSums:
    """The sums of a lake's files, found by the names of the files; made by one definition."""

    def __init__(self, lake: Path, definition: Definition) -> None:
        self._folder = lake / _FOLDER
        self._made_by = json.dumps({"sums": _FORMAT, **definition.attributes()}).encode()

    def wanted(self) -> bool:
        """Whether there is room for more."""
        try:
            return sum(1 for _ in self._folder.iterdir()) < _MOST
        except OSError:
            return True

    def keep(self, file: str, sums: Sums) -> None:
        """Keep the sums of a data file; without a word if they cannot be written."""
        about = {
            b"made_by": self._made_by,
            b"rows": str(sums.rows).encode(),
            b"outside": str(sums.outside).encode(),
        }
        table = pa.table({_PLACES: sums.places, **sums.values}).replace_schema_metadata(about)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        content = sink.getvalue()
        with suppress(OSError):
            self._folder.mkdir(exist_ok=True)
            with self._path(file).open("wb") as handle:
                handle.write(_check(memoryview(content)))
                handle.write(content)

    def of(self, file: str) -> Sums | None:
        """The sums of a data file; None if there are none that can be used."""
        try:
            content = memoryview(self._path(file).read_bytes())
        except OSError:
            return None
        check, content = content[:_CHECK_BYTES], content[_CHECK_BYTES:]
        if check != _check(content):
            return None
        table = pa.ipc.open_stream(content).read_all()
        about = table.schema.metadata
        if about[b"made_by"] != self._made_by:
            return None
        values = {name: table[name].to_numpy() for name in table.column_names}
        return Sums(int(about[b"rows"]), int(about[b"outside"]), values.pop(_PLACES), values)

    def discard(self, files: Iterable[str]) -> None:
        """Delete the sums of these data files, and leftovers."""
        for file in files:
            with suppress(OSError):
                self._path(file).unlink()
        remove_leftovers(self._folder.parent)

    def _path(self, file: str) -> Path:
        return self._folder / f"{Path(file).name.partition('.')[0]}.arrow"


def _check(content: memoryview) -> bytes:
    return blake2b(content, digest_size=_CHECK_BYTES).digest()


def remove_leftovers(lake: Path, older_than_s: float = _LEFTOVERS_S) -> None:
    """Delete sums that nobody asked for in so long: of files never committed, or merged before the cube came by."""
    before = time.time() - older_than_s
    with suppress(OSError), os.scandir(lake / _FOLDER) as entries:
        for entry in entries:
            if entry.stat().st_mtime < before:
                Path(entry.path).unlink(missing_ok=True)
