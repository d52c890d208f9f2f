"""What officers do with an alert, as pure decisions: a case and an action in, the next case or a refusal out.

Who acts says which version of the case they saw. Of two who saw the same one,
the first wins and the second is told who did what meanwhile; only comments never
compete. Times are microseconds since the epoch, UTC. Nothing here knows of
storage, clocks, roles or the alert itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isfinite

REASONS = ("helped", "false alarm", "wrong person", "duplicate")
SCOPES = ("citizen", "place")
LONGEST_SILENCE_MIN = 24 * 60

#: Each kind of action, and what the audit calls it when it is done.
DONE = {
    "acknowledge": "acknowledged",
    "assign": "assigned",
    "comment": "commented",
    "resolve": "resolved",
    "reopen": "reopened",
    "silence": "silenced",
    "lift": "lifted",
}


@dataclass(frozen=True)
class Action:
    """What somebody wants done with an alert whose case they saw at ``version``."""

    kind: str
    alert_id: str
    version: int
    note: str | None = None
    to: str | None = None
    reason: str | None = None
    minutes: float | None = None
    scope: str = "citizen"


@dataclass(frozen=True)
class Deed:
    """What was done to a case last: a value of `DONE`."""

    by: str
    done: str
    at: int


@dataclass(frozen=True)
class Case:
    """What officers did with one alert. ``version`` counts their decisions, comments left out."""

    alert_id: str
    version: int = 0
    acknowledged_at: int | None = None
    acknowledged_by: str | None = None
    assigned_to: str | None = None
    resolved_at: int | None = None
    resolved_by: str | None = None
    reason: str | None = None
    escalated_at: int | None = None
    silenced_until: int | None = None
    comments: int = 0
    last: Deed | None = None


@dataclass(frozen=True)
class Refused:
    """Why not, for the one who acted: a sentence, or what ``winner`` did, to be said after their name, and when."""

    why: str
    winner: str | None = None
    at: int | None = None


def decide(case: Case, action: Action, by: str, at: int) -> Case | Refused:
    """What becomes of ``case`` when ``by`` acts at ``at``."""
    decision = _DECISIONS.get(action.kind)
    if decision is None:
        return Refused(f"nobody can {action.kind!r} an alert")
    if action.kind == "comment":
        return _comment(case, action, by, at)
    if action.version != case.version:
        return _meanwhile(case)
    if case.resolved_at is not None and action.kind != "reopen":
        return _refused("resolved", case.resolved_by, case.resolved_at)
    after = decision(case, action, by, at)
    if isinstance(after, Refused):
        return after
    return replace(after, version=case.version + 1, last=Deed(by, DONE[action.kind], at))


def _acknowledge(case: Case, _action: Action, by: str, at: int) -> Case | Refused:
    if case.acknowledged_at is not None:
        return _refused("acknowledged", case.acknowledged_by, case.acknowledged_at)
    return replace(case, acknowledged_at=at, acknowledged_by=by, assigned_to=by)


def _assign(case: Case, action: Action, _by: str, _at: int) -> Case | Refused:
    return replace(case, assigned_to=action.to) if action.to else Refused("choose whom to assign it to")


def _comment(case: Case, action: Action, _by: str, _at: int) -> Case | Refused:
    return replace(case, comments=case.comments + 1) if action.note else Refused("a comment needs some words")


def _resolve(case: Case, action: Action, by: str, at: int) -> Case | Refused:
    if action.reason not in REASONS:
        return Refused(f"to resolve it, choose a reason: {', '.join(REASONS)}")
    if case.acknowledged_at is None:  # who resolves it has seen it
        case = replace(case, acknowledged_at=at, acknowledged_by=by, assigned_to=case.assigned_to or by)
    return replace(case, resolved_at=at, resolved_by=by, reason=action.reason, silenced_until=None)


def _reopen(case: Case, _action: Action, _by: str, _at: int) -> Case | Refused:
    if case.resolved_at is None:
        return Refused("it is not resolved, so it cannot be reopened")
    return replace(case, resolved_at=None, resolved_by=None, reason=None)


def _silence(case: Case, action: Action, _by: str, at: int) -> Case | Refused:
    minutes = action.minutes
    if minutes is None or not isfinite(minutes) or not 0 < minutes <= LONGEST_SILENCE_MIN:
        return Refused(f"a silence lasts up to {LONGEST_SILENCE_MIN:,} minutes")
    if action.scope not in SCOPES:
        return Refused(f"a silence is of a {' or a '.join(SCOPES)}")
    return replace(case, silenced_until=at + round(minutes * 60e6))


def _lift(case: Case, _action: Action, _by: str, at: int) -> Case | Refused:
    if case.silenced_until is None or case.silenced_until <= at:
        return Refused("it is not silenced")
    return replace(case, silenced_until=None)


_DECISIONS: dict[str, Callable[[Case, Action, str, int], Case | Refused]] = {
    "acknowledge": _acknowledge,
    "assign": _assign,
    "comment": _comment,
    "resolve": _resolve,
    "reopen": _reopen,
    "silence": _silence,
    "lift": _lift,
}


def _meanwhile(case: Case) -> Refused:
    if case.last is None:
        return Refused("it has changed meanwhile: look at it again")
    return _refused(case.last.done, case.last.by, case.last.at)


def _refused(done: str, by: str | None, at: int) -> Refused:
    what = "lifted its silence" if done == DONE["lift"] else f"{done} it"
    return Refused(what, by, at)
