"""Commands on a workspace as a whole: make it, look at it, and who may send to it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from pipeline.commands.common import TEXT, Session, json_flag, ndjson_flag, pass_session
from pipeline.commands.output import escaped, print_json, show, show_table, time_text


@click.command()
@click.option("--force", type=TEXT, default="My force", show_default=True, metavar="NAME", help="Name shown on pages.")
@json_flag
@pass_session
def init(session: Session, force: str, as_json: bool) -> None:
    """Make a workspace with a commented peacewatch.toml.

    \b
    Example:
      peacewatch --workspace lyon init --force "Police of Lyon"
    """
    from pipeline.workspace import FILE, Workspace

    made = Workspace.create(session.directory, force)
    if as_json:
        print_json({"workspace": str(made.root)})
    else:
        show(f"Made the workspace [bold]{escaped(made.root)}[/bold]; its settings are in {FILE}.")


@click.command()
@json_flag
@pass_session
def status(session: Session, as_json: bool) -> None:
    """One look at log, pipeline, archive and alerts.

    \b
    Example:
      peacewatch status
    """
    from pipeline.status import status as look

    found = look(session.open())
    if as_json:
        print_json(found)
    else:
        show_table(["", ""], [[name, told] for name, told in _overview(found).items()])


def _overview(found: dict[str, Any]) -> dict[str, str]:
    """The status in a person's words, a line each."""
    log, run, latency = found["log"], found["run"], found["latency_ms"]
    overview = {"log": f"lines {_told(log['begins'])} to {_told(log['ends'])}, {log['megabytes']:,.1f} MB"}
    for name in ["screened", "archived"]:
        overview[name] = f"to {_told(found[name])}"
    for name in ["reports", "sightings", "duplicates", "rejects"]:
        overview[name] = _told(found[name])
    overview["alerts"] = _told(found["alerts"])
    if latency["p50"] is not None:
        overview["latency"] = f"p50 {_told(latency['p50'])} ms, p99 {_told(latency['p99'])} ms"
    if run is None:
        overview["run"] = "never yet"
    else:
        when = time_text(datetime.fromtimestamp(run["updated_at"], UTC))
        overview["run"] = f"{run['state']} at {when}, process {run['pid']}, {_told(run['reports_per_s'])} reports/s"
        for row in run.get("waiting_for", []):
            overview[f"waiting for the {row['what']}"] = f"{row['reason']} ({row['seconds']:,.0f} s)"
    return overview


def _told(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict):
        # By partition, the usual single one needs no number.
        if list(value) == [0]:
            return _told(value[0])
        return ", ".join(f"{key}: {_told(part)}" for key, part in value.items())
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"
    return str(value)


@click.group()
def keys() -> None:
    """Keys with which drones send to the gateway.

    \b
    Example:
      peacewatch keys add "fleet north"
    """


@keys.command("add")
@click.argument("label", type=TEXT)
@json_flag
@pass_session
def add_key(session: Session, label: str, as_json: bool) -> None:
    """Make a key and show its token, once: only a hash of it is stored.

    \b
    Example:
      peacewatch keys add "fleet north"
    """
    from pipeline.desk.keys import Keys

    key_id, token = Keys(session.open().desk_url).create(label)
    if as_json:
        print_json({"key_id": key_id, "token": token})
    else:
        show(f"Key [bold]{key_id}[/bold]. Its token is shown this once; send it as `Authorization: Bearer TOKEN`:")
        click.echo(token)


@keys.command("list")
@ndjson_flag
@pass_session
def list_keys(session: Session, as_json: bool) -> None:
    """List the keys, without their tokens.

    \b
    Example:
      peacewatch keys list
    """
    from pipeline.desk.keys import Keys

    found = Keys(session.open().desk_url).all()
    if as_json:
        for key in found:
            print_json(key)
    elif not found:
        show("No keys yet: make one with `peacewatch keys add LABEL`.")
    else:
        rows = [[_shown(value) for value in key.values()] for key in found]
        show_table([name.replace("_", " ") for name in found[0]], rows)


def _shown(value: Any) -> str:
    return time_text(value) if hasattr(value, "astimezone") else _told(value)


@keys.command("revoke")
@click.argument("key_id", type=TEXT)
@json_flag
@pass_session
def revoke_key(session: Session, key_id: str, as_json: bool) -> None:
    """Revoke a key: the gateway refuses it from then on.

    \b
    Example:
      peacewatch keys revoke 70fdd2d345f8
    """
    from pipeline.desk.keys import Keys

    Keys(session.open().desk_url).revoke(key_id)
    if as_json:
        print_json({"key_id": key_id, "revoked": True})
    else:
        show(f"Revoked {escaped(key_id)}.")
