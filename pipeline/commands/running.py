"""Commands that stay: the services of a workspace, alone or all at once as a demo."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from pipeline.commands.common import Session, host_option, json_flag, pass_session, port_option
from pipeline.commands.output import print_json, progress_bar, show


@click.command()
@host_option
@port_option
@json_flag
@pass_session
def gateway(session: Session, host: str | None, port: int | None, as_json: bool) -> None:
    """Take reports in over HTTP.

    POST /v1/reports with a key from `peacewatch keys`; /healthz, /readyz and /metrics.

    \b
    Example:
      peacewatch gateway --port 8080
    """
    from pipeline.intake.gateway import serve

    workspace = session.open()
    settings = workspace.settings.gateway
    serve(
        workspace,
        settings.host if host is None else host,
        settings.port if port is None else port,
        lambda address: _ready(address, as_json),
    )


@click.command()
@host_option
@port_option
@json_flag
@pass_session
def dashboard(session: Session, host: str | None, port: int | None, as_json: bool) -> None:
    """Serve the officers' page.

    Live alerts, a map of them, and counters.

    \b
    Example:
      peacewatch dashboard --port 5006
    """
    from dashboards.app import serve

    workspace = session.open()
    settings = workspace.settings.dashboard
    serve(
        workspace,
        settings.host if host is None else host,
        settings.port if port is None else port,
        lambda address: _ready(address, as_json),
    )


def _ready(address: str, as_json: bool) -> None:
    if as_json:
        print_json({"url": address})
    else:
        show(f"Listening on [bold]{address}[/bold], Ctrl-C ends it.")
        sys.stdout.flush()


@click.command()
@click.option("--until-drained", is_flag=True, help="End when everything in the log is in alerts and archive.")
@click.option("--scheduler", metavar="URL", help="Dask scheduler, tcp://HOST:PORT, instead of a local cluster.")
@json_flag
@pass_session
def run(session: Session, until_drained: bool, scheduler: str | None, as_json: bool) -> None:
    """Run the pipeline, from the log to alerts and archive.

    Until Ctrl-C, or with --until-drained until nothing is left to do.

    \b
    Example:
      peacewatch run --until-drained
      peacewatch run --scheduler tcp://10.0.0.5:8786
    """
    from pipeline.driver import run as flow

    workspace = session.open()
    with progress_bar("running") as advance:
        done = flow(workspace, until_drained, scheduler, advance)
    if as_json:
        print_json(asdict(done))
        return
    rate = done.megabytes / done.seconds if done.seconds else 0.0
    show(
        f"[bold]{done.reports:,}[/bold] reports with {done.sightings:,} sightings in {done.seconds:,.1f} s "
        f"({rate:,.0f} MB/s): {done.alerts_opened:,} new alerts, {done.rejected:,} rejected, "
        f"{done.duplicates:,} duplicates."
    )


@click.command()
@click.argument("services", nargs=-1, type=click.Choice(["gateway", "run", "dashboard"]), metavar="[SERVICE]...")
@pass_session
def up(session: Session, services: tuple[str, ...]) -> None:
    """Start all services, and restart any that dies.

    Runs the gateway, the pipeline and the dashboard, or only the services that you name, on the ports in the
    settings, until Ctrl-C or SIGTERM. Their output goes to logs/ in the workspace.

    \b
    Example:
      peacewatch up
      peacewatch up gateway run
    """
    from pipeline.up import run_up

    def say(text: str) -> None:
        click.echo(text)
        sys.stdout.flush()

    run_up(session.open(), services, say)


@click.command()
@click.option("--duration", type=click.FloatRange(min=0, min_open=True), metavar="S", help="End after S seconds.")
@click.option("--drones", type=click.IntRange(min=1), default=6000, show_default=True, metavar="N", help="Fleet size.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, metavar="P", help="The dashboard's. Default: a free one."
)
@click.option("--keep", is_flag=True, help="Leave the temporary workspace where it is.")
@pass_session
@click.pass_context
def demo(context: click.Context, session: Session, duration: float | None, drones: int, port: int, keep: bool) -> None:
    """Everything at once, with a simulated fleet.

    On free local ports, until Ctrl-C. Works in a temporary workspace, unless --workspace says otherwise.

    \b
    Example:
      peacewatch demo
      peacewatch demo --duration 60 --drones 1000
    """
    from pipeline.demo import run_demo

    source = context.find_root().get_parameter_source("directory")
    # From $PEACEWATCH_WORKSPACE it would be a real one, and its alerts would be made up.
    chosen = source is not None and source.name == "COMMANDLINE"
    run_demo(session.directory if chosen else None, duration=duration, drones=drones, port=port, keep=keep)
