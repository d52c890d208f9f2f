"""Commands on the people who may sign in to the dashboard."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from pipeline.commands.common import TEXT, Session, json_flag, ndjson_flag, pass_session
from pipeline.commands.output import escaped, print_json, show, show_table, time_text

if TYPE_CHECKING:
    from pipeline.desk.audit import Actor
    from pipeline.desk.office import Office

ROLES = ("officer", "supervisor", "analyst", "administrator")

_stdin = click.option("--password-stdin", is_flag=True, help="Read the password from the first line of stdin.")
_random = click.option("--random", "at_random", is_flag=True, help="Make a random password, and show it this once.")


def operator() -> Actor:
    """Who acts at the command line: the audit gets the name of their account on this machine."""
    from pipeline.desk.audit import Actor

    try:
        account = getpass.getuser()
    except (KeyError, OSError):
        account = "somebody without an account"
    return Actor("operator", purpose=f"command line of {account}")


@contextmanager
def office(session: Session) -> Iterator[Office]:
    """The workspace's users and audit."""
    from pipeline.desk.office import Office

    opened = Office(session.open())
    try:
        yield opened
    finally:
        opened.close()


@click.group()
def users() -> None:
    """People who may sign in to the dashboard.

    \b
    Example:
      peacewatch users add ana --role officer
    """


@users.command("add")
@click.argument("name", type=TEXT)
@click.option("--role", type=click.Choice(ROLES), required=True, help="What they may see and do.")
@click.option("--display-name", type=TEXT, metavar="TEXT", help="Name that pages show. Default: NAME.")
@_stdin
@_random
@click.option("--no-password", is_flag=True, help="They sign in with OpenID Connect, and have no password here.")
@json_flag
@pass_session
def add_user(
    session: Session,
    name: str,
    role: str,
    display_name: str | None,
    password_stdin: bool,
    at_random: bool,
    no_password: bool,
    as_json: bool,
) -> None:
    """Let somebody in; asks for a password, of which only a hash is kept.

    \b
    Example:
      peacewatch users add ana --role officer --display-name "Ana Martin"
      peacewatch users add bo --role analyst --random
    """
    if no_password and (password_stdin or at_random):
        raise click.UsageError("use --no-password alone: it is for those who have none")
    with office(session) as opened:
        password = None if no_password else _password(password_stdin, at_random)
        user = opened.users.add(name, role, password, operator(), display_name)
    made = {"password": password} if at_random and password else {}
    if as_json:
        print_json({"name": user.name, "display_name": user.display_name, "role": user.role} | made)
        return
    show(f"[bold]{escaped(user.name)}[/bold] may sign in, as {user.role}.")
    _show_made(made)


@users.command("list")
@ndjson_flag
@pass_session
def list_users(session: Session, as_json: bool) -> None:
    """List everybody who may sign in, or may no longer.

    \b
    Example:
      peacewatch users list
    """
    with office(session) as opened:
        found = opened.users.all()
    if as_json:
        for user in found:
            print_json(user)
    elif not found:
        show("No users yet: add one with `peacewatch users add NAME --role ROLE`.")
    else:
        rows = [[_shown(value) for value in user.values()] for user in found]
        show_table([name.replace("_", " ") for name in found[0]], rows)


@users.command("role")
@click.argument("name", type=TEXT)
@click.argument("role", type=click.Choice(ROLES))
@json_flag
@pass_session
def set_role(session: Session, name: str, role: str, as_json: bool) -> None:
    """Give somebody another role; they must sign in again.

    \b
    Example:
      peacewatch users role ana supervisor
    """
    with office(session) as opened:
        opened.users.set_role(name, role, operator())
    _done(as_json, {"name": name, "role": role}, f"{name} is {role} now, and must sign in again.")


@users.command("password")
@click.argument("name", type=TEXT)
@_stdin
@_random
@json_flag
@pass_session
def set_password(session: Session, name: str, password_stdin: bool, at_random: bool, as_json: bool) -> None:
    """Give somebody another password; they must sign in again.

    \b
    Example:
      peacewatch users password ana --random
    """
    with office(session) as opened:
        password = _password(password_stdin, at_random)
        opened.users.set_password(name, password, operator())
    made = {"password": password} if at_random else {}
    _done(as_json, {"name": name} | made, f"{name} has another password now, and must sign in again.")
    if not as_json:
        _show_made(made)


def _change(name: str, told: str, example: str, help_text: str, act: Callable[[Any, str, Any], None]) -> None:
    """Add a command that changes one user and needs no more than the name."""

    @users.command(name, help=f"{help_text}\n\n\b\nExample:\n  peacewatch users {example}")
    @click.argument("name", type=TEXT, metavar="NAME")
    @json_flag
    @pass_session
    def change(session: Session, name: str, as_json: bool) -> None:
        with office(session) as opened:
            act(opened.users, name, operator())
        _done(as_json, {"name": name, "done": told}, f"{name} {told}.")


_change(
    "openid",
    "signs in with OpenID Connect from now on",
    "openid ana",
    "Let somebody sign in with OpenID Connect only. Their password, and the account they had there, are forgotten.",
    lambda all_users, name, by: all_users.move_to_openid(name, by),
)
_change(
    "disable",
    "may no longer sign in",
    "disable ana",
    "Let somebody in no longer; open pages end within seconds.",
    lambda all_users, name, by: all_users.disable(name, by),
)
_change(
    "enable",
    "may sign in again",
    "enable ana",
    "Let somebody in again.",
    lambda all_users, name, by: all_users.enable(name, by),
)
_change(
    "unlock",
    "may try again at once",
    "unlock ana",
    "Forget somebody's wrong passwords.",
    lambda all_users, name, by: all_users.unlock(name, by),
)


def _password(from_stdin: bool, at_random: bool) -> str:
    """The password that was asked for in one of three ways."""
    if from_stdin and at_random:
        raise click.UsageError("use --password-stdin or --random, not both")
    if at_random:
        from pipeline.desk.users import random_password

        return random_password()
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask for a password: use --password-stdin or --random")
    asked: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return asked


def _done(as_json: bool, values: dict[str, Any], told: str) -> None:
    if as_json:
        print_json(values)
    else:
        show(escaped(told))


def _show_made(made: dict[str, str]) -> None:
    if made:
        show("The password is shown this once:")
        click.echo(made["password"])


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return time_text(value) if hasattr(value, "astimezone") else str(value)
