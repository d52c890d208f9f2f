"""The command that tries another rule on the archive."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.commands.common import Session, json_flag, pass_session
from pipeline.commands.output import escaped, print_json, progress_bar, show, show_table
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.backtest import Backtest, Candidate
    from pipeline.workspace import Rules

_DISTRICTS = 8


@click.command()
@click.option("--threshold", metavar="X", help='An alert from here on: a number, or a comparison such as "<= 12".')
@click.option("--critical", metavar="X", help="An alert of the worst kind from here on.")
@click.option("--recover", metavar="X", help="Good again from here on.")
@click.option(
    "--cool-down", metavar="TIME", help="No new alert of the same person so soon after the last, such as 30m."
)
@click.option("--group", metavar="M/TIME", help="Neighbours so near and so soon are one incident, such as 200m/10m.")
@click.option(
    "--rules",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A TOML file with [rules], cool_down and group, instead of the options above.",
)
@click.option("--start", metavar="T", help="First event time, UTC, such as 2026-11-02. Default: all there is.")
@click.option("--end", metavar="T", help="Just before this event time, UTC.")
@click.option(
    "--closes-after",
    metavar="TIME",
    default="desk",
    show_default=True,
    help="When officers close an alert: as the desk's did, never, or after a time such as 2h.",
)
@click.option("--scheduler", metavar="URL", help="Use the Dask cluster there, instead of processes of its own.")
@json_flag
@pass_session
def backtest(
    session: Session,
    /,
    file: Path | None,
    start: str | None,
    end: str | None,
    closes_after: str,
    scheduler: str | None,
    as_json: bool,
    **changed: str | None,
) -> None:
    """Try another rule on the archive, and compare it with today's.

    Says which alerts would be gained and lost, what the lost ones turned out to be, and how often
    officers would be called, by hour and district. What is not given stays as it is today.

    \b
    Example:
      peacewatch backtest --threshold 12 --cool-down 30m --group 200m/10m --start 2026-11-02 --end 2026-11-09
    """
    workspace = session.open_behind_alerts()
    tried = _candidate(workspace.settings.rules, file, changed)

    from pipeline.backtest import backtest as run

    with progress_bar("backtesting", "sightings") as advance, _client(scheduler) as client:
        result = run(workspace, tried, start, end, client, advance, closes_after)
    if as_json:
        print_json(result.as_json())
    else:
        _show(result)


def _candidate(today: Rules, file: Path | None, changed: dict[str, str | None]) -> Candidate:
    from pipeline.backtest import candidate, candidate_from_file

    given = {name: value for name, value in changed.items() if value is not None}
    if file is None:
        return candidate(today, **given)
    if given:
        option = f"--{next(iter(given)).replace('_', '-')}"
        raise UsageError(f"{option} and --rules were given: write all of the rule into {file}, or leave --rules out")
    return candidate_from_file(file, today)


def _client(scheduler: str | None) -> AbstractContextManager[Any]:
    """The Dask client of a scheduler, or None in its place."""
    if scheduler is None:
        return nullcontext()
    from pipeline.workbench.cluster import client

    return client(scheduler)


def _show(result: Backtest) -> None:
    from pipeline.backtest.compare import CANDIDATE, GAINED, KEPT, LOST, TODAY
    from pipeline.backtest.look import numbers

    show(f"[bold]{escaped(result.headline())}[/bold]")
    show(f"Today:     {escaped(result.today)}")
    show(f"Candidate: {escaped(result.candidate)}\n")
    show_table(["", TODAY, CANDIDATE], numbers(result))
    show("")
    changes = ", ".join(f"{result.count(verdict):,} {verdict}" for verdict in (KEPT, GAINED, LOST))
    lost = ", ".join(f"{count:,} {outcome}" for outcome, count in result.lost_outcomes.items() if count)
    show(f"Alerts: {changes}.{f' The lost ones: {lost}.' if lost else ''}\n")
    hours = result.load_by_hour()[["hour", TODAY, CANDIDATE]].to_numpy().tolist()
    most = max(row[2] for row in hours)
    show_table(
        ["hour", TODAY, CANDIDATE, ""],
        [(f"{hour:02}", f"{today:,}", f"{tried:,}", _bar(tried, most)) for hour, today, tried in hours],
    )
    show("")
    districts = result.load_by_district().to_numpy().tolist()
    show_table(
        ["district", TODAY, CANDIDATE],
        [(name, f"{today:,}", f"{tried:,}") for name, today, tried in districts[:_DISTRICTS]],
    )
    if len(districts) > _DISTRICTS:
        show(f"and {len(districts) - _DISTRICTS} more, that change less.")
    show(f"\n{result.period}: {result.sightings:,} sightings in {result.seconds:,.1f} s; {escaped(result.closes)}.")


def _bar(count: int, most: int) -> str:
    return "▇" * round(20 * count / most) if most else ""
