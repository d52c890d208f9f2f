"""The command that opens JupyterLab."""

from __future__ import annotations

import os
import sys

import click

from pipeline.commands.common import Session, pass_session
from pipeline.errors import UsageError


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[-- JUPYTER OPTIONS]")
@pass_session
@click.pass_context
def lab(context: click.Context, session: Session, options: tuple[str, ...]) -> None:
    """Open JupyterLab on this workspace.

    Its notebooks, a Dask cluster for analysis and the dashboard's tile. It listens on this machine only.

    \b
    Example:
      peacewatch lab
      peacewatch lab -- --no-browser --port 8890
    """
    from pipeline.lab.start import attend

    workspace = session.open_behind_alerts()
    if os.geteuid() == 0 and not any("allow-root" in option.replace("_", "-") for option in options):
        raise UsageError(
            "JupyterLab does not start as root, as whoever reaches it may do everything: start it from an account of "
            "its own, or with `peacewatch lab -- --allow-root`"
        )
    context.exit(attend(workspace, [sys.executable, "-m", "jupyterlab", "--ServerApp.answer_yes=True", *options]))
