"""What officers do with alerts, in SQL: audited, and one of two wins.

What may be done is decided in `pipeline.desk.work`; here it is stored in the
transaction that also tells the readers of the alert, and the audit. A refusal is
audited too, so that the one who won can be told. Nothing here knows of roles,
pages or the pipeline.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any
from uuid import uuid4

import orjson
import sqlalchemy as sa

from pipeline.desk import quiet
from pipeline.desk.alerts import OPEN, RESOLVED
from pipeline.desk.audit import Actor, Entry, Search, Trail
from pipeline.desk.counters import REOPENED, raised, take
from pipeline.desk.database import Database
from pipeline.desk.roles import Right, may
from pipeline.desk.silences import CITIZEN, Silence
from pipeline.desk.tables import ALERTS, AUDIT, CASES, UNRESOLVED, USERS
from pipeline.desk.texts import tidy
from pipeline.desk.times import to_clock, to_time
from pipeline.desk.work import DONE, Action, Case, Deed, Refused, decide
from pipeline.schema import has_fix
from pipeline.workspace import Work

REFUSED = "refused"
_LONGEST_HISTORY = 10_000
_MOST_REFUSALS = 500
#: Escalations in one transaction: other writers wait for it.
_MOST_ESCALATED = 20
_MOST_AT_ONCE = 50
#: An alert that was raised later than this from now, by a clock that was ahead, has waited nobody knows how long.
_AHEAD_US = 60_000_000
_STORED = [field.name for field in fields(Case) if field.name not in ("alert_id", "last")]


@dataclass(frozen=True)
class Outcome:
    """What became of an action: ``message`` says it to the one who acted, ``version`` is the case's now."""

    alert_id: str
    done: bool
    message: str
    version: int


