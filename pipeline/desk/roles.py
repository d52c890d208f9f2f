"""Who may do what: four roles and their rights. Pure.

Names of people are shown to those who act on them; those who study the whole, or
run the system, work without names.
"""

from __future__ import annotations

from enum import StrEnum


class Right(StrEnum):
    """Something that a role may do."""

    SEE_PEOPLE = "see people"  # names, alerts, a person's page: each look is audited
    WORK = "work on alerts"  # acknowledge, comment, resolve, reopen, silence
    ASSIGN = "assign to others"
    REPLAY = "replay"
    ANALYSE = "analyse"
    SEE_FLEET = "see the fleet"
    SEE_SYSTEM = "see the system"
    REQUEUE = "requeue rejects"
    MANAGE_USERS = "manage users"
    AUDIT = "read the audit"


_OFFICER = {Right.SEE_PEOPLE, Right.WORK, Right.REPLAY, Right.SEE_FLEET}

RIGHTS: dict[str, frozenset[Right]] = {
    "officer": frozenset(_OFFICER),
    "supervisor": frozenset(_OFFICER | {Right.ASSIGN, Right.ANALYSE, Right.SEE_SYSTEM}),
    "analyst": frozenset({Right.ANALYSE, Right.REPLAY, Right.SEE_FLEET, Right.SEE_SYSTEM}),
    "administrator": frozenset({Right.SEE_FLEET, Right.SEE_SYSTEM, Right.REQUEUE, Right.MANAGE_USERS, Right.AUDIT}),
}

ROLES = tuple(RIGHTS)


def may(role: str, right: Right) -> bool:
    """Whether a role has a right; an unknown role has none."""
    return right in RIGHTS.get(role, frozenset())
