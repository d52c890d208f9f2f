"""Commands on the audit: who did or looked at what."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from pipeline.commands.common import TEXT, Session, json_flag, ndjson_flag, pass_session
from pipeline.commands.listing import SHOWN
from pipeline.commands.output import print_json, show, show_table, time_text
from pipeline.commands.users import office, operator
from pipeline.errors import StorageError

if TYPE_CHECKING:
    from pipeline.desk.audit import Search

_C = TypeVar("_C", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--user", type=TEXT, metavar="NAME", help="Only what this user did."),
    click.option("--action", type=TEXT, metavar="TEXT", help='Only this action, such as "signed in".'),
    click.option("--alert", type=TEXT, metavar="ID", help="Only what was done to this alert."),
    click.option("--since", type=click.DateTime(), metavar="T", help="From this time on, UTC, such as 2026-11-02."),
    click.option("--until", type=click.DateTime(), metavar="T", help="Before this time, UTC."),
    click.option(
        "--text", type=TEXT, metavar="TEXT", help="Only rows with this in their action, note, purpose or details."
    ),
)


def _searched(command: _C) -> _C:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.group(invoke_without_command=True)
@_searched
@click.option("--limit", type=click.IntRange(min=1), default=SHOWN, show_default=True, metavar="N", help="At most N.")
@ndjson_flag
@pass_session
@click.pass_context
def audit(context: click.Context, session: Session, /, limit: int, as_json: bool, **asked: Any) -> None:
    """List who did or looked at what, the newest first.

    That you looked is in the audit too.

    \b
    Example:
      peacewatch audit --user ana --since 2026-11-02
      peacewatch audit export --out audit.ndjson
    """
    if context.invoked_subcommand is not None:
        return
    from pipeline.desk import export
    from pipeline.desk.audit import Entry

    search = _search(**asked)
    with office(session) as opened:
        rows = opened.audit(search, limit=limit)
        opened.record(Entry(operator(), "audit searched", details=export.asked(search)))
    if as_json:
        for row in rows:
            print_json(row)
    elif not rows:
        show("Nothing of that is in the audit.")
    else:
        show_table(["time", "user", "action", "alert", "why", "note", "details"], [_cells(row) for row in rows])


@audit.command("export")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to write.")
@_searched
@json_flag
@pass_session
def export(session: Session, /, out: Path, as_json: bool, **asked: Any) -> None:
    """Write rows of the audit to a file, as NDJSON, with the code that chains each to the one before.

    \b
    Example:
      peacewatch audit export --out audit.ndjson
    """
    from pipeline.desk.export import export_lines

    with office(session) as opened:
        count = _write(out, export_lines(opened, _search(**asked), operator()))
    if as_json:
        print_json({"out": str(out), "rows": count})
    else:
        show(f"Wrote {count:,} rows to {out}.")


def _write(out: Path, lines: Iterable[bytes]) -> int:
    """All or nothing, on disk when this returns; only the user who runs this can read the file.

    A device or a pipe gets the lines as they come. Of a link, it is the file that it leads to which is replaced.
    """
    from pipeline.durable import sync

    try:
        if _is_stream(out):
            with out.open("wb") as stream:
                return _write_lines(stream, lines)
        file = out.resolve()
        draft = file.with_name(f".{file.name}.{os.getpid()}")
        try:
            with draft.open("wb") as opened:
                count = _write_lines(opened, lines)
            sync(draft)
            draft.replace(file)
        finally:
            draft.unlink(missing_ok=True)
        sync(file.parent)
    except OSError as error:
        raise StorageError(f"{out} could not be written ({error.strerror}): check its directory and disk") from error
    return count


def _is_stream(out: Path) -> bool:
    # /dev/stdout and its like may lead to a file that others write to.
    own = out.is_symlink() and out.parent.resolve().parts[:2] in (("/", "dev"), ("/", "proc"))
    return own or (out.exists() and not out.is_file())


def _write_lines(file: IO[bytes], lines: Iterable[bytes]) -> int:
    count = 0
    for line in lines:
        file.write(line)
        count += 1
    return count


def _search(
    user: str | None,
    action: str | None,
    alert: str | None,
    since: datetime | None,
    until: datetime | None,
    text: str | None,
) -> Search:
    from pipeline.desk.audit import Search

    return Search(
        user, action, alert, None, since and since.replace(tzinfo=UTC), until and until.replace(tzinfo=UTC), text
    )


def _cells(row: dict[str, Any]) -> list[str]:
    details = ", ".join(f"{name}: {value}" for name, value in row["details"].items())
    told = [row["user_name"], row["action"], row["alert_id"], row["purpose"], row["note"], details]
    return [time_text(row["at"]), *(value or "-" for value in told)]
