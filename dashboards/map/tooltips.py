"""What is said of a mark that one points at, in the colours of the page.

Bokeh escapes every value that it puts in the place of an ``@name``, so that text from
drones stays text; what is written here is the frame around them.
"""

from __future__ import annotations

_FRAME = "display:grid;grid-template-columns:auto fit-content(260px);gap:1px 10px;overflow-wrap:anywhere"
_TITLE = "grid-column:1/3;font-weight:600"


def tooltip(rows: dict[str, str], title: str | None = None) -> str:
    """HTML of a tooltip; ``rows`` are words and the columns behind them, such as ``{"drone": "@drone"}``."""
    head = f'<div style="{_TITLE}">{title}</div>' if title else ""
    lines = (f'<span style="color:var(--muted)">{word}</span><span>{column}</span>' for word, column in rows.items())
    return f'<div style="{_FRAME}">{head}{"".join(lines)}</div>'
