"""Names of citizens, for those who may see people: each look is in the audit before the name is shown."""

from __future__ import annotations

from collections.abc import Sequence

from dashboards.visit import Visit
from pipeline.desk.roles import Right
from pipeline.desk.texts import tidy
from pipeline.errors import UsageError
from pipeline.lake.context import names
from pipeline.lake.tables import Lake

LOOKED = "looked at a repeat subject"
DOWNLOADED = "downloaded names of repeat subjects"
_SHORTEST = 3


def names_of(visit: Visit, keys: Sequence[int], purpose: str) -> dict[int, str]:
    """The names of citizens by their keys, as far as they are known; written to the audit, one row each.

    ``purpose`` is why, "" if it was said before in this session. Raises `Forbidden` for
    those who may not see people, `UsageError` if a purpose is wanted.
    """
    actor = visit.require(Right.SEE_PEOPLE)
    why = tidy(purpose, 200)
    if not why and not needs_purpose(visit):
        why = actor.purpose or ""
    if len(why) < _SHORTEST:
        raise UsageError("Say why you look at these people: it is written to the audit.")
    if visit.site.settings.sign_in.purpose == "session" and why != actor.purpose:
        visit.site.office.sessions.set_purpose(visit.session.session_id, why)
    for key in keys:
        visit.look(Right.SEE_PEOPLE, LOOKED, citizen_key=key, details={"purpose": why})
    known = names(Lake(visit.site.workspace.lake_path), keys)
    called = known.select("citizen_key", "citizen_id", "citizen_names").rows()
    return {key: " / ".join(all_names) or citizen_id or "Unknown" for key, citizen_id, all_names in called}


def needs_purpose(visit: Visit) -> bool:
    """Whether a purpose must be given before names are shown."""
    return visit.site.settings.sign_in.purpose == "person" or not visit.session.purpose


def note_download(visit: Visit, citizens: int) -> None:
    """Write to the audit that names leave the page in a file."""
    visit.look(Right.SEE_PEOPLE, DOWNLOADED, details={"citizens": citizens})
