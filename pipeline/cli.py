"""The ``peacewatch`` command.

Promises: exit status 0 when done, 1 when failed, 2 for wrong usage, 130 when
interrupted; an error is one line on stderr that says what to do; results alone
are on stdout. Importing this module must stay cheap: it is what ``--help`` and
each process of a demo begin with.
"""

from __future__ import annotations

import codecs
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import click

from pipeline.commands import (
    audit,
    backtest,
    cube,
    lab,
    listing,
    requeue,
    running,
    sample,
    storage,
    taking_in,
    users,
    workspace,
)
from pipeline.commands.common import Session
from pipeline.errors import PeacewatchError

INTERRUPTED = 130


class _InOrder(click.Group):
    """Lists commands in the order of their use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=_InOrder, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--workspace",
    "directory",
    envvar="PEACEWATCH_WORKSPACE",
    default=".",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="The force's workspace. Default: $PEACEWATCH_WORKSPACE, else this directory.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="peacewatch", message="%(prog)s %(version)s")
@click.pass_context
def peacewatch(context: click.Context, directory: Path, debug: bool) -> None:
    """Reports of drones in; alerts and an archive out.

    \b
    Example:
      peacewatch demo
    """
    context.obj = Session(directory, debug, own_process=bool(context.obj))


for command in [
    workspace.init,
    sample.sample,
    taking_in.simulate,
    taking_in.ingest,
    running.gateway,
    running.run,
    listing.alerts,
    listing.rejects,
    requeue.requeue,
    workspace.status,
    storage.verify,
    storage.compact,
    cube.cube,
    backtest.backtest,
    running.dashboard,
    running.up,
    lab.lab,
    running.demo,
    workspace.keys,
    users.users,
    audit.audit,
]:
    peacewatch.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    if arguments is None:
        _speak_utf8()
    given = list(sys.argv[1:] if arguments is None else arguments)
    os.umask(0o077)  # logs, desks and archives hold names and places of people
    try:
        status = peacewatch.main(given, prog_name="peacewatch", standalone_mode=False, obj=arguments is None)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.UsageError as error:
        name = error.ctx.command_path if error.ctx else "peacewatch"
        return _fail(f"{_sentence(error.format_message())} Try `{name} --help`.", error.exit_code)
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has left; nothing may be written any more, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except PeacewatchError as error:
        if "--debug" in given:
            traceback.print_exc()
        return _fail(error.message, error.exit_status)
    except Exception as error:  # noqa: BLE001  the last line of defence: a user is told in one line
        if "--debug" in given:
            traceback.print_exc()
            return 1
        kind = type(error).__name__
        return _fail(f"unexpected {kind}: {error} (run with --debug for the traceback: peacewatch --debug COMMAND)", 1)
    return status if isinstance(status, int) else 0


def _speak_utf8() -> None:
    """Start anew in UTF-8 where Python would take all text for ASCII, as with a service's bare C locale."""
    tried = os.environ.get("PYTHONUTF8") == "1"  # and in vain, as Python's own options go before it
    if codecs.lookup(sys.getfilesystemencoding()).name == "ascii" and sys.executable and not tried:
        # The arguments' bytes stay what they are; children find it in their environment.
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _fail(message: str, status: int) -> int:
    click.echo(f"peacewatch: {' '.join(message.split())}", err=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