class Cases:
    """The cases of one workspace, for several threads and processes at once.

    ``clock`` gives seconds since the epoch. Every method raises `StorageError` if the
    desk cannot be read or written.
    """

    def __init__(
        self,
        database: Database,
        trail: Trail,
        settings: Work,
        clock: Callable[[], float] = time.time,
        timezone: str = "UTC",
    ) -> None:
        self._database = database
        self._trail = trail
        self._settings = settings
        self._clock = clock
        self._timezone = timezone

    def act(self, actions: Sequence[Action], by: Actor) -> list[Outcome]:
        """Do what can be done of ``actions``, in their order; each has its outcome, and its row in the audit.

        Many are done some at a time, as the pipeline waits while they are.
        """
        outcomes: list[Outcome] = []
        for first in range(0, len(actions), _MOST_AT_ONCE):
            with self._database.write() as connection:
                take(connection)
                at = self._now()
                some = [replace(a, note=tidy(a.note or "") or None) for a in actions[first : first + _MOST_AT_ONCE]]
                outcomes += [self._act(connection, action, by, at) for action in some]
        return outcomes

    def refusals(self, after: int) -> list[dict[str, Any]]:
        """What was refused since row ``after`` of the audit, oldest first; ``details`` say the action and why."""
        query = sa.select(AUDIT).where(AUDIT.c.number > after, AUDIT.c.action == REFUSED).order_by(AUDIT.c.number)
        with self._database.read() as connection:
            rows = connection.execute(query.limit(_MOST_REFUSALS)).mappings().all()
        names = ("number", "user_name", "alert_id", "citizen_key", "note")
        return [
            {name: row[name] for name in names} | {"at": to_time(row["at"]), "details": orjson.loads(row["details"])}
            for row in rows
        ]

    def newest(self) -> int:
        """The number of the newest row of the audit: where to begin with `refusals`."""
        with self._database.read() as connection:
            return connection.scalar(sa.select(sa.func.max(AUDIT.c.number))) or 0

    def history(self, alert_id: str) -> list[dict[str, Any]]:
        """Everything in the audit on an alert, oldest first."""
        with self._database.read() as connection:
            return self._trail.entries(connection, Search(alert_id=alert_id), limit=_LONGEST_HISTORY)[::-1]

    def escalate(self) -> list[str]:
        """Mark the open alerts that nobody acknowledged in time, each once; returns their ids.

        Of several processes that do so at once, one does. Late and silenced ones are left
        out; when there are many, the next calls mark the rest.
        """
        with self._database.read() as connection:
            if connection.execute(self._overdue().limit(1)).first() is None:
                return []
        with self._database.write() as connection:
            take(connection)
            at = self._now()
            found = connection.execute(self._overdue().limit(_MOST_ESCALATED)).all()
            for row in found:
                quiet.store(connection, row.alert_id, row.version is None, escalated_at=at)
                waited = {"severity": row.severity, "unacknowledged_s": round((at - row.raised_at) / 1e6)}
                entry = Entry(quiet.ITSELF, "escalated", row.alert_id, row.citizen_key, details=waited)
                self._trail.write(connection, entry, at)
            return [row.alert_id for row in found]

    def _act(self, connection: sa.Connection, action: Action, by: Actor, at: int) -> Outcome:
        alert = connection.execute(_ALERT.where(ALERTS.c.alert_id == action.alert_id)).mappings().first()
        if alert is None:
            return self._refuse(connection, action, None, Refused("there is no such alert"), by, at)
        case = _case(connection, action, alert)
        after = _hindered(connection, action, alert) or decide(case, action, by.user_name, at)
        if isinstance(after, Refused):
            return self._refuse(connection, action, alert, after, by, at)
        values = {name: getattr(after, name) for name in _STORED}
        quiet.store(connection, case.alert_id, alert["version"] is None, **values)
        self._follow(connection, action, alert, by, at)
        done, details = DONE[action.kind], {"version": after.version} | _particulars(action)
        entry = Entry(by, done, case.alert_id, alert["citizen_key"], action.note, details=details)
        self._trail.write(connection, entry, at)
        return Outcome(case.alert_id, True, done, after.version)

    def _follow(self, connection: sa.Connection, action: Action, alert: sa.RowMapping, by: Actor, at: int) -> None:
        """What else changes with an action: the alert's state, and silences."""
        this = sa.update(ALERTS).where(ALERTS.c.alert_id == action.alert_id)
        if action.kind == "resolve":
            connection.execute(this.values(state=RESOLVED))
            ours = [s for s in quiet.active(connection, at) if s.alert_id == action.alert_id and s.scope == CITIZEN]
            quiet.end(connection, ours, at, RESOLVED)
        elif action.kind == "reopen":
            connection.execute(this.values(state=OPEN, recovered_at=None))
            raised(connection, REOPENED)
        elif action.kind == "silence":
            quiet.start(connection, self._silence(connection, action, alert, by, at))
        elif action.kind == "lift":
            holding = quiet.active(connection, at)
            concerning = [s for s in holding if s.concerns(alert["rule"], alert["citizen_key"])]
            quiet.end(connection, concerning, at, DONE["lift"])

    def _silence(self, connection: sa.Connection, action: Action, alert: sa.RowMapping, by: Actor, at: int) -> Silence:
        radius_m = None if action.scope == CITIZEN else self._settings.incident_m
        around = [alert] if radius_m is None else quiet.around(connection, alert, radius_m)
        return Silence(
            silence_id=uuid4().hex[:16],
            alert_id=action.alert_id,
            scope=action.scope,
            rule=alert["rule"],
            lat=alert["lat"],
            lon=alert["lon"],
            radius_m=radius_m,
            started_at=at,
            until=at + round((action.minutes or 0) * 60e6),
            started_by=by.user_name,
            worst_peacescore=min(row["worst_peacescore"] for row in around),
            involved=frozenset(row["citizen_key"] for row in around),
        )

    def _refuse(
        self,
        connection: sa.Connection,
        action: Action,
        alert: sa.RowMapping | None,
        refused: Refused,
        by: Actor,
        at: int,
    ) -> Outcome:
        why = refused.why
        if refused.winner is not None:
            name = sa.select(USERS.c.display_name).where(USERS.c.name == refused.winner)
            you = "You" if refused.winner == by.user_name else connection.scalar(name)
            why = f"{you or refused.winner} {why}"
        if refused.at is not None:
            why = f"{why} at {to_clock(refused.at, self._timezone)}"
        details = {"action": action.kind, "why": why, "winner": refused.winner}
        entry = Entry(by, REFUSED, note=action.note, details=details)
        if alert is not None:
            entry = replace(entry, alert_id=alert["alert_id"], citizen_key=alert["citizen_key"])
        self._trail.write(connection, entry, at)
        return Outcome(action.alert_id, False, why, alert["version"] or 0 if alert else 0)

    def _overdue(self) -> sa.Select[Any]:
        at = self._now()
        critical = at - round(self._settings.acknowledge_critical_s * 1e6)
        other = at - round(self._settings.acknowledge_high_s * 1e6)
        raised_at, severity = ALERTS.c.raised_at, ALERTS.c.severity
        ahead = raised_at > at + _AHEAD_US
        due = sa.or_(
            ahead,
            sa.and_(severity == "critical", raised_at <= critical),
            sa.and_(severity != "critical", raised_at <= other),
        )
        return (
            sa.select(ALERTS.c.alert_id, ALERTS.c.citizen_key, severity, raised_at, CASES.c.version)
            .outerjoin(CASES, CASES.c.alert_id == ALERTS.c.alert_id)
            .where(ALERTS.c.state == OPEN, sa.or_(raised_at <= max(critical, other), ahead))
            .where(due, ALERTS.c.late.is_(False))
            .where(CASES.c.acknowledged_at.is_(None), CASES.c.escalated_at.is_(None))
            .where(sa.or_(CASES.c.silenced_until.is_(None), CASES.c.silenced_until <= at))
            .order_by(raised_at)
        )

    def _now(self) -> int:
        return round(self._clock() * 1e6)


