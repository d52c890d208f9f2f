"""Peacewatch: reports of drones in, alerts and an archive for analysis out.

`open_workspace` is the door for data scientists; it costs nothing until it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.workbench.door import Workbench

__all__ = ["open_workspace"]


def open_workspace(path: Path | str | None = None) -> Workbench:
    """A workspace for analysis: that of a directory, of ``PEACEWATCH_WORKSPACE``, or the one we are in.

    Raises `UsageError` if there is none, or if one of its settings is wrong.
    """
    from pipeline.workbench.door import Workbench

    return Workbench.open(path)
