"""The pages that are made from the code: settings, commands, data dictionary.

They are written before every build of the documentation, or by ``python docs/reference.py``;
they are committed, so that they can be read without a build, and a test compares.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from dictionary import data_dictionary  # noqa: E402

from pipeline.cli import peacewatch  # noqa: E402
from pipeline.settings import Settings  # noqa: E402


def settings_page() -> str:
    """Every setting with its default and meaning."""
    lines = [
        "# Settings",
        "",
        "A workspace's settings are in its `peacewatch.toml`, which `peacewatch init` makes with a comment on each.",
        "Every one can be overridden in the environment by `PEACEWATCH_<SECTION>_<KEY>`, such as",
        "`PEACEWATCH_GATEWAY_PORT`. They are checked whenever a command opens the workspace.",
    ]
    for section, field in Settings.model_fields.items():
        kind = type(field.default)
        about = (kind.__doc__ or "").split(": ", 1)[-1].strip()
        lines += [
            "",
            f"## [{section}]",
            "",
            about[0].upper() + about[1:],
            "",
            "| key | default | meaning |",
            "|---|---|---|",
        ]
        for key, setting in kind.model_fields.items():
            default = json.dumps(setting.default, ensure_ascii=False)
            lines.append(f"| `{key}` | `{default}` | {setting.description} |")
    return "\n".join(lines) + "\n"


def commands_page() -> str:
    """The help of every command."""
    parts = [
        "# Commands",
        "What `--help` says. Exit status is 0 when done, 1 when failed, 2 for wrong usage and 130 when interrupted; "
        "results are on stdout, all else on stderr.",
    ]
    for path, command in commands(peacewatch):
        parts += [f"## {path}", f"```text\n{help_of(path, command)}\n```"]
    return "\n\n".join(parts) + "\n"


def help_of(path: str, command: click.Command) -> str:
    """What ``path --help`` says."""
    context = click.Context(command, info_name=path, terminal_width=100, **peacewatch.context_settings)
    return command.get_help(context).rstrip()


def commands(group: click.Group, path: str = "peacewatch") -> Iterator[tuple[str, click.Command]]:
    """Every command with its path, the group before its members."""
    yield path, group
    for name in group.list_commands(click.Context(group)):
        command = group.commands[name]
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "commands.md": commands_page,
    "data-dictionary.md": data_dictionary,
}


def write_pages() -> None:
    """Bring the pages up to date; one that is true already is left alone."""
    for name, make in PAGES.items():
        file, text = HERE / name, make()
        if not file.is_file() or file.read_text("utf-8") != text:
            file.write_text(text, "utf-8")


def setup(app: Any) -> dict[str, Any]:
    """As an extension of Sphinx: the pages are true before they are read."""
    app.connect("config-inited", lambda _app, _config: write_pages())
    return {"parallel_read_safe": True}


if __name__ == "__main__":
    write_pages()
