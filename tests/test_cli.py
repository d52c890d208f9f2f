"""The command: what it prints, where, and with which status."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import main, peacewatch
from pipeline.errors import UsageError
from pipeline.workspace import Workspace

Run = Callable[..., tuple[int, str, str]]

REPORT = {
    "drone_id": "pw-1",
    "sequence": 1,
    "time": "2026-11-02T07:30:00Z",
    "location": {"lat": 48.85, "lon": 2.35},
    "citizens": [{"id": "c-1", "name": "Zoë", "peacescore": 4.5, "action": "shouted"}, {"id": "c-2", "peacescore": 70}],
}


@pytest.fixture
def run(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in this process: its status, stdout and stderr."""
    monkeypatch.delenv("PEACEWATCH_WORKSPACE", raising=False)

    def run(*arguments: object) -> tuple[int, str, str]:
        status = main([str(argument) for argument in arguments])
        printed = capfdbinary.readouterr()
        return status, printed.out.decode(), printed.err.decode()

    return run


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return Workspace.create(tmp_path / "force").root


@pytest.fixture(scope="module")
def drained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace into which one agitated citizen and two bad lines went."""
    root = Workspace.create(tmp_path_factory.mktemp("drained") / "force").root
    file = root / "reports.ndjson"
    file.write_bytes(json.dumps(REPORT).encode() + b'\n{"drone_id": \n\xff\xfe\n')
    for arguments in [["ingest", str(file)], ["run", "--until-drained"]]:
        command(root, *arguments)
    return root


def command(root: Path, *arguments: str) -> str:
    """Runs a command in a process of its own; it must succeed. Returns its stdout."""
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "--workspace", str(root), *arguments],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def last_json(text: str) -> Any:
    return json.loads(text.splitlines()[-1])


def test_init_makes_a_workspace_once(run: Run, tmp_path: Path) -> None:
    status, out, _ = run("--workspace", tmp_path / "lyon", "init", "--force", "Lyon", "--json")
    assert (status, last_json(out)) == (0, {"workspace": str(tmp_path / "lyon")})
    status, out, err = run("--workspace", tmp_path / "lyon", "init")
    assert (status, out) == (2, "")
    assert "is a workspace already" in err


def test_the_workspace_comes_from_option_environment_or_directory(
    run: Run, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Workspace.create(tmp_path / "other").root

    def label(*options: object) -> str:
        listed = run(*options, "keys", "list", "--json")[1].splitlines()
        return str(json.loads(listed[0])["label"])

    run("--workspace", workspace, "keys", "add", "one")
    run("--workspace", other, "keys", "add", "two")
    monkeypatch.chdir(workspace)
    assert label() == "one"
    monkeypatch.setenv("PEACEWATCH_WORKSPACE", str(other))
    assert label() == "two"
    assert label("--workspace", workspace) == "one"


@pytest.mark.parametrize(
    "arguments",
    [["ingest"], ["nonsense"], ["alerts", "--limit", "0"], ["simulate", "--reports", "many", "--out", "x"], ["--x"]],
)
def test_wrong_usage_is_one_line_that_says_where_help_is(run: Run, arguments: list[str]) -> None:
    status, out, err = run(*arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("peacewatch: ")
    assert "--help`" in err


@pytest.mark.parametrize(
    "name", ["status", "alerts", "rejects", "verify", "run", "gateway", "dashboard", "lab", "compact"]
)
def test_without_a_workspace_one_line_says_how_to_make_one(run: Run, tmp_path: Path, name: str) -> None:
    status, out, err = run("--workspace", tmp_path, name)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "init` first" in err


def test_an_unexpected_error_is_one_line_and_with_debug_a_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(Workspace, "open", broken)
    status, _, err = run("status")
    assert (status, err.count("\n")) == (1, 1)
    assert "RuntimeError: two lines" in err
    assert "--debug" in err
    status, _, err = run("--debug", "status")
    assert status == 1
    assert "Traceback" in err


def test_an_interrupt_is_quiet(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Workspace, "open", interrupted)
    status, out, err = run("status")
    assert (status, out, err.strip()) == (130, "", "")


def test_the_exit_status_of_an_error_is_its_own(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: object) -> None:
        raise UsageError("log.url = 'x' is wrong")

    monkeypatch.setattr(Workspace, "open", wrong)
    assert run("status") == (2, "", "peacewatch: log.url = 'x' is wrong\n")


def test_help_lists_all_commands_in_the_order_of_their_use(run: Run) -> None:
    status, out, _ = run("--help")
    listed = [line.split()[0] for line in out.partition("Commands:\n")[2].splitlines() if line.startswith("  ")]
    assert status == 0
    assert listed == list(peacewatch.commands)
    assert listed[0] == "init"


def test_help_imports_nothing_heavy() -> None:
    heavy = "dask distributed pandas pyarrow numpy polars panel bokeh sqlalchemy pydantic deltalake rich streamz"
    probe = (
        "import sys; from pipeline.cli import main; main(['--help']); "
        f"print([name for name in {heavy.split()!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_reader_that_leaves_is_no_error_to_be_told(workspace: Path) -> None:
    command(workspace, "keys", "add", "one")
    listing = [sys.executable, "-m", "pipeline.cli", "--workspace", str(workspace), "keys", "list"]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(listing, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert done.stderr == b""


def test_simulate_gives_the_same_bytes_for_the_same_seed(run: Run, tmp_path: Path) -> None:
    options = ["--reports", 300, "--drones", 50, "--start", "2026-11-02", "--json"]
    status, out, _ = run("simulate", *options, "--seed", 7, "--out", tmp_path / "a.ndjson")
    written = last_json(out)
    assert status == 0
    assert set(written) == {"reports", "bytes", "agitated"}
    assert written["reports"] == 300 == len((tmp_path / "a.ndjson").read_bytes().splitlines())
    assert written["bytes"] == (tmp_path / "a.ndjson").stat().st_size
    run("simulate", *options, "--seed", 7, "--out", tmp_path / "b.ndjson")
    run("simulate", *options, "--seed", 8, "--out", tmp_path / "c.ndjson")
    assert (tmp_path / "a.ndjson").read_bytes() == (tmp_path / "b.ndjson").read_bytes()
    assert (tmp_path / "a.ndjson").read_bytes() != (tmp_path / "c.ndjson").read_bytes()


def test_simulate_to_stdout_prints_reports_only(run: Run) -> None:
    _, out, _ = run("simulate", "--reports", 5, "--drones", 5, "--out", "-", "--json")
    assert len([json.loads(line)["drone_id"] for line in out.splitlines()]) == 5


def test_simulate_puts_the_city_where_the_workspace_is(run: Run, workspace: Path, tmp_path: Path) -> None:
    settings = workspace / "peacewatch.toml"
    settings.write_text("[area]\nsouth = 10\nnorth = 10.1\nwest = 20\neast = 20.1\n", "utf-8")
    run("--workspace", workspace, "simulate", "--reports", 50, "--drones", 20, "--out", tmp_path / "x.ndjson")
    for line in (tmp_path / "x.ndjson").read_text("utf-8").splitlines():
        assert 9.5 < json.loads(line)["location"]["lat"] < 10.6


def test_ingest_counts_what_it_took(run: Run, workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "two.ndjson").write_text(json.dumps(REPORT) + "\nnot json\n", "utf-8")
    status, out, _ = run("--workspace", workspace, "ingest", tmp_path / "two.ndjson", "--json")
    assert (status, last_json(out)) == (0, {"accepted": 1, "rejected": 1})
    status, out, err = run("--workspace", workspace, "ingest", tmp_path / "missing.ndjson")
    assert (status, out) == (2, "")
    assert "missing.ndjson" in err


def test_ingest_reads_standard_input(workspace: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "--workspace", str(workspace), "ingest", "-", "--json"],
        input=json.dumps(REPORT).encode(),
        capture_output=True,
        check=True,
    )
    assert last_json(done.stdout.decode()) == {"accepted": 1, "rejected": 0}


def test_ingest_names_an_unknown_dialect(run: Run, workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "one.ndjson").write_text(json.dumps(REPORT), "utf-8")
    status, _, err = run("--workspace", workspace, "ingest", "--dialect", "klingon", tmp_path / "one.ndjson")
    assert status == 2
    assert "klingon" in err


def test_keys_are_made_listed_and_revoked(run: Run, workspace: Path) -> None:
    here = ("--workspace", workspace, "keys")
    made = last_json(run(*here, "add", "fleet [north]", "--json")[1])
    assert set(made) == {"key_id", "token"}
    [key] = [json.loads(line) for line in run(*here, "list", "--json")[1].splitlines()]
    assert (key["key_id"], key["label"], key["revoked_at"]) == (made["key_id"], "fleet [north]", None)
    assert made["token"] not in run(*here, "list")[1]
    assert "fleet [north]" in run(*here, "list")[1]
    assert last_json(run(*here, "revoke", made["key_id"], "--json")[1]) == {"key_id": made["key_id"], "revoked": True}
    [key] = [json.loads(line) for line in run(*here, "list", "--json")[1].splitlines()]
    assert key["revoked_at"].endswith("Z")
    assert run(*here, "revoke", "nobody")[0] == 2


def test_an_empty_workspace_has_a_status_and_no_alerts(run: Run, workspace: Path) -> None:
    status, out, _ = run("--workspace", workspace, "status", "--json")
    assert status == 0
    assert {"log", "screened", "archived", "reports", "sightings", "alerts", "rejects", "latency_ms"} <= set(
        last_json(out)
    )
    assert run("--workspace", workspace, "status")[0] == 0
    assert run("--workspace", workspace, "alerts") == (0, "No alerts.\n", "")
    assert run("--workspace", workspace, "alerts", "--json") == (0, "", "")
    assert run("--workspace", workspace, "rejects") == (0, "No rejects.\n", "")


def test_run_tells_what_it_did_and_again_changes_nothing(drained: Path) -> None:
    done = last_json(command(drained, "run", "--until-drained", "--json"))
    assert {"reports", "sightings", "alerts_opened", "rejected", "seconds", "megabytes"} <= set(done)
    assert (done["reports"], done["alerts_opened"]) == (0, 0)


def test_alerts_are_listed_for_machines_and_for_people(run: Run, drained: Path) -> None:
    status, out, _ = run("--workspace", drained, "alerts", "--json")
    [alert] = [json.loads(line) for line in out.splitlines()]
    wanted = "alert_id rule severity citizen_name citizen_id peacescore lat lon drone_id time raised_at state"
    assert status == 0
    assert set(wanted.split()) <= set(alert)
    assert (alert["citizen_name"], alert["severity"], alert["state"]) == ("Zoë", "critical", "open")
    assert alert["time"] == "2026-11-02T07:30:00.000Z"
    assert "Zoë" in out  # in UTF-8, not escaped
    assert run("--workspace", drained, "alerts", "--state", "resolved", "--json")[1] == ""
    told = run("--workspace", drained, "alerts")[1]
    assert "Zoë" in told
    assert "shouted" in told


def test_rejects_are_listed_byte_for_byte(run: Run, drained: Path) -> None:
    status, out, _ = run("--workspace", drained, "rejects", "--json")
    rejects = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert all(reject["reason"] for reject in rejects)
    [text] = [reject["raw"] for reject in rejects if "raw_base64" not in reject]
    [other] = [reject["raw_base64"] for reject in rejects if "raw_base64" in reject]
    assert text.rstrip("\n") == '{"drone_id": '
    assert base64.b64decode(other).rstrip(b"\n") == b"\xff\xfe"
    assert len(run("--workspace", drained, "rejects", "--limit", 1, "--json")[1].splitlines()) == 1
    assert "drone_id" in run("--workspace", drained, "rejects")[1]


def test_status_and_verify_agree_with_what_went_in(run: Run, drained: Path) -> None:
    seen = last_json(run("--workspace", drained, "status", "--json")[1])
    assert (seen["reports"], seen["sightings"], seen["rejects"], seen["alerts"]["open"]) == (1, 2, 2, 1)
    status, out, _ = run("--workspace", drained, "verify", "--json")
    verdict = last_json(out)
    assert (status, verdict["ok"]) == (0, True)
    assert all(set(check) == {"name", "ok", "detail"} for check in verdict["checks"])
    assert run("--workspace", drained, "verify")[0] == 0


def test_verify_fails_where_a_file_of_the_archive_is_gone(run: Run, tmp_path: Path) -> None:
    root = Workspace.create(tmp_path).root
    (root / "one.ndjson").write_text(json.dumps(REPORT), "utf-8")
    command(root, "ingest", str(root / "one.ndjson"))
    command(root, "run", "--until-drained")
    for file in (root / "lake" / "sightings").rglob("*.parquet"):
        file.unlink()
    status, out, _ = run("--workspace", root, "verify", "--json")
    assert (status, last_json(out)["ok"]) == (1, False)
    status, out, _ = run("--workspace", root, "verify")
    assert status == 1
    assert "FAILED" in out


def test_compact_says_what_it_did(run: Run, drained: Path) -> None:
    status, out, _ = run("--workspace", drained, "compact", "--json")
    assert status == 0
    assert isinstance(last_json(out), dict)


def test_follow_prints_alerts_and_waits_for_more(drained: Path) -> None:
    follow = [sys.executable, "-m", "pipeline.cli", "--workspace", str(drained), "alerts", "--follow", "--json"]
    with subprocess.Popen(follow, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        alert = json.loads(process.stdout.readline())
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr.read().strip() == b""
    again = command(drained, "alerts", "--follow", "--limit", "1", "--json")
    assert json.loads(again) == alert


@pytest.mark.parametrize("name", ["gateway", "dashboard"])
def test_services_say_where_they_listen_and_end_on_a_signal(workspace: Path, name: str) -> None:
    serve = [sys.executable, "-m", "pipeline.cli", "--workspace", str(workspace), name, "--port", "0", "--json"]
    with subprocess.Popen(serve, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = next(line for line in process.stdout if line.startswith(b"{"))
        assert json.loads(said)["url"].startswith("http://127.0.0.1:")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_lab_starts_jupyterlab_on_the_workspace(workspace: Path) -> None:
    flags = ["--no-browser", "--ServerApp.port=0", "--ServerApp.allow_root=True"]
    lab = [sys.executable, "-m", "pipeline.cli", "--workspace", str(workspace), "lab", "--", *flags]
    with subprocess.Popen(lab, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any("is running at" in line for line in process.stderr)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        if children.exists():
            environments = [Path(f"/proc/{child}/environ").read_bytes() for child in children.read_text().split()]
            assert any(f"PEACEWATCH_WORKSPACE={workspace}\0".encode() in each for each in environments)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
