"""What commands show: JSON for machines, tables for people, progress on a terminal.

Results go to stdout, progress to stderr. Tables are drawn on a terminal and are
plain aligned text anywhere else, never cut.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click

_SHORT = 24  # what is no longer is not wrapped, if anything else can be

Advance = Callable[[int, int | None], None]


def time_text(value: datetime) -> str:
    """A time as RFC 3339, UTC, with milliseconds and Z."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _encode(value: Any) -> Any:
    if isinstance(value, datetime):
        return time_text(value)
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def to_json(value: Any) -> str:
    """One line of JSON; times as `time_text`, citizens' keys as texts."""
    from pipeline.desk.texts import keys_as_text

    return json.dumps(keys_as_text(value), default=_encode, ensure_ascii=False)


def print_json(value: Any) -> None:
    """One line of JSON on stdout, in UTF-8 whatever the terminal's encoding."""
    click.echo(to_json(value).encode("utf-8", "replace"))
    sys.stdout.flush()


def raw_fields(raw: bytes) -> dict[str, str]:
    """Bytes for JSON: ``raw`` as text; ``raw_base64`` beside it if that text is not the same bytes."""
    try:
        return {"raw": raw.decode("utf-8")}
    except UnicodeDecodeError:
        return {"raw": raw.decode("utf-8", "replace"), "raw_base64": base64.b64encode(raw).decode("ascii")}


def escaped(text: object) -> str:
    """Text as it is, for use in `show`."""
    from rich.markup import escape

    return escape(printable(str(text)))


def printable(text: str) -> str:
    """Text without what a terminal might obey: drones choose names, words and actions."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def show(text: str) -> None:
    """A line for people on stdout, with rich's markup on a terminal and without it elsewhere."""
    from rich.console import Console
    from rich.text import Text

    if sys.stdout.isatty():
        Console(highlight=False, soft_wrap=True).print(text)
    else:
        click.echo(Text.from_markup(text).plain)


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]], styles: Sequence[str | None] = ()) -> None:
    """Rows under their column names; ``styles`` gives a rich style for each row, or None."""
    cells = [[printable(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        for number, column in enumerate(columns):
            longest = max((len(row[number]) for row in cells), default=0)
            table.add_column(column, overflow="fold", no_wrap=longest <= _SHORT)
        for number, row in enumerate(cells):
            table.add_row(*(Text(cell) for cell in row), style=styles[number] if styles else None)
        Console(highlight=False).print(table)
        return
    widths = [max(len(cell) for cell in column) for column in zip(columns, *cells, strict=True)]
    for row in [list(columns), *cells]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@contextmanager
def progress_bar(label: str, counts: str = "reports") -> Iterator[Advance]:
    """A bar on stderr while the block runs, moved by calling ``advance(done, total)``.

    ``counts`` says what of. Nothing at all where stderr is no terminal. ``total`` may be None while unknown.
    """
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    counted = DownloadColumn() if counts == "bytes" else TextColumn("{task.completed:,.0f} " + counts)
    columns = [TextColumn("{task.description}"), BarColumn(), counted, TimeElapsedColumn()]
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(label, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
