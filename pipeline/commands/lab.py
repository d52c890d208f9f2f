"""The command that opens JupyterLab."""

from __future__ import annotations

import os
import sys

import click

from pipeline.commands.common import Session, pass_session
from pipeline.commands.output import escaped, show


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[-- JUPYTER OPTIONS]")
@pass_session
def lab(session: Session, options: tuple[str, ...]) -> None:
    """Open JupyterLab on this workspace.

    Its notebooks, a Dask cluster for analysis and the dashboard's tile. It listens on this machine only.

    \b
    Example:
      peacewatch lab
      peacewatch lab -- --no-browser --port 8890
    """
    from pipeline.lab.environment import lab_environment
    from pipeline.lab.notebooks import copy_notebooks
    from pipeline.lab.server import notebooks_of

    workspace = session.open()
    for kept in copy_notebooks(notebooks_of(workspace)):
        show(f"{escaped(kept)} was changed here and is left as it is; delete it to get the one of this version.")
    sys.stdout.flush()
    arguments = [sys.executable, "-m", "jupyterlab", "--ServerApp.answer_yes=True"]
    # JupyterLab takes this process's place: signals, terminal and exit status are its own.
    os.execve(sys.executable, [*arguments, *options], lab_environment(workspace, os.environ))
