"""What it costs to write files of the archive and to keep the cube, for each GB of reports.

    python benchmarks/staging.py --reports 300000 --times 7

Simulated reports are decoded and put into groups first, as workers do; that is not counted. The variants take turns:
how a table is encoded (in memory), a codec (with files and fsync), staging with and without the cube's sums, and
refreshes of the cube, one for every few groups, from the sums and from the files. Prints one JSON object a variant:
the median seconds of this process's processor time (user and system), and the MB that were written.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from pipeline.dialects import decode, load_dialect
from pipeline.fingerprints import identity_fingerprints
from pipeline.lake.cube import Cube
from pipeline.lake.parquet import MERGED, STAGED, encodings
from pipeline.lake.stage import Batch, Choice, stage
from pipeline.lake.sums import sum_staged
from pipeline.lake.tables import Lake, Window
from pipeline.schema import TABLES
from pipeline.simulator import Simulation, SimulationSettings
from pipeline.workspace import Workspace

_SLICE_BYTES, _GROUP_BYTES = 6_000_000, 16_000_000
#: Groups between two refreshes of the cube: one every few seconds at full speed.
_REFRESH_EVERY = 3
_CODECS: dict[str, dict[str, Any]] = {
    "none": {"compression": "none"},
    "snappy": STAGED,
    "lz4": {"compression": "lz4"},
    "zstd 1": MERGED,
    "zstd 3": {"compression": "zstd", "compression_level": 3},
}


@dataclass(frozen=True)
class Group:
    """What one call of `stage` gets."""

    batches: list[Batch]
    choices: list[Choice]

    def table(self, name: str) -> pa.Table:
        """All rows of one of its tables, as they are written."""
        return pa.concat_tables([getattr(batch, name) for batch in self.batches]).drop_columns(["date"])


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reports", type=int, default=300_000)
    parser.add_argument("--times", type=int, default=7)
    arguments = parser.parse_args()
    lines = [block.data for block in Simulation(SimulationSettings(reports=arguments.reports, seed=1)).blocks()]
    data = b"".join(lines)
    groups, gb = list(groups_of(data)), len(data) / 1e9
    for table in ("reports", "sightings"):
        parts = [group.table(table) for group in groups]
        options = options_of(parts[0].schema)
        take_turns(table, {name: writer(parts, each) for name, each in options.items()}, arguments.times, gb)
    with tempfile.TemporaryDirectory() as folder:
        steps = {name: stager(Path(folder), groups, sums) for name, sums in (("files", False), ("and sums", True))}
        steps["sums alone, not kept"] = summer(groups)
        take_turns("stage", steps, arguments.times, gb)
        refreshes = {name: refresher(Path(folder), groups, sums) for name, sums in (("files", False), ("sums", True))}
        take_turns("refresh the cube from", refreshes, arguments.times, gb)


def groups_of(data: bytes) -> Iterator[Group]:
    """Reports decoded and in groups; of each identity only the first is chosen."""
    seen: set[int] = set()
    group, size, start, number = Group([], []), 0, 0, 0
    while start < len(data):
        stop = data.find(b"\n", start + _SLICE_BYTES) + 1 or len(data)
        count = data.count(b"\n", start, stop)
        decoded = decode(
            data[start:stop],
            load_dialect("peacewatch"),
            secret="00",
            first_report_id=number,
            accepted_at=[(count, 1.79e9)],
            max_report_bytes=1_000_000,
        )
        prints = identity_fingerprints(decoded.people["citizen_key"], decoded.people["citizen_name"])
        distinct, first = np.unique(prints, return_index=True)
        people = decoded.people.take(pa.array(first))
        group.batches.append(Batch(decoded.reports, decoded.sightings, people, decoded.rejects))
        group.choices.append(Choice(None, np.array([one not in seen for one in distinct.tolist()], bool)))
        seen.update(distinct.tolist())
        size, start, number = size + stop - start, stop, number + count
        if size >= _GROUP_BYTES or start == len(data):
            yield group
            group, size = Group([], []), 0


def options_of(schema: pa.Schema) -> dict[str, dict[str, Any]]:
    """The archive's own encoding, and others that differ in one thing."""
    chosen: dict[str, Any] = {**STAGED, **encodings(schema, keys_repeat=True)}
    doubles = dict.fromkeys({"lat", "lon"}, "BYTE_STREAM_SPLIT")
    options = {
        "chosen": chosen,
        **{name: {**chosen, **codec} for name, codec in _CODECS.items() if codec != STAGED},
        "statistics of all columns": chosen | {"write_statistics": True},
        "no statistics": chosen | {"write_statistics": False},
        "no page checksums": chosen | {"write_page_checksum": False},
        "page index": chosen | {"write_page_index": True},
        "pages of version 2": chosen | {"data_page_version": "2.0"},
        "pages of 256 kB": chosen | {"data_page_size": 1 << 18},
        "row groups of 65,536": chosen | {"row_group_size": 65_536},
        "no Arrow schema": chosen | {"store_schema": False},
        "no dictionaries": chosen | {"use_dictionary": False},
        "no deltas": chosen | {"column_encoding": {}},
        "lat and lon split": chosen | {"column_encoding": chosen["column_encoding"] | doubles},
    }
    if "citizen_key" in schema.names:
        options["no dictionary of keys"] = {**STAGED, **encodings(schema, keys_repeat=False)}
        options["deltas of times"] = chosen | {
            "column_encoding": chosen["column_encoding"] | {"time": "DELTA_BINARY_PACKED"}
        }
    else:
        few = [name for name in chosen["use_dictionary"] if name not in ("battery", "temperature", "citizens")]
        options["no dictionaries of numbers"] = chosen | {"use_dictionary": few}
    return options


