"""A checksum in each row of a desk on SQLite, so that a byte that changed by itself is noticed.

SQLite has no checksums of its own (PostgreSQL has, of its pages). Triggers keep them, which live in
Peacewatch's own connections: to other tools it is a column without meaning. A desk of before gets them when it is
opened. Whoever changes rows with another tool is noticed too. No row is judged by what it means.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator
from typing import Any

COLUMN = "row_check"
#: The table whose row ``schema`` has the checksum of how the tables are defined.
META = "desk_meta"

_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
_SCHEMA = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type, name"


def check_of(*values: Any) -> int:
    """The checksum of a row's values, in the order of its columns; one that is added later changes nothing if null."""
    told = [(place, value) for place, value in enumerate(values) if value is not None]
    return zlib.crc32(repr(told).encode("utf-8", "surrogatepass"))


def install(connection: sqlite3.Connection) -> None:
    """Keep the checksums of what this connection writes. Not within a transaction."""
    connection.create_function("peacewatch_row_check", -1, check_of, deterministic=True)
    connection.execute("PRAGMA temp_store = MEMORY")
    for table, columns in _checked(connection).items():
        new = ", ".join(f'NEW."{name}"' for name in columns)
        changed = ", ".join(f'"{name}"' for name in columns)
        for event in ("INSERT", f"UPDATE OF {changed}"):
            name = f"{table}_{event.partition(' ')[0].lower()}"
            connection.execute(f'DROP TRIGGER IF EXISTS temp."{name}"')
            connection.execute(
                f'CREATE TEMP TRIGGER "{name}" AFTER {event} ON main."{table}" BEGIN '
                f'UPDATE "{table}" SET {COLUMN} = peacewatch_row_check({new}) WHERE rowid = NEW.rowid; END'
            )


def add(connection: sqlite3.Connection, changed: bool) -> None:
    """Give checksums to tables that have none yet, of what they hold now; within a transaction.

    ``changed`` says that this transaction has made tables.
    """
    known = _checked(connection)
    new = [table for (table,) in connection.execute(_TABLES).fetchall() if table not in known]
    if not new and not changed:
        return
    connection.create_function("peacewatch_row_check", -1, check_of, deterministic=True)
    for table in new:
        connection.execute(f'ALTER TABLE "{table}" ADD COLUMN {COLUMN} INTEGER')
    tables = _checked(connection)
    if META in tables:
        connection.execute(
            f"INSERT INTO {META} (name, value) VALUES ('schema', ?) "
            "ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE value <> excluded.value",
            (schema_check(connection),),
        )
    for table in new:
        names = ", ".join(f'"{name}"' for name in tables[table])
        connection.execute(f'UPDATE "{table}" SET {COLUMN} = peacewatch_row_check({names})')


def is_complete(connection: sqlite3.Connection) -> bool:
    """Whether each table has checksums."""
    return len(_checked(connection)) == len(connection.execute(_TABLES).fetchall())


def problems(connection: sqlite3.Connection) -> Iterator[str]:
    """What is not as it was written, in words that name no person: pages, indexes, rows by table and number."""
    for (told,) in connection.execute("PRAGMA integrity_check(20)"):
        if told != "ok":
            yield " ".join(str(told).split())
    before = connection.text_factory
    known = connection.execute(f"SELECT value FROM {META} WHERE name = 'schema'").fetchone()
    if known is not None and known[0] != schema_check(connection):
        yield "the definitions of the tables are not as they were written"
    connection.text_factory = _text
    try:
        for table, columns in _checked(connection).items():
            names = ", ".join(f'"{name}"' for name in columns)
            for number, check, *values in connection.execute(f'SELECT rowid, {COLUMN}, {names} FROM "{table}"'):
                if check is not None and check != check_of(*values):
                    yield f"row {number} of {table} is not as it was written"
    finally:
        connection.text_factory = before


def schema_check(connection: sqlite3.Connection) -> int:
    """The checksum of how the tables and indexes are defined."""
    return check_of(*(sql for (sql,) in connection.execute(_SCHEMA)))


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")


def _checked(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """The tables with checksums, and the columns that those are of."""
    tables = {table: _columns(connection, table) for (table,) in connection.execute(_TABLES).fetchall()}
    return {table: [name for name in names if name != COLUMN] for table, names in tables.items() if COLUMN in names}


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]
