"""The command that makes sample data."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.commands.common import Session, json_flag, pass_session
from pipeline.commands.output import escaped, print_json, progress_bar, show


@click.command()
@click.argument("directory", required=False, metavar="[DIR]", type=click.Path(file_okay=False, path_type=Path))
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, metavar="S", help="Another month.")
@json_flag
@pass_session
def sample(session: Session, directory: Path | None, seed: int, as_json: bool) -> None:
    """Make a workspace with a small month in it, to try things on.

    Four weeks of a made-up fleet: reports, alerts and what made-up officers did with
    them. In DIR, else where --workspace says.

    \b
    Example:
      peacewatch sample ~/sample
      peacewatch --workspace ~/sample lab
    """
    from pipeline.sample import make_sample

    with progress_bar("making a month", "days") as advance:
        workspace = make_sample(directory or session.directory, seed=seed, on_progress=advance)
    if as_json:
        print_json({"workspace": str(workspace.root)})
    else:
        place = escaped(workspace.root)
        show(f"Made a month in [bold]{place}[/bold]; `peacewatch --workspace {place} lab` opens it.")
