"""Starts JupyterLab, or whatever serves notebooks, on a workspace.

``python -m pipeline.lab.start COMMAND...`` does so with ``PEACEWATCH_WORKSPACE``, for
places where something else than `peacewatch lab` decides how JupyterLab is started.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from pipeline.children import die_with_parent
from pipeline.errors import StorageError
from pipeline.lab.environment import lab_environment
from pipeline.lab.notebooks import copy_notebooks
from pipeline.lab.server import notebooks_of
from pipeline.workspace import Workspace


def become(workspace: Workspace, command: Sequence[str]) -> NoReturn:
    """Bring the notebooks' copies up to date and let ``command`` take this process's place.

    Signals, terminal and exit status are its own then.
    """
    environ = _prepared(workspace)
    os.execvpe(command[0], list(command), environ)


def attend(workspace: Workspace, command: Sequence[str]) -> int:
    """As `become`, but beside this process, which a terminal's Ctrl-C is for; returns the exit status.

    To everybody in the terminal's group it would be an interrupt at any line: kernels, and the cluster's workers.
    """
    with subprocess.Popen(
        command, env=_prepared(workspace), start_new_session=True, preexec_fn=die_with_parent
    ) as process:

        def end(_number: int, _frame: FrameType | None) -> None:
            process.terminate()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, end)
        status = process.wait()
    return status if status >= 0 else 128 - status


def _prepared(workspace: Workspace) -> dict[str, str]:
    """The notebooks' copies brought up to date; the environment to start in."""
    try:
        changed = copy_notebooks(notebooks_of(workspace))
    except OSError as error:
        raise StorageError(
            f"the notebooks cannot be copied to {error.filename} ({error.strerror}): JupyterLab needs a workspace "
            "that this account may write to"
        ) from error
    for kept in changed:
        print(f"{kept} was changed here and is left as it is; delete it to get the one of this version.", flush=True)
    return lab_environment(workspace, os.environ)


if __name__ == "__main__":
    become(Workspace.open(os.environ["PEACEWATCH_WORKSPACE"]), sys.argv[1:])