_ALERT = sa.select(
    *(ALERTS.c[name] for name in ("alert_id", "rule", "citizen_key", "lat", "lon", "worst_peacescore")),
    *(CASES.c[name] for name in _STORED),
).outerjoin(CASES, CASES.c.alert_id == ALERTS.c.alert_id)


def _particulars(action: Action) -> dict[str, Any]:
    wanted = {"assign": ("to",), "resolve": ("reason",), "silence": ("minutes", "scope")}
    return {name: getattr(action, name) for name in wanted.get(action.kind, ())}


def _case(connection: sa.Connection, action: Action, alert: sa.RowMapping) -> Case:
    if alert["version"] is None:
        return Case(action.alert_id)
    last = None
    if action.version != alert["version"]:
        decisions = [done for kind, done in DONE.items() if kind != "comment"]
        query = sa.select(AUDIT).where(AUDIT.c.alert_id == action.alert_id, AUDIT.c.action.in_(decisions))
        row = connection.execute(query.order_by(AUDIT.c.number.desc()).limit(1)).first()
        last = None if row is None else Deed(row.user_name, row.action, row.at)
    return Case(action.alert_id, **{name: alert[name] for name in _STORED}, last=last)


def _hindered(connection: sa.Connection, action: Action, alert: sa.RowMapping) -> Refused | None:
    """What of the desk, not of the case, is in the way."""
    if action.kind == "assign" and action.to:
        user = connection.execute(sa.select(USERS).where(USERS.c.name == action.to)).first()
        if user is None or user.disabled_at is not None or not may(user.role, Right.WORK):
            return Refused(f"{action.to!r} does not work on alerts: choose somebody else")
    placed = alert["lat"] is not None and alert["lon"] is not None and has_fix(alert["lat"], alert["lon"])
    if action.kind == "silence" and action.scope != CITIZEN and not placed:
        return Refused("its place is not known: silence its citizen")
    if action.kind == "reopen":
        same = (ALERTS.c.citizen_key == alert["citizen_key"], ALERTS.c.rule == alert["rule"])
        others = sa.select(ALERTS.c.alert_id).where(UNRESOLVED, *same, ALERTS.c.alert_id != action.alert_id)
        if connection.execute(others).first() is not None:
            return Refused("there is a newer alert of the same person: work on that one")
    return None
