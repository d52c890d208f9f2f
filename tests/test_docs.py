"""The documents keep up with the code: commands, settings, dialect keys, links.

``python tests/test_docs.py`` writes docs/settings.md anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from pipeline.cli import peacewatch
from pipeline.workspace import Settings

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def settings_page() -> str:
    """docs/settings.md, made from the settings themselves."""
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


def commands(group: click.Group, path: str = "peacewatch") -> Iterator[tuple[str, click.Command]]:
    yield path, group
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


COMMANDS = dict(commands(peacewatch))


@pytest.mark.parametrize("path", COMMANDS)
def test_every_help_has_an_example_of_that_command(path: str) -> None:
    command = COMMANDS[path]
    shown = command.get_help(click.Context(command, info_name=path))
    _, found, examples = shown.partition("Example:\n")
    assert found, shown
    own = re.compile(path.replace("peacewatch", r"peacewatch( --workspace \S+)?", 1) + r"\b")
    assert own.search(examples), shown


@pytest.mark.parametrize("path", COMMANDS)
def test_every_option_has_a_help(path: str) -> None:
    for parameter in COMMANDS[path].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


@pytest.mark.parametrize("name", [name for name in peacewatch.commands if name != "demo"])
def test_every_command_is_in_the_documents(name: str) -> None:
    own = re.compile(rf"peacewatch (--workspace \S+ )?{name}\b")
    assert any(own.search(page.read_text("utf-8")) for page in PAGES)


def test_the_readme_starts_with_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert "make demo" in text
    assert "make test" in text


def test_the_page_of_settings_is_true() -> None:
    assert (ROOT / "docs" / "settings.md").read_text("utf-8") == settings_page(), "run: python tests/test_docs.py"


def test_every_key_of_a_dialect_is_in_its_page() -> None:
    from pipeline.dialects import mapping

    text = (ROOT / "docs" / "dialects.md").read_text("utf-8")
    models: list[Any] = [mapping.Mapping]
    while models:
        for key, field in models.pop().model_fields.items():
            assert re.search(rf"\b{key}:", text), key
            kinds = re.findall(r"pipeline\.dialects\.mapping\.(\w+)", str(field.annotation))
            models += [getattr(mapping, kind) for kind in kinds]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


if __name__ == "__main__":
    (ROOT / "docs" / "settings.md").write_text(settings_page(), "utf-8")
