"""What every command shares: the workspace it works in, and its ``--json`` flag.

Knows nothing of what the commands do.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pipeline.workspace import Workspace

    _ParamType = click.ParamType[str]
else:
    _ParamType = click.ParamType  # which older releases cannot subscript


class _Text(_ParamType):
    """What is stored as it is given, so that bytes that are no text are told at once."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            value.encode()
        except UnicodeEncodeError:
            self.fail("is no valid UTF-8: check the terminal's encoding.", param, ctx)
        return value


TEXT = _Text()


@dataclass(frozen=True)
class Session:
    """One call of the command: the directory of its workspace, which need not exist yet."""

    directory: Path
    debug: bool = False
    own_process: bool = False  # or else the caller's, whose priority is not ours to change

    def open(self) -> Workspace:
        """The workspace; `UsageError` if there is none or a setting is wrong."""
        from pipeline.workspace import Workspace

        return Workspace.open(self.directory)

    def open_behind_alerts(self) -> Workspace:
        """As `open`, and from now on a `run` on the same machine gets the processor first."""
        from pipeline.patient_process import step_back

        if self.own_process:
            step_back()
        return self.open()


pass_session = click.make_pass_decorator(Session)

json_flag = click.option("--json", "as_json", is_flag=True, help="For machines: one JSON object on the last line.")
ndjson_flag = click.option("--json", "as_json", is_flag=True, help="For machines: one JSON object a line.")
host_option = click.option("--host", metavar="ADDRESS", help="Address to listen on, instead of the settings'.")
port_option = click.option(
    "--port", type=click.IntRange(0, 65535), help="Port to listen on, instead of the settings'; 0 for any free one."
)
