"""What was done to an alert, as the page shows it: from rows of the audit. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

#: How the audit calls a look at an alert, which is nothing that was done to it.
LOOKED = "looked at an alert"
_SHOWN = ("to", "reason", "minutes", "scope", "why")


def history_of(entries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Who did what, when and with which note, newest first; looks are left out."""
    return [
        {
            "at": round(entry["at"].timestamp() * 1000),
            "user_name": entry["user_name"],
            "action": entry["action"],
            "note": entry["note"],
            "details": {key: entry["details"][key] for key in _SHOWN if key in entry["details"]},
        }
        for entry in reversed(list(entries))
        if not entry["action"].startswith("looked")
    ]
