"""DuckDB, in one process and in memory, with a thread a core.

Settings that its documentation advises for bulk loads: the schema is given, the order of rows need not be kept. Lines
that cannot be read become rows of nulls (``ignore_errors``); what is out of range, SQL leaves out. Copies are found by
grouping on the key, which was faster than DISTINCT ON.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from benchmarks.systems.contract import PLAIN, SAME, SECRET, Clock, answer, arguments, make_durable

_COLUMNS = """{unit: 'VARCHAR', n: 'BIGINT', ts: 'BIGINT', pos: 'STRUCT(lat DOUBLE, lon DOUBLE)', state: 'VARCHAR',
    cell: 'DOUBLE', celsius: 'DOUBLE', heard: 'VARCHAR', firmware: 'VARCHAR', model: 'JSON', people:
    'STRUCT(ref VARCHAR, who STRUCT(given VARCHAR, family VARCHAR), calm DOUBLE, doing VARCHAR)[]'}"""
_FINE = """unit IS NOT NULL AND ts IS NOT NULL AND n IS NOT NULL AND people IS NOT NULL
    AND abs(pos.lat) <= 90 AND abs(pos.lon) <= 180 AND list_bool_and(list_transform(people, lambda p:
        coalesce(p.calm BETWEEN 0 AND 100, false) AND coalesce(p.ref, p.who.given, p.who.family) IS NOT NULL))"""
_SAME = [
    f"CREATE TEMP TABLE raw AS SELECT *, coalesce({_FINE}, false) AS fine FROM {{source}}",
    "CREATE TEMP TABLE once AS SELECT min(rowid) AS report_id FROM raw WHERE fine GROUP BY unit, ts, n",
    "CREATE TEMP TABLE kept AS SELECT once.report_id, raw.* FROM raw JOIN once ON raw.rowid = once.report_id",
    """COPY (SELECT report_id, unit, n, epoch_ms(ts) AS time, pos.lat, pos.lon, state, cell, celsius,
        len(people) AS citizens, string_split(heard, ' ') AS words, firmware, model FROM kept)
        TO '{output}/reports.parquet' (COMPRESSION zstd)""",
    f"""CREATE TEMP TABLE seen AS SELECT report_id, position, unit, time, lat, lon, ref, name, p.calm AS score,
            p.doing AS action,
            ('0x' || left(sha256('{SECRET}' || coalesce('i' || ref, 'n' || name)), 16))::UBIGINT AS citizen_key
        FROM (SELECT *, p.ref AS ref, p.who.given || ' ' || p.who.family AS name
        FROM (SELECT report_id, generate_subscripts(people, 1) - 1 AS position, unit, epoch_ms(ts) AS time,
            pos.lat AS lat, pos.lon AS lon, unnest(people) AS p FROM kept))""",
    """COPY (SELECT * EXCLUDE (ref, name) FROM seen) TO '{output}/sightings.parquet' (COMPRESSION zstd)""",
    """COPY (SELECT DISTINCT citizen_key, ref, name FROM seen) TO '{output}/identities.parquet' (COMPRESSION zstd)""",
    """COPY (SELECT citizen_key, min(score) AS worst, count(*) AS findings, max(time) AS time, arg_max(score, time) AS
        score, arg_max(ref, time) AS ref, arg_max(name, time) AS name FROM seen WHERE score <= 10 GROUP BY citizen_key)
        TO '{output}/alerts.parquet' (COMPRESSION zstd)""",
]
_PLAIN = ["COPY (SELECT * FROM {source}) TO '{output}/reports.parquet' (COMPRESSION zstd)"]


def main() -> None:
    """Run one job and print its result."""
    given = arguments(SAME, PLAIN)
    connection = duckdb.connect(config={"threads": given.cores, "preserve_insertion_order": False})
    source = f"read_ndjson('{given.input}', columns = {_COLUMNS}, ignore_errors = true)"
    clock = Clock()
    for statement in {SAME: _SAME, PLAIN: _PLAIN}[given.job]:
        connection.execute(statement.replace("{source}", source).replace("{output}", str(given.output)))
    make_durable(given.output)
    took = clock.read()
    if given.job == SAME:
        answer(took, stored(connection, given.output))
    else:
        answer(took, {"lines": number(connection, f"'{given.output}/reports.parquet'")})


def stored(connection: duckdb.DuckDBPyConnection, output: Path) -> dict[str, int]:
    """Rows of each table, as they are on disk; and what was left out of them."""
    counts = {
        name: number(connection, f"'{output}/{name}.parquet'")
        for name in ("reports", "sightings", "identities", "alerts")
    }
    rejected = number(connection, "raw WHERE NOT fine")
    duplicates = number(connection, "raw") - rejected - counts["reports"]
    return counts | {"rejected": rejected, "duplicates": duplicates}


def number(connection: duckdb.DuckDBPyConnection, rows: str) -> int:
    """How many rows there are."""
    return connection.execute(f"SELECT count(*) FROM {rows}").fetchall()[0][0]


if __name__ == "__main__":
    main()
