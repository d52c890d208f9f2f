"""The error tree, grouped by what the caller can do about it.

Every message is one sentence for the person who reads it: what was wrong,
where, and what to do. Errors carry the offending values as attributes and
survive pickling, because they travel between Dask processes.
"""

from __future__ import annotations

from typing import Any


class PeacewatchError(Exception):
    """Anything that Peacewatch reports to its user in one line.

    ``exit_status`` is what the command line returns for it.
    """

    exit_status = 1

    def __init__(self, message: str, **values: Any) -> None:
        super().__init__(message)
        self.message = message
        self.values = values

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.message, self.values))


def _rebuild(kind: type[PeacewatchError], message: str, values: dict[str, Any]) -> PeacewatchError:
    return kind(message, **values)


class UsageError(PeacewatchError):
    """The command or a setting is wrong: change it and try again."""

    exit_status = 2


class BadInput(PeacewatchError):
    """The data given is unreadable: nothing of it was taken in."""


class Overloaded(PeacewatchError):
    """No room right now (log limit, disk): wait ``retry_after_s`` seconds and try again."""

    def __init__(self, message: str, *, retry_after_s: int = 5, **values: Any) -> None:
        super().__init__(message, retry_after_s=retry_after_s, **values)
        self.retry_after_s = retry_after_s


class Unavailable(PeacewatchError):
    """What this needs does not answer now, and may again: try again."""


class StorageError(PeacewatchError):
    """What is stored is torn, missing or could not be made durable: an operator must look."""


class Torn(StorageError):
    """Data at a certain place does not match its checksum: it is lost, what lies around it is not."""


class Conflict(PeacewatchError):
    """Another process holds what this one needs: stop one of the two."""
