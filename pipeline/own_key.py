"""Whether a workspace's key is the one that its archive and its desk were made with, where nothing says so yet."""

from __future__ import annotations

import pyarrow as pa

from pipeline.desk import Desk
from pipeline.desk.audit import Trail
from pipeline.dialects.citizen_key import citizen_key
from pipeline.lake.delta_log import committed
from pipeline.lake.parquet import read_parquet
from pipeline.lake.tables import Lake
from pipeline.workspace import Workspace

_ROWS = 1000


def claim(workspace: Workspace, lake: Lake, desk: Desk) -> None:
    """Note that the key is this workspace's; `UsageError` if audit or identities were made with another one."""
    if not workspace.knows_secret and (
        desk.is_own(Trail(workspace.secret)) is False or _is_stranger(lake, workspace.secret)
    ):
        raise workspace.wrong_secret()
    workspace.note_secret()


def _is_stranger(lake: Lake, secret: str) -> bool:
    """Whether a key gives other keys of citizens than some of those that are archived."""
    files = committed(lake.table("identities"))
    if not files.num_rows:
        return False
    rows = read_parquet(lake.path / "identities" / files["path"][0].as_py()).slice(0, _ROWS)
    ids, names = (pa.array(rows[name].to_pylist(), pa.string()) for name in ("citizen_id", "citizen_name"))
    return not citizen_key(ids, names, secret).equals(rows["citizen_key"].combine_chunks())
