"""How tables, views and a workspace look in a notebook. Pure: text in, HTML out, all of it escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

import pyarrow as pa

# Colours are the page's own, so that it is readable on a light and on a dark one. Notebooks set
# the tables in outputs right and stripe them, which numbers want and sentences do not.
_STYLE = """<style>
.pw-sheet{font-family:var(--jp-ui-font-family,system-ui,sans-serif);font-size:13px;line-height:1.45}
.pw-sheet h4{font-size:15px;margin:0 0 2px;font-weight:600}
.pw-sheet p{margin:0 0 4px}
.pw-sheet .pw-soft{opacity:.75}
.pw-sheet table{border-collapse:collapse;margin:6px 0 10px;width:auto;border:0;font-size:inherit}
.pw-sheet tr{background:none !important}
.pw-sheet th,.pw-sheet td{text-align:left !important;vertical-align:top;padding:3px 16px 3px 0;border:0;
  border-bottom:1px solid color-mix(in srgb,currentColor 16%,transparent);max-width:44em;white-space:normal}
.pw-sheet th{font-weight:600}
.pw-sheet .pw-number{text-align:right !important;font-variant-numeric:tabular-nums}
.pw-sheet .pw-number,.pw-sheet .pw-whole{white-space:nowrap}
.pw-sheet code{background:none !important;padding:0;font-size:12.5px;color:inherit;white-space:nowrap}
</style>"""


def columns_of(schema: pa.Schema) -> list[tuple[str, str, str, str]]:
    """Name, type, unit and meaning of each column."""
    described = []
    for field in schema:
        about = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
        described.append((field.name, _kind(field.type), about.get("unit", ""), about.get("about", "")))
    return described


def sheet(name: str, about: str, size: str, columns: Iterable[tuple[str, str, str, str]]) -> str:
    """A table or view: what a row is, how much there is, and its columns."""
    return _page(
        f"<h4>{escape(name)}</h4><p>{escape(about)}.</p><p class='pw-soft'>{escape(size)}</p>",
        grid(("column", "type", "unit", "meaning"), columns, code=1),
    )


def card(title: str, lines: Sequence[str], tables: str, hints: Sequence[tuple[str, str]]) -> str:
    """A workspace: its name, what is true of it, its tables, and what to type next."""
    told = "".join(f"<p class='pw-soft'>{escape(line)}</p>" for line in lines)
    return _page(f"<h4>{escape(title)}</h4>{told}", tables, grid(("type", "to get"), hints, code=1))


def grid(head: Sequence[str], rows: Iterable[Sequence[str]], code: int = 0, numbers: Sequence[int] = ()) -> str:
    """A table of texts: the first ``code`` columns are code, those at ``numbers`` set right, the last may wrap."""

    def cell(tag: str, place: int, text: str) -> str:
        kind = " class='pw-number'" if place in numbers else " class='pw-whole'" if place < len(head) - 1 else ""
        inner = f"<code>{escape(text)}</code>" if tag == "td" and place < code else escape(text)
        return f"<{tag}{kind}>{inner}</{tag}>"

    body = ["<tr>" + "".join(cell("td", place, text) for place, text in enumerate(row)) + "</tr>" for row in rows]
    top = "".join(cell("th", place, text) for place, text in enumerate(head))
    return f"<table><thead><tr>{top}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def _page(*parts: str) -> str:
    return f"{_STYLE}<div class='pw-sheet'>{''.join(parts)}</div>"


def _kind(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"list of {_kind(kind.value_type)}"
    names = {"double": "float64", "timestamp[us, tz=UTC]": "time"}
    return names.get(str(kind), str(kind))
