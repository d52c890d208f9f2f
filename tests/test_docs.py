"""The documents keep up with the code: what is made from it, links, and the commands that they show.

The blocks marked ``sh`` of the pages in `TOLD` are run here, one after another, as an operator
would; what only a person can do is marked ``console``.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import pytest

from pipeline.cli import main, peacewatch
from pipeline.workspace import Workspace

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS))

import dictionary  # noqa: E402
import meanings  # noqa: E402
import reference  # noqa: E402

PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
WRITTEN = [page for page in PAGES if page.name not in reference.PAGES]
COMMANDS = dict(reference.commands(peacewatch))
TOLD = ["tutorial-operator.md", "how-to-backup.md"]
PATIENCE_S = 280

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("path", COMMANDS)
def test_every_help_has_an_example_of_that_command(path: str) -> None:
    shown = reference.help_of(path, COMMANDS[path])
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
    assert any(own.search(page.read_text("utf-8")) for page in WRITTEN)


def test_the_readme_starts_with_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert "make demo" in text
    assert "make test" in text


@pytest.mark.parametrize("name", reference.PAGES)
def test_pages_that_are_made_from_the_code_are_true(name: str) -> None:
    assert (DOCS / name).read_text("utf-8") == reference.PAGES[name](), "run: python docs/reference.py"


def test_every_key_of_a_dialect_is_in_its_page() -> None:
    from pipeline.dialects import mapping

    text = (DOCS / "dialects.md").read_text("utf-8")
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


def test_every_stored_field_has_a_meaning_and_every_measure_a_unit() -> None:
    from pipeline.lake.bins import VARIABLES
    from pipeline.schema import TABLES

    assert set(meanings.ROWS) == set(TABLES)
    for table, schema in TABLES.items():
        for field in schema:
            said = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
            assert said["about"], f"{table}.{field.name}"
            assert said["unit"] or str(field.type) not in ("double", "timestamp[us, tz=UTC]"), f"{table}.{field.name}"
    for name, variable in VARIABLES.items():
        assert variable.about, name
        assert variable.unit, name


def test_every_field_that_is_printed_has_a_meaning() -> None:
    for said in [dictionary.alert_fields(), meanings.COORDINATES, meanings.LIVE, *meanings.COMMANDS.values()]:
        assert all(about for _unit, about in said.values())


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory in which everything was done that the pages of `TOLD` say; the workspace ``lyon`` is in it."""
    here = tmp_path_factory.mktemp("told")
    shown = [(name, block) for name in TOLD for block in blocks(DOCS / name, "sh")]
    ports = dict(zip(("8080", "5006"), free_ports(2), strict=True))
    script = "\n".join(f"echo '--- {name}'\n{block}" for name, block in shown)
    for usual, free in ports.items():
        script = script.replace(usual, free)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PEACEWATCH_")}
    environ |= {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PEACEWATCH_GATEWAY_PORT": ports["8080"],
        "PEACEWATCH_DASHBOARD_PORT": ports["5006"],
        "PEACEWATCH_CLUSTER_WORKERS": "1",
    }
    with (
        (here / "output.txt").open("wb") as output,
        subprocess.Popen(
            ["bash", "-e", "-u", "-x", "-c", script],
            cwd=here,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as shell,
        ExitStack() as stack,
    ):
        stack.callback(end_group, shell.pid)
        status = shell.wait(PATIENCE_S)
    assert status == 0, (here / "output.txt").read_text("utf-8", "replace")[-4000:]
    return here


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def free_ports(count: int) -> list[str]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [str(one.getsockname()[1]) for one in sockets]


def end_group(leader: int) -> None:
    """End what a failed page has left running: the session is this test's own."""
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def test_the_operators_pages_do_what_they_say(told: Path) -> None:
    output = (told / "output.txt").read_text("utf-8", "replace")
    assert re.search(r"critical .*Jean Dupont|Jean Dupont.*critical|4\.5 +Jean Dupont", output)
    assert "FAILED" not in output
    assert "may sign in, as administrator." in output


def test_the_analysts_tutorial_does_what_it_says(sample: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEACEWATCH_WORKSPACE", str(sample.root))
    made: dict[str, Any] = {}
    for block in blocks(DOCS / "tutorial-analyst.md", "python"):
        exec(compile(block, "tutorial-analyst.md", "exec"), made)
    assert 0 <= made["worst"] < 24
    assert made["agitated"].sizes == {"hour": 24}
    assert len(made["result"].frame())
    assert len(made["people"])


def test_the_live_snapshot_is_as_the_dictionary_says(told: Path) -> None:
    assert_said(json.loads((told / "lyon" / "live.json").read_text("utf-8")), meanings.LIVE)


def test_the_cube_is_as_the_dictionary_says(told: Path) -> None:
    from pipeline.lake.bins import VARIABLES
    from pipeline.lake.cube import open_cube

    cube = open_cube(told / "lyon")
    assert set(cube.coords) == set(meanings.COORDINATES)
    assert set(cube.data_vars) == set(VARIABLES)


@pytest.mark.parametrize("command", [*sorted(set(meanings.COMMANDS) - {"init", "simulate", "ingest", "run"}), "alerts"])
def test_output_is_as_the_dictionary_says(told: Path, command: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["--workspace", str(told / "lyon"), *command.split(), "--json"]) == 0
    said = dictionary.alert_fields() if command == "alerts" else meanings.COMMANDS[command]
    assert_said(json.loads(capfdbinary.readouterr().out.splitlines()[0]), said)


def test_results_of_taking_in_are_as_the_dictionary_says(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    from pipeline.progress import Summary

    root, file = tmp_path / "new", str(tmp_path / "few.ndjson")
    for command, rest in {"init": [], "simulate": ["--reports", "3", "--out", file], "ingest": [file]}.items():
        assert main(["--workspace", str(root), command, *rest, "--json"]) == 0
        assert_said(json.loads(capfdbinary.readouterr().out.splitlines()[-1]), meanings.COMMANDS[command])
    assert {field.name for field in fields(Summary)} == set(meanings.COMMANDS["run"])


def assert_said(value: Any, said: meanings.Fields) -> None:
    """The names in ``value`` are those that are ``said``, but for what is there only sometimes."""
    found = set(names(value, said, ""))
    assert found <= set(said)
    missing = set(said) - found
    assert all(name == "raw_base64" or name.partition("[]")[0] in found for name in missing), missing


def names(value: Any, said: meanings.Fields, path: str) -> Iterator[str]:
    """The paths of ``value``, as deep as ``said`` goes."""
    inside = f"{path}[]" if isinstance(value, list) else path
    deeper = not path or any(name.startswith(f"{inside}.") for name in said)
    if path and (path in said or not deeper):
        yield path
    if deeper:
        for each in value if isinstance(value, list) else [value]:
            for key, inner in each.items():
                yield from names(inner, said, f"{inside}.{key}".removeprefix("."))
