"""The data dictionary, made from the schemas themselves: every field with type, unit and meaning."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
from meanings import ALERT, COMMANDS, COORDINATES, LIVE, ROWS, Fields

from pipeline.desk.tables import SHOWN
from pipeline.lake.bins import VARIABLES
from pipeline.schema import FINDINGS, STAMPS, TABLES

_HEAD = """\
# Data dictionary

Every field that Peacewatch stores or prints, made from the code by `docs/reference.py`.

Times are UTC. A `peacescore` runs from 0 to 100 and low is bad, whatever scale the drones use; a `score` is as the
drones report it. A `citizen_key` is a hash of the citizen's id, or of the name if there is no id, under the workspace's
key: the same citizen has the same key in all tables of a workspace, and another in any other."""

_SHORT = {
    "string": "text",
    "double": "float64",
    "list<item: string>": "list of text",
    "timestamp[us, tz=UTC]": "time, µs",
}

Row = tuple[str, ...]


def data_dictionary() -> str:
    """The page, as Markdown."""
    parts = [_HEAD, "## The archive", "Delta tables in `lake/`, which any tool reads."]
    for table, schema in TABLES.items():
        parts += [f"### {table}", ROWS[table], _table(("type", "unit"), _columns(schema))]
    parts += [
        "## The cube",
        "Zarr in `cube/`, by five minutes of event time and cells of `area.cell_m`; all variables are "
        "(`time`, `lat`, `lon`). Where nothing was reported, counts and sums are 0 and `score_min` is NaN.",
        _table(("type", "unit"), [*_cube()]),
        "## Alerts on the desk",
        "What `peacewatch alerts --json` prints and pages show, a row an alert. Names are in here: restricted.",
        _table(("unit",), _plain(alert_fields())),
        "## The live snapshot",
        "`live.json` in the workspace: how `peacewatch run` is doing, written every second.",
        _table(("unit",), _plain(LIVE)),
        "## Output of commands",
        "One JSON object with `--json`; those that list print one a line. Times are RFC 3339 with a `Z`.",
    ]
    for command, fields in COMMANDS.items():
        parts += [f"### peacewatch {command}", _table(("unit",), _plain(fields))]
    return "\n\n".join(parts) + "\n"


def alert_fields() -> Fields:
    """The fields of an alert as the desk's readers get it, in their order."""
    stored = TABLES["alerts"]
    known = {**_fields(FINDINGS), **_fields(STAMPS), **_fields(stored), **ALERT}
    return {name: known[name] for name in SHOWN.selected_columns.keys() if name != "remembered"}  # noqa: SIM118


def _fields(schema: pa.Schema) -> Fields:
    return {field.name: (_metadata(field, "unit"), _metadata(field, "about")) for field in schema}


def _metadata(field: pa.Field, key: str) -> str:
    return (field.metadata or {}).get(key.encode(), b"").decode()


def _columns(schema: pa.Schema) -> Iterable[Row]:
    for field in schema:
        kind = str(field.type)
        yield field.name, _SHORT.get(kind, kind), _metadata(field, "unit"), _metadata(field, "about")


def _cube() -> Iterable[Row]:
    for name, (unit, about) in COORDINATES.items():
        yield name, "time" if name == "time" else "float64", unit, about
    for name, variable in VARIABLES.items():
        yield name, variable.dtype, variable.unit, variable.about


def _plain(fields: Fields) -> Iterable[Row]:
    for name, (unit, about) in fields.items():
        yield name, unit, about


def _table(between: Row, rows: Iterable[Row]) -> str:
    heads = ("field", *between, "meaning")
    lines = [heads, tuple("---" for _ in heads), *((f"`{name}`", *rest) for name, *rest in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