def writer(parts: list[pa.Table], options: dict[str, Any]) -> Callable[[], tuple[float, int]]:
    """Writes tables to memory; says how long it took, and how large they are."""

    def write() -> tuple[float, int]:
        began, size = time.process_time(), 0
        for part in parts:
            sink = pa.BufferOutputStream()
            parquet.write_table(part, sink, **options)
            size += sink.getvalue().size
        return time.process_time() - began, size

    return write


def stager(folder: Path, groups: list[Group], sums: bool) -> Callable[[], tuple[float, int]]:
    """Stages the groups, none of them committed."""

    def run() -> tuple[float, int]:
        with workspace(folder) as (_, cube):
            began = time.process_time()
            for group in groups:
                stage(str(cube.lake), group.batches, group.choices, cube.definition if sums else None)
            return time.process_time() - began, size_of(cube.lake)

    return run


def summer(groups: list[Group]) -> Callable[[], tuple[float, int]]:
    """Makes the sums and throws them away."""

    def run() -> tuple[float, int]:
        with tempfile.TemporaryDirectory() as folder:
            definition = Cube.of(Workspace.create(Path(folder) / "force")).definition
        tables = [(group.table("reports"), group.table("sightings")) for group in groups]
        began = time.process_time()
        for reports, sightings in tables:
            sum_staged(definition, reports, sightings)
        return time.process_time() - began, 0

    return run


def refresher(folder: Path, groups: list[Group], sums: bool) -> Callable[[], tuple[float, int]]:
    """Archives the groups, and counts the refreshes of the cube in between."""

    def run() -> tuple[float, int]:
        took, offset = 0.0, 0
        with workspace(folder) as (lake, cube):
            cube.update()
            for number, group in enumerate(groups, 1):
                adds = stage(str(cube.lake), group.batches, group.choices, cube.definition if sums else None)
                offset += sum(batch.reports.num_rows for batch in group.batches)
                counts = {"reports": 0, "sightings": 0, "rejects": 0, "duplicates": 0}
                lake.commit(Window({"log/0": offset}, counts), adds)
                if number % _REFRESH_EVERY == 0 or number == len(groups):
                    began = time.process_time()
                    cube.update()
                    took += time.process_time() - began
        return took, 0

    return run


@contextmanager
def workspace(folder: Path) -> Iterator[tuple[Lake, Cube]]:
    """A workspace for the length of a block: its lake, open for writing, and its cube."""
    made = Workspace.create(folder / "force")
    lake = Lake.open_for_writing(made.lake_path)
    try:
        yield lake, Cube.of(made)
    finally:
        lake.close()
        shutil.rmtree(made.root)


def size_of(lake: Path) -> int:
    """Bytes of the tables' files and of sums."""
    files = [path for name in [*TABLES, "sums"] for path in (lake / name).rglob("*.*") if path.is_file()]
    return sum(path.stat().st_size for path in files if "_delta_log" not in path.parts)


def take_turns(what: str, steps: dict[str, Callable[[], tuple[float, int]]], times: int, gb: float) -> None:
    """Run the steps in turns and print what each costs."""
    took: dict[str, list[float]] = {name: [] for name in steps}
    sizes = {}
    for _ in range(times):
        for name, step in steps.items():
            seconds, sizes[name] = step()
            took[name].append(seconds)
    for name, seconds_of in took.items():
        numbers = {"cpu_s_per_gb": round(median(seconds_of) / gb, 3), "mb_per_gb": round(sizes[name] / 1e6 / gb, 1)}
        print(json.dumps({"what": what, "how": name, **numbers}))


if __name__ == "__main__":
    main()
