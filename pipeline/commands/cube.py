"""Commands on the cube: bring it up to date with the archive, or make it anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from pipeline.commands.common import Session, json_flag, pass_session
from pipeline.commands.output import print_json, progress_bar, show

if TYPE_CHECKING:
    from pipeline.lake.cube import Refreshed

#: A `run` that refreshes the cube has it for a moment only.
_PATIENCE_S = 10.0


@click.group()
def cube() -> None:
    """The space-time cube: what happened in each cell, five minutes by five minutes.

    `run` keeps it up to date by itself.

    \b
    Example:
      peacewatch cube update
    """


@cube.command()
@json_flag
@pass_session
def update(session: Session, as_json: bool) -> None:
    """Take in what the archive has more than the cube.

    Makes it anew if that is not enough: without one, with another area or rules, after rows were deleted.

    \b
    Example:
      peacewatch cube update
    """
    from pipeline.lake.cube import Cube

    _report(Cube.of(session.open_behind_alerts()).update, as_json)


@cube.command()
@json_flag
@pass_session
def rebuild(session: Session, as_json: bool) -> None:
    """Make the cube anew from the whole archive.

    Readers have the old one until it is done. The arrays come out the same, bit for bit.

    \b
    Example:
      peacewatch cube rebuild
    """
    from pipeline.lake.cube import Cube

    _report(Cube.of(session.open_behind_alerts()).rebuild, as_json)


def _report(refresh: Callable[..., Refreshed], as_json: bool) -> None:
    with progress_bar("counting", "files") as advance:
        done = refresh(advance, wait_s=_PATIENCE_S)
    if as_json:
        print_json(asdict(done))
        return
    rows = f"{done.rows['reports']:,} reports with {done.rows['sightings']:,} sightings"
    if done.mode == "unchanged":
        show("The cube holds all of the archive already.")
    elif done.mode == "updated":
        show(f"Added {rows} to the cube.")
    else:
        show(f"Made the cube anew, as {done.reason}: {rows}.")
