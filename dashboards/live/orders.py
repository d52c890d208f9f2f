"""What a page's browser asks to be done with alerts, made sure of before anything is done.

A message may say anything; what comes out of here is `Action`s with fields of the
right kind and of sensible length. Whether they can be done is for the desk to decide.
Pure.
"""

from __future__ import annotations

import math
from typing import Any

from pipeline.desk.roles import Right
from pipeline.desk.silences import PLACE
from pipeline.desk.texts import LONGEST_NOTE
from pipeline.desk.work import DONE, SCOPES, Action
from pipeline.errors import UsageError

MOST_ALERTS = 2_000
MOST_PLACES = 10
_LONGEST_NAME = 200


def actions_of(said: Any) -> list[Action]:
    """The actions of a message; `UsageError` for one that no page of ours sends."""
    if not isinstance(said, dict) or said.get("kind") not in DONE:
        raise _unknown()
    shared: dict[str, Any] = {
        "kind": said["kind"],
        "note": _text(said.get("note"), LONGEST_NOTE),
        "to": _text(said.get("to"), _LONGEST_NAME),
        "reason": _text(said.get("reason"), _LONGEST_NAME),
        "minutes": _minutes(said.get("minutes")),
        "scope": said.get("scope") or SCOPES[0],
    }
    if shared["scope"] not in SCOPES:
        raise _unknown()
    alerts = _alerts(said.get("alerts"))
    if shared["kind"] == "silence" and shared["scope"] == PLACE and len(alerts) > MOST_PLACES:
        raise UsageError(f"at most {MOST_PLACES} places can be silenced at once: choose fewer alerts")
    return [Action(alert_id=alert_id, version=version, **shared) for alert_id, version in alerts]


def right_for(actions: list[Action], user_name: str) -> Right:
    """What whoever asks for these actions must be allowed to do."""
    others = any(action.kind == "assign" and action.to != user_name for action in actions)
    return Right.ASSIGN if others else Right.WORK


def alert_id_of(said: Any) -> str | None:
    """An alert's id as a message says it, None if it is none."""
    return said if isinstance(said, str) and 0 < len(said) <= 16 else None


def _alerts(said: Any) -> list[tuple[str, int]]:
    if not isinstance(said, list) or not 0 < len(said) <= MOST_ALERTS:
        raise _unknown()
    found: dict[str, int] = {}
    for one in said:
        said_id, version = one if isinstance(one, list) and len(one) == 2 else (None, None)
        alert_id = alert_id_of(said_id)
        if alert_id is None or type(version) is not int:
            raise _unknown()
        found[alert_id] = version
    return list(found.items())


def _text(said: Any, longest: int) -> str | None:
    if said is None or said == "":
        return None
    if not isinstance(said, str) or len(said) > longest:
        raise _unknown()
    return said


def _minutes(said: Any) -> float | None:
    if said is None:
        return None
    if isinstance(said, bool) or not isinstance(said, int | float) or not math.isfinite(said):
        raise _unknown()
    return float(said)


def _unknown() -> UsageError:
    return UsageError("This page cannot be understood any more: load it again.")
