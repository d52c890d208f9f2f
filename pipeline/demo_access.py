"""Who may use a demo while it runs: a fleet with a key, and one person of each role.

In a workspace that stays, neither is of any use once the demo has ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.desk.audit import Actor
from pipeline.desk.keys import Keys
from pipeline.desk.office import Office
from pipeline.desk.roles import ROLES
from pipeline.desk.users import random_password
from pipeline.workspace import Workspace


@contextmanager
def drone_key(desk_url: str) -> Iterator[str]:
    """The token of a key that is good for as long as the demo."""
    keys = Keys(desk_url)
    try:
        key_id, token = keys.create("demo fleet")
        yield token
        keys.revoke(key_id)
    finally:
        keys.close()


@contextmanager
def people(workspace: Workspace) -> Iterator[dict[str, str]]:
    """Names and new passwords of one user of each role, who may sign in for as long as the demo."""
    office, by = Office(workspace), Actor("operator", purpose="demo")
    passwords = {f"demo-{role}": random_password() for role in ROLES}
    try:
        for (name, password), role in zip(passwords.items(), ROLES, strict=True):
            if office.users.get(name) is None:
                office.users.add(name, role, password, by, f"Demo {role}")
            else:
                office.users.set_password(name, password, by)
                office.users.set_role(name, role, by)
                office.users.enable(name, by)
        try:
            yield passwords
        finally:
            for name in passwords:
                office.users.disable(name, by)
    finally:
        office.close()
