"""The command that sends rejects through the pipeline again."""

from __future__ import annotations

import click

from pipeline.commands.common import Session, json_flag, pass_session
from pipeline.commands.output import print_json, show


@click.command()
@click.option("--reason", metavar="TEXT", help="Only those whose reason contains this text. Default: all.")
@json_flag
@pass_session
def requeue(session: Session, reason: str | None, as_json: bool) -> None:
    """Append rejects to the log again, after a fix.

    They go through byte for byte, in the dialect of the settings as they are now, each
    once: what is still wrong is rejected anew. Restart `peacewatch run` first if a
    dialect's file was changed.

    \b
    Example:
      peacewatch requeue --reason "does not fit dialect"
    """
    from pipeline.desk.audit import Actor
    from pipeline.desk.office import Office
    from pipeline.requeue import requeue, waiting

    workspace = session.open()
    kinds = None if reason is None else [kind for kind in waiting(workspace) if reason in kind]
    office = Office(workspace)
    try:
        lines = requeue(workspace, office, Actor("operator"), kinds)
    finally:
        office.close()
    if as_json:
        print_json({"requeued": lines})
    elif lines:
        show(f"Requeued [bold]{lines:,}[/bold] lines: `peacewatch run` reads them.")
    else:
        show("No rejects to requeue.")
