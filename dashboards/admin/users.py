"""The page of the people who may sign in: add them, change them, and see who is here.

The browser asks for one change at a time and is told how it went; each is checked
against the session again, in a thread. Passwords are made here and shown once:
nobody types one that somebody else will use.
"""

from __future__ import annotations

from typing import Any, ClassVar

import panel as pn
import param

from dashboards.files import script, styles
from dashboards.view import PageView
from dashboards.visit import Visit
from pipeline.desk.roles import ROLES, Right
from pipeline.desk.times import to_ms
from pipeline.desk.users import folded, random_password
from pipeline.errors import PeacewatchError, UsageError


class UsersView(PageView):
    """The page in the browser. Messages to it: ``users``, ``outcome``."""

    roles = param.List()
    me = param.String()

    _esm: ClassVar[str] = script("users")
    _stylesheets: ClassVar[list[str]] = styles("admin")


class UsersPage(pn.viewable.Viewer):
    """One open page."""

    def __init__(self, visit: Visit) -> None:
        super().__init__()
        self._visit = visit
        self._office = visit.site.office
        self._view = UsersView(visit, self._heard, roles=list(ROLES), me=visit.session.user.name)

    def __panel__(self) -> pn.viewable.Viewable:
        return self._view

    def _heard(self, message: dict[str, Any]) -> None:
        if message.get("refresh"):
            self._refresh()
        asked = {key: value for key, value in message.items() if isinstance(value, str)}
        if "change" in asked:
            self._visit.in_thread(lambda: self._changed(asked), self._tell_changed, self._tell_failed)

    def _refresh(self) -> None:
        self._visit.in_thread(self._users, lambda users: self._view.tell({"users": users}), self._tell_failed)

    def _users(self) -> list[dict[str, Any]]:
        self._visit.require(Right.MANAGE_USERS)
        sessions: dict[str, int] = {}
        for session in self._office.sessions.signed_in():
            sessions[session["user_name"]] = sessions.get(session["user_name"], 0) + 1
        locked = self._office.sessions.locked()
        return [
            {
                "name": user["name"],
                "display_name": user["display_name"],
                "role": user["role"],
                "disabled": user["disabled_at"] is not None,
                "locked": user["name"] in locked,
                "sessions": sessions.get(user["name"], 0),
                "seen_at": to_ms(user["seen_at"]),
                "created_at": to_ms(user["created_at"]),
            }
            for user in self._office.users.all()
        ]

    def _changed(self, asked: dict[str, str]) -> dict[str, Any]:
        """Do one change; what the browser is told of it."""
        by, users = self._visit.require(Right.MANAGE_USERS), self._office.users
        change, name, role = asked["change"], folded(asked.get("name", "")), asked.get("role", "")
        if name == by.user_name:
            raise UsageError("Nobody changes themselves here: ask another administrator.")
        made: dict[str, Any] = {}
        if change == "add":
            made["password"] = random_password()
            users.add(name, role, made["password"], by, asked.get("display_name"))
        elif change == "password":
            made["password"] = random_password()
            users.set_password(name, made["password"], by)
        elif change == "role":
            users.set_role(name, role, by)
        elif change == "disable":
            users.disable(name, by)
        elif change == "enable":
            users.enable(name, by)
        elif change == "unlock":
            users.unlock(name, by)
        else:
            raise UsageError("There is no such change.")
        self._visit.site.check_sessions()
        return {"ok": True, "text": _OUTCOMES[change].format(name=name, role=role), "name": name} | made

    def _tell_changed(self, outcome: dict[str, Any]) -> None:
        self._view.tell({"outcome": outcome})
        self._refresh()

    def _tell_failed(self, error: PeacewatchError) -> None:
        text = error.message[:1].upper() + error.message[1:]
        self._view.tell({"outcome": {"ok": False, "text": text}})
        if isinstance(error, UsageError):
            self._refresh()


_OUTCOMES = {
    "add": "{name} may sign in, as {role}.",
    "password": "{name} has a new password, and must sign in again.",
    "role": "{name} is {role} now, and must sign in again.",
    "disable": "{name} may no longer sign in; open pages are closed.",
    "enable": "{name} may sign in again.",
    "unlock": "{name} may try again at once.",
}


def build(visit: Visit) -> UsersPage:
    """The page for one visit."""
    return UsersPage(visit)
