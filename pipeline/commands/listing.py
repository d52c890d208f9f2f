"""Commands that list what was found: alerts, and what could not be read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import click

from pipeline.commands.common import Session, ndjson_flag, pass_session
from pipeline.commands.output import escaped, print_json, raw_fields, show, show_table, time_text

SHOWN = 50
_POLL_S = 0.1
_STYLES = {"critical": "bold red", "high": "yellow"}
_limit = click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help=f"At most N. Default: {SHOWN}, or all with --json."
)


@click.command()
@click.option("--state", type=click.Choice(["open", "recovered", "resolved"]), help="Only those in this state.")
@_limit
@click.option("--follow", is_flag=True, help="Go on: each alert again whenever it changes, until Ctrl-C or N.")
@click.option(
    "--after", type=click.IntRange(min=0), default=0, metavar="REVISION", help="With --follow: only later changes."
)
@ndjson_flag
@pass_session
def alerts(session: Session, state: str | None, limit: int | None, follow: bool, after: int, as_json: bool) -> None:
    """List the alerts, or follow them.

    \b
    Example:
      peacewatch alerts --state open
      peacewatch alerts --follow --json | jq .citizen_name
    """
    from pipeline.desk import Desk

    desk = Desk(session.open().desk_url)
    try:
        if follow:
            for number, alert in enumerate(_changes(desk, after, state), start=1):
                if as_json:
                    print_json(alert)
                else:
                    show(alert_line(alert))
                if number == limit:
                    return
        elif as_json:
            for alert in desk.alerts(state=state, limit=limit):
                print_json(alert)
        else:
            counts = desk.counts()
            total = counts[state] if state else sum(counts.values())
            _show_alerts(desk.alerts(state=state, limit=limit or SHOWN), total)
    finally:
        desk.close()


def _changes(desk: Any, after: int, state: str | None) -> Iterator[dict[str, Any]]:
    while True:
        changed = desk.changes(after)
        for alert in changed:
            after = alert["revision"]
            if state in (None, alert["state"]):
                yield alert
        if not changed:
            time.sleep(_POLL_S)


def alert_line(alert: dict[str, Any]) -> str:
    """One line on one alert, in rich's markup."""
    who = escaped(alert["citizen_name"] or alert["citizen_id"] or "somebody unknown")
    did = f" ({escaped(alert['action'])})" if alert["action"] else ""
    late = " late" if alert["late"] else ""
    style = _STYLES.get(alert["severity"], "default")
    return (
        f"{time_text(alert['time'])}  [{style}]{alert['severity']:<8}[/{style}]  {alert['score']:g}  "
        f"{who}{did} at {_place(alert, ', ')}, seen by {escaped(alert['drone_id'])}  "
        f"{alert['state']}{late}"
    )


def _place(alert: dict[str, Any], between: str) -> str:
    if alert["lat"] is None or alert["lon"] is None:
        return "an unknown place"
    return f"{alert['lat']:.4f}{between}{alert['lon']:.4f}"


def _show_alerts(found: list[dict[str, Any]], total: int) -> None:
    if not found:
        show("No alerts.")
        return
    columns = ["time (UTC)", "severity", "score", "citizen", "action", "place", "state"]
    rows = [
        [
            f"{alert['time']:%Y-%m-%d %H:%M:%S}",
            alert["severity"],
            f"{alert['score']:g}",
            alert["citizen_name"] or alert["citizen_id"] or "-",
            alert["action"] or "-",
            _place(alert, " "),
            alert["state"] + (", late" if alert["late"] else ""),
        ]
        for alert in found
    ]
    show_table(columns, rows, [_STYLES.get(alert["severity"]) for alert in found])
    if len(found) < total:
        show(f"{len(found):,} of {total:,} alerts.")


@click.command()
@_limit
@ndjson_flag
@pass_session
def rejects(session: Session, limit: int | None, as_json: bool) -> None:
    """List what could not be read, and why.

    With --json, `raw` is the line as text; if it is not valid UTF-8, `raw_base64` has its exact bytes.

    \b
    Example:
      peacewatch rejects --limit 20
    """
    from pipeline.lake.tables import Lake, read_rejects

    lake = Lake(session.open().lake_path)
    if as_json:
        for reject in read_rejects(lake, limit):
            print_json({**reject, **raw_fields(reject["raw"])})
        return
    rows = [
        [time_text(reject["accepted_at"]), reject["reason"], _excerpt(reject["raw"])]
        for reject in read_rejects(lake, limit or SHOWN)
    ]
    if rows:
        show_table(["accepted at", "reason", "begins with"], rows)
    else:
        show("No rejects.")


def _excerpt(raw: bytes, most: int = 60) -> str:
    return raw[: most * 4].decode("utf-8", "replace")[:most]
