"""Commands that bring reports in: simulated ones to a file, and files to the log."""

from __future__ import annotations

from typing import Any

import click

from pipeline.commands.common import Session, json_flag, pass_session
from pipeline.commands.output import escaped, print_json, progress_bar, show


@click.command()
@click.option("--reports", type=click.IntRange(min=1), metavar="N", help="How many reports; or give --days.")
@click.option("--seed", type=int, default=1, show_default=True, metavar="S", help="The same seed, the same bytes.")
@click.option("--out", required=True, metavar="FILE", help="`-` for stdout; .gz and .zst are compressed.")
@click.option("--dialect", metavar="D", help="Dialect to write. Default: peacewatch.")
@click.option("--start", type=click.DateTime(), metavar="T", help="First event time, UTC, such as 2026-11-02.")
@click.option("--days", type=click.FloatRange(min=0, min_open=True), metavar="N", help="Spread over this many days.")
@click.option("--drones", type=click.IntRange(min=1), metavar="N", help="Size of the fleet.")
@json_flag
@pass_session
def simulate(session: Session, /, out: str, as_json: bool, **options: Any) -> None:
    """Write the reports of a simulated fleet to a file.

    Needs no workspace; where there is one, the city lies in its area.

    \b
    Example:
      peacewatch simulate --reports 100000 --seed 1 --out reports.ndjson
      peacewatch simulate --days 30 --drones 100 --out month.ndjson.zst
    """
    from pipeline.simulator import Simulation, SimulationSettings, write_simulation
    from pipeline.workspace import FILE

    given = {name: value for name, value in options.items() if value is not None}
    if (session.directory / FILE).is_file():
        given["area"] = session.open().settings.area
    settings = SimulationSettings(**given)
    expected = Simulation(settings).expected
    with progress_bar("simulating") as advance:
        written = write_simulation(settings, out, lambda done: advance(done, expected))
    if out == "-":
        return  # the reports themselves are the output
    if as_json:
        print_json({"reports": written.reports, "bytes": written.bytes, "agitated": written.agitated})
    else:
        show(
            f"Wrote [bold]{written.reports:,}[/bold] reports ({written.bytes / 1e6:,.1f} MB) to {escaped(out)}, "
            f"with {written.agitated:,} agitated sightings."
        )


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--dialect", metavar="D", help="Dialect of the files, instead of the settings': a name or a YAML file.")
@json_flag
@pass_session
def ingest(session: Session, files: tuple[str, ...], dialect: str | None, as_json: bool) -> None:
    """Append the reports in files to the log.

    `-` is standard input. Files packed with gzip or zstd are unpacked,
    whatever they are called, and arrays, objects one after the other and
    indented JSON are taken apart. A line that cannot be read costs none of the
    others: see `peacewatch rejects`.

    \b
    Example:
      peacewatch ingest reports.ndjson yesterday.ndjson.zst
    """
    from pipeline.dialects import workspace_dialect
    from pipeline.intake.files import ingest_files
    from pipeline.log import open_log

    workspace = session.open()
    settings = workspace.settings
    read_as = workspace_dialect(workspace, dialect)
    log = open_log(workspace.log_url, settings.log)
    try:
        with progress_bar("ingesting", "bytes") as advance:
            taken = ingest_files(log, files, read_as, settings.reports.max_report_kb * 1024, advance)
    finally:
        log.close()
    if as_json:
        print_json({"accepted": taken.accepted, "rejected": taken.rejected})
    else:
        rejected = f", [yellow]{taken.rejected:,} rejected[/yellow]" if taken.rejected else ""
        show(f"Accepted [bold]{taken.accepted:,}[/bold] reports{rejected}.")
