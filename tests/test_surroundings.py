"""Machines and accounts as they are: no home, a bare locale, media that can only be read, odd names and places."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import command, listed, peacewatch

from pipeline.desk import Desk
from pipeline.desk.audit import Actor
from pipeline.desk.database import Database
from pipeline.desk.office import Office
from pipeline.errors import StorageError
from pipeline.lab.environment import lab_environment
from pipeline.log import Chunk, open_log
from pipeline.workspace import Workspace

MakeWorkspace = Callable[..., Workspace]
#: As of a service: nothing of a person's, and Python left alone with the C locale.
BARE = {"PATH": os.environ["PATH"], "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
LINE = (
    b'{"drone_id":"pw-1","time":"2026-11-02T07:30:00Z","location":{"lat":48.85,"lon":2.35},'
    b'"citizens":[{"id":"c-1","name":"Jean","peacescore":3}]}\n'
)


def bare(workspace: Path, *arguments: str | bytes) -> subprocess.CompletedProcess[bytes]:
    """A command as a service would be started; its directory cannot be written to."""
    environ = BARE | ({"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {})
    return subprocess.run(
        [*command(workspace), *arguments], env=environ, cwd="/proc", capture_output=True, timeout=60, check=False
    )


def test_text_at_the_command_line_is_utf8_whatever_the_locale(make_workspace: MakeWorkspace) -> None:
    root = make_workspace("Zoë's 100 % #{force}").root
    added = bare(root, "users", "add", "ana", "--role", "officer", "--no-password", "--display-name", "Zoë")
    assert added.returncode == 0, added.stderr
    assert bare(root, "keys", "add", "flotte été").returncode == 0
    assert listed(root, "users", "list")[0]["display_name"] == "Zoë"
    told = bare(root, "keys", "list").stdout.decode()
    assert "flotte été" in told


def test_python_told_to_leave_utf8_alone_is_left_alone(tmp_path: Path) -> None:
    python, *rest = command(tmp_path)
    told = subprocess.run(
        [python, "-X", "utf8=0", *rest, "--version"], env={**os.environ, **BARE}, capture_output=True, timeout=30
    )
    assert told.returncode == 0, told.stderr


@pytest.mark.parametrize("arguments", [["keys", "add"], ["users", "add", "--role", "officer", "--no-password"]])
def test_bytes_that_are_no_text_are_told_as_such(make_workspace: MakeWorkspace, arguments: list[str]) -> None:
    refused = bare(make_workspace().root, *arguments, b"fl\xe9au")
    assert refused.returncode == 2
    assert b"no valid UTF-8" in refused.stderr
    assert b"Traceback" not in refused.stderr


@pytest.mark.parametrize("home", [None, "/proc/none"])
def test_jupyterlab_has_a_home_in_the_workspace_if_its_account_has_none(tmp_path: Path, home: str | None) -> None:
    workspace = Workspace.create(tmp_path)
    made = lab_environment(workspace, {} if home is None else {"HOME": home})
    assert Path(made["HOME"]).is_dir()
    assert Path(made["HOME"]).parent == tmp_path
    assert lab_environment(workspace, {"HOME": str(tmp_path)})["HOME"] == str(tmp_path)


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Makes a directory one that can only be read; for root, for whom there is none, it is only said to be."""

    def freeze(root: Path) -> None:
        access = os.access
        monkeypatch.setattr(
            os, "access", lambda path, mode: access(path, mode) and (mode != os.W_OK or root not in Path(path).parents)
        )

    return freeze


@pytest.mark.parametrize("left", [False, True], ids=["closed", "of a process that was alive"])
def test_log_and_desk_on_media_that_can_only_be_read_are_read(
    make_workspace: MakeWorkspace, tmp_path: Path, read_only: Callable[[Path], None], left: bool
) -> None:
    workspace = make_workspace("100 % #1? {read} only")
    log, office = open_log(workspace.log_url, workspace.settings.log), Office(workspace)
    log.append([Chunk(LINE, "peacewatch")])
    office.users.add("ana", "officer", None, Actor("operator"))
    if not left:
        log.close()
        office.close()
    read_only(tmp_path)
    there = open_log(workspace.log_url, workspace.settings.log)
    assert there.ends() == {0: 1}
    assert there.read(0, 0, 1)[0].data == LINE
    for refused in (lambda: there.append([Chunk(LINE, "peacewatch")]), there.check, lambda: there.trim(0, 1, 9e9)):
        with pytest.raises(StorageError, match="can only be read"):
            refused()
    desk = Office(workspace)
    assert desk.users.get("ana") is not None
    assert desk.desk.counts()["open"] == 0
    with pytest.raises(StorageError, match="can only be read"):
        desk.users.add("bo", "officer", None, Actor("operator"))
    desk.close()
    there.close()
    if left:
        log.close()
        office.close()


def test_a_desk_that_can_only_be_read_makes_no_file_beside_it(
    tmp_path: Path, read_only: Callable[[Path], None]
) -> None:
    file = tmp_path / "desk.sqlite"
    Desk(f"sqlite:///{file}").close()
    read_only(tmp_path)
    before = sorted(tmp_path.iterdir())
    database = Database(f"sqlite:///{file}")
    with database.read():
        assert sorted(tmp_path.iterdir()) == before
    database.close()


def test_an_export_goes_through_what_is_no_file(make_workspace: MakeWorkspace, tmp_path: Path) -> None:
    root = make_workspace().root
    peacewatch(root, "users", "add", "ana", "--role", "officer", "--no-password")
    file, link, pipe = tmp_path / "audit.ndjson", tmp_path / "newest", tmp_path / "pipe"
    link.symlink_to(file)
    os.mkfifo(pipe)
    assert peacewatch(root, "audit", "export", "--out", link)["rows"] == 1
    assert link.is_symlink()
    assert json.loads(file.read_text())["action"] == "user added"
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
        assert peacewatch(root, "audit", "export", "--out", pipe)["rows"] == 2
        assert reader.stdout is not None
        assert len(reader.stdout.read().splitlines()) == 2
    assert pipe.is_fifo()
    streamed = subprocess.run(
        command(root, "audit", "export", "--out", "/dev/stdout", "--json"), capture_output=True, timeout=60, check=True
    )
    assert len(streamed.stdout.splitlines()) == 3 + 1
    full = subprocess.run(
        command(root, "audit", "export", "--out", "/dev/full"), capture_output=True, text=True, timeout=60, check=False
    )
    assert full.returncode == 1
    assert "No space left on device" in full.stderr
    assert Path("/dev/full").is_char_device()


@pytest.mark.parametrize("guard", ["", 'if __name__ == "__main__": '], ids=["without", "with"])
def test_a_script_has_a_cluster_with_a_main_guard_or_without(tmp_path: Path, guard: str) -> None:
    file = tmp_path / "script.py"
    file.write_text(
        "from pipeline.workbench.cluster import client\n\n"
        "def main():\n"
        "    with client() as c:\n"
        "        print(c.submit(sum, [1, 2]).result(), len({w['pid'] for w in c.run(lambda: {'pid': __import__('os')"
        ".getpid()}).values()} - {__import__('os').getpid()}) > 0)\n\n"
        f"{guard}main()\n"
    )
    done = subprocess.run([sys.executable, file], capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["3", str(bool(guard))]
    assert "bootstrapping phase" not in done.stderr
    assert ("__main__" in done.stderr) == (not guard)
