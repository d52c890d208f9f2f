"""Starts JupyterLab, or whatever serves notebooks, on a workspace.

``python -m pipeline.lab.start COMMAND...`` does so with ``PEACEWATCH_WORKSPACE``, for
places where something else than `peacewatch lab` decides how JupyterLab is started.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from pipeline.lab.environment import lab_environment
from pipeline.lab.notebooks import copy_notebooks
from pipeline.lab.server import notebooks_of
from pipeline.workspace import Workspace


def become(workspace: Workspace, command: Sequence[str]) -> NoReturn:
    """Bring the notebooks' copies up to date and let ``command`` take this process's place.

    Signals, terminal and exit status are its own then.
    """
    for kept in copy_notebooks(notebooks_of(workspace)):
        print(f"{kept} was changed here and is left as it is; delete it to get the one of this version.", flush=True)
    os.execvpe(command[0], list(command), lab_environment(workspace, os.environ))


if __name__ == "__main__":
    become(Workspace.open(os.environ["PEACEWATCH_WORKSPACE"]), sys.argv[1:])
