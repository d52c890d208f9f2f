"""What JupyterLab and its kernels find in their environment.

Analysts get a Dask cluster of their own, on loopback and with bounded memory, that
lives and ends with JupyterLab: whatever they ask of it, no alert waits for it. The
Dask panel starts it, so that it is in its list; a kernel finds it by
``DASK_SCHEDULER_ADDRESS``, which Dask itself heeds.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path

from dask.system import CPU_COUNT
from distributed.system import MEMORY_LIMIT

from pipeline.workspace import Workspace

SCHEDULER = "DASK_SCHEDULER_ADDRESS"
#: In the workspace, the home of who has none.
HOME = "home"
_LOOPBACK = "127.0.0.1"
_THREADS = 2
_MOST_WORKERS = 4
#: Of the machine's memory, all workers together; the rest is the pipeline's and the kernels'.
_SHARE = 0.4
_MOST_BYTES = 8 << 30


def lab_environment(workspace: Workspace, environ: Mapping[str, str]) -> dict[str, str]:
    """``environ`` with all that JupyterLab on ``workspace`` needs; a cluster that it names already is kept."""
    made = {**environ, "PEACEWATCH_WORKSPACE": str(workspace.root)}
    paths = [str(Path(__file__).parent), made.get("JUPYTER_CONFIG_PATH", "")]
    made["JUPYTER_CONFIG_PATH"] = os.pathsep.join(path for path in paths if path)
    made.setdefault("HOLOVIEWSRC", str(Path(__file__).parent / "holoviews_rc.py"))
    if not _is_home(made.get("HOME", "")):
        # Of a service's account: what JupyterLab, kernels and libraries keep there is kept in the workspace.
        made["HOME"] = str(workspace.root / HOME)
        Path(made["HOME"]).mkdir(exist_ok=True)
    if SCHEDULER not in environ:
        port = _free_port()
        made[SCHEDULER] = f"tcp://{_LOOPBACK}:{port}"
        # Of this container, if it is one.
        made["DASK_LABEXTENSION__FACTORY__KWARGS"] = repr(_cluster(port, CPU_COUNT, MEMORY_LIMIT))
        made["DASK_LABEXTENSION__INITIAL"] = repr([{"name": "Analysis"}])
    return made


def _cluster(port: int, cores: int, memory: int) -> dict[str, object]:
    """The arguments of the panel's `LocalCluster`."""
    workers = min(_MOST_WORKERS, max(1, cores // _THREADS))
    return {
        "host": _LOOPBACK,
        "scheduler_port": port,
        "dashboard_address": f"{_LOOPBACK}:0",
        "n_workers": workers,
        "threads_per_worker": _THREADS,
        "memory_limit": int(min(_MOST_BYTES, memory * _SHARE) / workers),
    }


def _is_home(path: str) -> bool:
    return bool(path) and Path(path).is_dir() and os.access(path, os.W_OK)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((_LOOPBACK, 0))
        return int(free.getsockname()[1])
