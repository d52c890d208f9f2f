"""The command that opens JupyterLab."""

from __future__ import annotations

import sys

import click

from pipeline.commands.common import Session, pass_session


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
    from pipeline.lab.start import become

    become(session.open(), [sys.executable, "-m", "jupyterlab", "--ServerApp.answer_yes=True", *options])
