"""The one way to names: first a row in the audit, then the names."""

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import Sequence
from contextlib import closing

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.desk.audit import Actor, Entry
from pipeline.desk.office import Office
from pipeline.desk.texts import tidy
from pipeline.errors import UsageError
from pipeline.lake.tables import Lake
from pipeline.schema import IDENTITIES
from pipeline.workspace import Workspace

LOOKED = "looked at identities"
#: Fewer words than this say nothing.
_WORDS = 2
_LONGEST = 200


def identities(workspace: Workspace, purpose: str, keys: Sequence[int] | None = None) -> pd.DataFrame:
    """The names of citizens (all, or those of ``keys``), once the look is in the audit.

    Raises `UsageError` without a purpose of a few words, and `StorageError`, with nothing
    shown, if the audit cannot be written.
    """
    why = tidy(purpose, _LONGEST) if isinstance(purpose, str) else ""
    if len(why.split()) < _WORDS:
        raise UsageError(
            'say why in a few words, such as identities(purpose="case 2026-114, find the family"): '
            "it is written to the audit"
        )
    chosen = None if keys is None else sorted({int(key) for key in keys})
    with closing(Office(workspace)) as office:
        for entry in _entries(why, chosen):
            office.record(entry)
    rows = Lake(workspace.lake_path).read("identities", IDENTITIES.names)
    if chosen is not None:
        rows = rows.filter(pc.is_in(rows["citizen_key"], pa.array(chosen, pa.int64())))
    frame: pd.DataFrame = rows.to_pandas(types_mapper=pd.ArrowDtype)
    return frame


def _entries(why: str, keys: list[int] | None) -> list[Entry]:
    """One for all, or one for each person, as on the officers' pages."""
    actor = Actor(_who(), purpose=why)
    details = {"purpose": why, "at": "workbench", "host": socket.gethostname()}
    if "JUPYTERHUB_USER" in os.environ:
        details["jupyter_user"] = os.environ["JUPYTERHUB_USER"]
    if keys is None:
        return [Entry(actor, LOOKED, details=details | {"citizens": "all"})]
    return [Entry(actor, LOOKED, citizen_key=key, details=details) for key in keys]


def _who() -> str:
    """The operating system's name of who asks: not the environment's, which anybody can set."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"
