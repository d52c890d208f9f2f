"""The shipped notebooks, copied to where people work on them.

A copy that was changed is never written to again, and what a newer Peacewatch ships
takes the place of an unchanged one only. Deleting a copy brings back the original.
"""

from __future__ import annotations

import hashlib
import json
import sysconfig
from pathlib import Path

from pipeline.durable import replace
from pipeline.errors import UsageError

#: The folder of the copies, in the one that JupyterLab shows.
FOLDER = "peacewatch"
_COPIED = ".copied.json"
_PLACES = (
    Path(__file__).parents[2] / "notebooks",
    Path(sysconfig.get_path("data")) / "share" / "peacewatch" / "notebooks",
)


def shipped_notebooks() -> list[Path]:
    """The notebooks of this Peacewatch, in their order; `UsageError` if it was installed without."""
    found = next((place for place in _PLACES if place.is_dir()), None)
    if found is None:
        raise UsageError(f"the notebooks are missing: they should be in {_PLACES[-1]}, install Peacewatch again")
    return sorted(found.glob("*.ipynb"))


def copy_notebooks(folder: Path) -> list[Path]:
    """Bring the copies in ``folder``/peacewatch up to date; returns those left alone because they were changed."""
    place = folder / FOLDER
    place.mkdir(parents=True, exist_ok=True)
    copied = _copied(place)
    changed = []
    for original in shipped_notebooks():
        copy, content = place / original.name, original.read_bytes()
        there = copy.read_bytes() if copy.is_file() else None
        if there is None or _digest(there) == copied.get(original.name):
            if there != content:
                copy.write_bytes(content)
            copied[original.name] = _digest(content)
        elif there != content:
            changed.append(copy)
    replace(place / _COPIED, json.dumps(copied, indent=1).encode())
    return changed


def _copied(place: Path) -> dict[str, str]:
    """What was copied before: the digest of each notebook as it came."""
    try:
        return dict(json.loads((place / _COPIED).read_text("utf-8")))
    except (OSError, ValueError):
        return {}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
