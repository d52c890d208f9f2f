"""In which order rows should lie in the archive's files: size, and what each kind of question costs.

    python benchmarks/layout.py --workspace /tmp/big --start 2026-09-01 --end 2026-09-04

Copies the sightings of a period in each order, a file a day, in the archive's own encoding, and once as small
files, as they are before they are merged. Asks each copy the same questions with DuckDB, in turns. Prints one JSON
object a copy: megabytes, files, seconds to sort and write, and the median milliseconds of each question.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from pipeline import open_workspace
from pipeline.lake.stage import write
from pipeline.workbench.engines import connect

_BITS = 16
#: What a file of one staged group holds, about.
_SMALL = 100_000


def main() -> None:
    """Write the copies and ask them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--start", default="2026-09-01")
    parser.add_argument("--end", default="2026-09-04")
    parser.add_argument("--times", type=int, default=7)
    arguments = parser.parse_args()
    rows = open_workspace(arguments.workspace).sightings.arrow(start=arguments.start, end=arguments.end)
    questions = questions_of(rows)
    with tempfile.TemporaryDirectory() as folder:
        copies = {}
        for name, order in ORDERS.items():
            began = time.perf_counter()
            copy = Path(folder) / name
            for day in pc.unique(rows["date"]).to_pylist():
                part = rows.filter(pc.equal(rows["date"], day))
                (copy / f"date={day}").mkdir(parents=True)
                ordered = part.take(order(part))
                size = _SMALL if name == "small files" else len(ordered)
                for first in range(0, len(ordered), size):
                    write(copy, "sightings", ordered.slice(first, size))
            copies[name] = (copy, time.perf_counter() - began)
        took: dict[str, dict[str, list[float]]] = {name: {question: [] for question in questions} for name in copies}
        connection = connect()
        for _ in range(arguments.times):
            for question, condition in questions.items():
                for name, (copy, _) in copies.items():
                    took[name][question].append(ask(connection, copy, condition))
        for name, (copy, seconds) in copies.items():
            files = list(copy.rglob("*.parquet"))
            print(
                json.dumps(
                    {
                        "order": name,
                        "rows": rows.num_rows,
                        "mb": round(sum(file.stat().st_size for file in files) / 1e6, 1),
                        "files": len(files),
                        "row_groups": sum(parquet.read_metadata(file).num_row_groups for file in files),
                        "write_s": round(seconds, 1),
                    }
                    | {f"{question}_ms": round(1000 * median(times), 1) for question, times in took[name].items()}
                )
            )


def ask(connection: duckdb.DuckDBPyConnection, copy: Path, condition: str) -> float:
    """Seconds to count the rows and average their scores."""
    began = time.perf_counter()
    connection.sql(
        f"SELECT count(*), avg(peacescore) FROM read_parquet('{copy}/*/*.parquet', hive_partitioning = true) "
        f"WHERE {condition}"
    ).fetchall()
    return time.perf_counter() - began


def questions_of(rows: pa.Table) -> dict[str, str]:
    """Everything, an hour, a kilometre and a half around the middle, and one citizen, as SQL conditions."""
    lat, lon = (pc.mean(rows[name]).as_py() for name in ("lat", "lon"))
    middle = pc.min_max(rows["time"])["min"].as_py()
    hour = f"time >= TIMESTAMPTZ '{middle.date()} 12:00+00' AND time < TIMESTAMPTZ '{middle.date()} 13:00+00'"
    return {
        "all": "true",
        "hour": hour,
        "box": f"lat BETWEEN {lat - 0.007} AND {lat + 0.007} AND lon BETWEEN {lon - 0.01} AND {lon + 0.01}",
        "citizen": f"citizen_key = {rows['citizen_key'][0].as_py()}",
    }


def by(*columns: str) -> Callable[[pa.Table], pa.Array]:
    """The order of some columns."""
    return lambda rows: pc.sort_indices(rows, sort_keys=[(column, "ascending") for column in columns])


def z_order(*columns: str) -> Callable[[pa.Table], pa.Array]:
    """Along the Z-curve (Morton 1966) of some columns' ranks."""

    def order(rows: pa.Table) -> pa.Array:
        code = np.zeros(rows.num_rows, np.uint64)
        for place, column in enumerate(columns):
            values = rows[column]
            numbers = values.cast(pa.int64()).to_numpy() if pa.types.is_timestamp(values.type) else values.to_numpy()
            rank = np.empty(len(numbers), np.uint64)
            rank[np.argsort(numbers, kind="stable")] = np.arange(len(numbers), dtype=np.uint64)
            cell = rank * np.uint64(2**_BITS) // np.uint64(max(1, len(numbers)))
            for bit in range(_BITS):
                code |= ((cell >> np.uint64(bit)) & np.uint64(1)) << np.uint64(bit * len(columns) + place)
        return pa.array(np.argsort(code, kind="stable"))

    return order


def as_it_came(rows: pa.Table) -> pa.Array:
    """No order."""
    return pa.array(np.arange(rows.num_rows))


ORDERS: dict[str, Callable[[pa.Table], pa.Array]] = {
    "small files": as_it_came,
    "as it came": as_it_came,
    "time": by("time"),
    "z-order of place": z_order("lat", "lon"),
    "z-order of place and time": z_order("lat", "lon", "time"),
    "citizen": by("citizen_key", "time"),
}


if __name__ == "__main__":
    main()
