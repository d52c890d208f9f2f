"""The desk: alerts and what officers need around them, in SQL.

Its parts are imported when they are first asked for: who only wants keys need not wait for alerts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.desk.store import Applied, Desk

__all__ = ["Applied", "Desk"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pipeline.desk import store

    return getattr(store, name)
