"""Opening the desk's database, and saying in one sentence what is wrong with it.

Promises for SQLite: a committed transaction survives a power cut, readers never
wait for a writer, and writers wait for one another instead of failing. It must
not know what the tables mean.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError

from pipeline.desk import row_checks
from pipeline.durable import is_read_only, sqlite_snapshot
from pipeline.errors import StorageError, UsageError

_WRITES, _CHECKED = "peacewatch_writes", "peacewatch_checked"
#: The number of the lock that makers of tables take: any, as long as it is the same for all.
_TABLES = 0x7065616365


class Database:
    """An SQLAlchemy engine for SQLite or PostgreSQL, safe to use from several threads.

    ``wait_s`` is how long a writer waits for another before it gives up. Raises
    `UsageError` for a URL of another kind. Nothing is opened before the first use.
    """

    def __init__(self, url: str, wait_s: float = 10) -> None:
        self._wait_s = wait_s
        parsed = _checked(url)
        self._path = parsed.database or ""
        self.name = parsed.render_as_string(hide_password=True)
        sqlite = parsed.get_backend_name() == "sqlite"
        self.read_only = sqlite and is_read_only(Path(self._path))
        try:
            self.engine = sa.create_engine(
                parsed,
                pool_pre_ping=not sqlite,
                max_overflow=-1,
                hide_parameters=True,  # they name people
                **({"creator": self._connect_sqlite} if sqlite else {}),
            )
        except (NoSuchModuleError, ModuleNotFoundError) as error:
            raise UsageError(
                f"desk.url = {self.name} needs a database driver that is not there ({error}): install it, "
                "for PostgreSQL with `pip install 'peacewatch[postgres]'`"
            ) from None
        self._writer = self.engine.execution_options(**{_WRITES: True})
        self._reader = self.engine
        if self.engine.dialect.name == "sqlite":
            sa.event.listen(self.engine, "connect", self._set_up_sqlite)
            sa.event.listen(self.engine, "begin", _begin_sqlite)
        else:
            self._reader = self.engine.execution_options(isolation_level="REPEATABLE READ")

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A connection in one read transaction: a snapshot. Raises `StorageError`."""
        with self._explained(), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A connection in one write transaction, committed at the end, all or nothing.

        On SQLite no other writer is let in meanwhile. Raises `StorageError`.
        """
        with self._explained(), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def making_tables(self) -> Iterator[sa.Connection]:
        """As `write`, for whoever makes tables; those who do so at the same moment take turns. `StorageError`.

        Of a desk that can only be read, the tables must be there.
        """
        if self.read_only:
            with self.read() as connection:
                yield connection
            return
        with self.write() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_TABLES)))
                yield connection
                return
            driver = _driver(connection)
            before = _schema_version(driver)
            yield connection
            row_checks.add(driver, changed=_schema_version(driver) != before)

    def only_read(self) -> bool:
        """From now on, open the file without any need to write to its disk; False if that cannot be done."""
        self.read_only = self.engine.dialect.name == "sqlite" and Path(self._path).is_file()
        self.engine.dispose()
        return self.read_only

    def has_checks(self) -> bool:
        """Whether every table has checksums, as far as it can have them."""
        if self.engine.dialect.name != "sqlite":
            return True
        with self.read() as connection:
            return row_checks.is_complete(_driver(connection))

    def rebuild_indexes(self) -> bool:
        """Make the indexes anew from the rows, if SQLite finds fault with anything; whether that mended all of it."""
        if self.engine.dialect.name != "sqlite" or not self.problems():
            return False
        with suppress(StorageError), self.write() as connection:
            connection.exec_driver_sql("REINDEX")
        return not self.problems()

    def problems(self) -> list[str]:
        """What is not as it was written, in words that name nobody; on PostgreSQL, whose pages tell, nothing."""
        if self.engine.dialect.name != "sqlite":
            return []
        with self.read() as connection:
            return list(row_checks.problems(_driver(connection)))

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def _connect_sqlite(self) -> sqlite3.Connection:
        place = sqlite_snapshot(Path(self._path)) if self.read_only else self._path
        return sqlite3.connect(place, uri=self.read_only, check_same_thread=False)

    def _set_up_sqlite(self, connection: sqlite3.Connection, _record: Any) -> None:
        # The driver must not begin or commit by itself.
        connection.isolation_level = None
        if self.read_only:
            return
        connection.execute(f"PRAGMA busy_timeout = {int(self._wait_s * 1000)}")
        connection.execute("PRAGMA synchronous = FULL")
        # The switch to WAL does not heed the timeout: of processes that make the file at the same
        # moment, all but one may be refused, and find it done a little later.
        deadline = time.monotonic() + self._wait_s
        while connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            try:
                connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.TimeoutError as error:
            raise StorageError(f"the desk {self.name} is too busy: try again", url=self.name) from error
        except DBAPIError as error:
            raise StorageError(self._explain(error), url=self.name, cause=_first_line(error)) from error
        except (sqlite3.Error, UnicodeDecodeError) as error:  # of the driver: even what it says may be damaged
            raise StorageError(
                f"the desk {self.name} is damaged ({type(error).__name__}): move it away and restore it from a backup",
                url=self.name,
            ) from error

    def _explain(self, error: DBAPIError) -> str:
        cause = _first_line(error)
        if "locked" in cause or "busy" in cause:
            return (
                f"the desk {self.name} was locked by another process for more than {self._wait_s:g} s: "
                "find and stop the process that holds it (a backup, an open SQL shell), then try again"
            )
        if "readonly" in cause:
            return f"the desk {self.name} can only be read here: check that this account may write to it"
        if "not a database" in cause or "malformed" in cause:
            return f"the desk {self.name} is damaged ({cause}): move it away and restore it from a backup"
        if "unable to open" in cause:
            return f"the desk {self.name} cannot be opened: check that its directory exists and may be written to"
        if isinstance(error, OperationalError):
            return f"the desk {self.name} failed ({cause}): check its disk or server, then try again"
        return f"the desk {self.name} refused a statement ({cause}): check that it is of this version of Peacewatch"


def _first_line(error: DBAPIError) -> str:
    # PostgreSQL's next lines quote values.
    return (str(error.orig).strip().splitlines() or [type(error.orig).__name__])[0]


def execute_many(
    connection: sa.Connection, statement: sa.Insert | sa.Update, rows: Sequence[Mapping[str, object]]
) -> None:
    """Run ``statement`` for each of ``rows`` (all with the same keys: its parameters), if there are any.

    The rows go to the driver as they are, at a third of the usual cost: values must need no conversion.
    """
    if not rows:
        return
    text, names = _compiled(statement, connection.dialect, tuple(rows[0]))
    prepared = list(map(itemgetter(*names), rows)) if names else [dict(row) for row in rows]
    connection.exec_driver_sql(text, prepared)


@lru_cache(maxsize=64)
def _compiled(
    statement: sa.Insert | sa.Update, dialect: sa.Dialect, keys: tuple[str, ...]
) -> tuple[str, Sequence[str] | None]:
    """A statement's text and, if they go by position, its parameters' names. Statements are kept by identity."""
    compiled = statement.compile(dialect=dialect, column_keys=keys)
    return str(compiled), compiled.positiontup


def _checked(url: str) -> sa.URL:
    right = "use sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME"
    try:
        parsed = sa.make_url(url)
    except ArgumentError:
        raise UsageError(f"desk.url is not a database URL: {right}", key="desk.url") from None
    kind = parsed.get_backend_name()
    if kind not in ("sqlite", "postgresql"):
        raise UsageError(f"desk.url is of kind {kind!r}, which cannot hold a desk: {right}", key="desk.url", value=kind)
    if kind == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise UsageError(f"desk.url names no file, so nothing would be kept: {right}", key="desk.url")
    # A file's name may hold a question mark; what follows it is no option.
    return sa.URL.create(parsed.drivername, database=url.partition(":///")[2]) if kind == "sqlite" else parsed


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    if writes:
        driver = _driver(connection)
        # Also tables that another process has made since.
        if connection.info.get(_CHECKED) != (version := _schema_version(driver)):
            row_checks.install(driver)
            connection.info[_CHECKED] = version
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _driver(connection: sa.Connection) -> sqlite3.Connection:
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def _schema_version(connection: sqlite3.Connection) -> int:
    """Rises with each change of a table's definition."""
    return int(connection.execute("PRAGMA schema_version").fetchone()[0])
