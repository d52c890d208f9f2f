"""Which faults pass: what a run waits out, and what ends it as an operator must decide. Pure.

A fault passes if the same step may work later though nobody changes a setting or mends
data: a lock that is held, a full disk, a server or a directory that does not answer.
Whoever asks must be able to repeat the step.
"""

from __future__ import annotations

import errno
import re
import sqlite3
from collections.abc import Iterator

from pipeline.errors import BadInput, Conflict, Overloaded, Torn, Unavailable, UsageError

#: The operator decides: settings, another process, damaged data.
_ENDS = (UsageError, Conflict, BadInput, Torn)
_PASSES = (Overloaded, Unavailable, TimeoutError, ConnectionError)
#: No room, no answer, too much at once.
_PASSING = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ESTALE, errno.ENODEV, errno.ENXIO),
    *(errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.ENOMEM, errno.ENFILE, errno.EMFILE),
    *(errno.ETIMEDOUT, errno.EPIPE, errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENETUNREACH, errno.ENETDOWN),
    *(errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.ENOTCONN, errno.ESHUTDOWN),
}
#: What was there when the run began: a directory that is not mounted now, or may not be entered.
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM}
#: Primary result codes of SQLite: busy, locked, no memory, I/O error, full, cannot open.
_SQLITE = {5, 6, 7, 10, 13, 14}
#: PostgreSQL's classes of SQLSTATE: connection, rollback, resources, lock not available, intervention, system.
_SQLSTATE = ("08", "40", "53", "55", "57", "58")
#: How libraries that are not Python's write an errno.
_WRITTEN = re.compile(r"(?:os error |errno )(\d+)", re.IGNORECASE)


def passes(error: BaseException, at_start: bool = False) -> bool:
    """Whether a fault is one to wait out. ``at_start``: of what never worked, a path that is wrong is a setting."""
    waited = _PASSING if at_start else _PASSING | _GONE
    for cause in _causes(error):
        if isinstance(cause, _ENDS):
            return False
        if isinstance(cause, _PASSES):
            return True
        if (verdict := _of_database(cause)) is not None:
            return verdict
        number = _errno(cause)
        if number is not None:
            return number in waited
    return False


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came from, its own driver's error included, the outermost first."""
    while error is not None:
        yield error
        # SQLAlchemy keeps the driver's error in an attribute.
        inner = getattr(error, "orig", None)
        error = inner if isinstance(inner, BaseException) else error.__cause__


def _of_database(error: BaseException) -> bool | None:
    """What an error of a database's driver means; None if it is not one."""
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)
        return code is not None and code & 0xFF in _SQLITE
    if hasattr(error, "sqlstate"):
        # Without one, the server was not reached.
        state = error.sqlstate
        return type(error).__name__ == "OperationalError" if state is None else str(state).startswith(_SQLSTATE)
    return None


def _errno(error: BaseException) -> int | None:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    written = _WRITTEN.search(str(error))
    return int(written[1]) if written else None
