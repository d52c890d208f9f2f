"""Rejects that go through again once what was wrong with them is mended."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from conftest import listed, peacewatch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.desk.audit import Actor, Search
from pipeline.desk.office import Office
from pipeline.errors import Overloaded
from pipeline.latency import EDGES_MS, histogram_ms
from pipeline.log import open_log
from pipeline.progress import read_snapshot
from pipeline.requeue import examples, kind_of, requeue, waiting
from pipeline.workers import worker_rows
from pipeline.workspace import Workspace

DIALECTS = Path(__file__).parent.parent / "pipeline" / "dialects"


def report(number: int, **values: Any) -> bytes:
    usual = {
        "drone_id": "pw-1",
        "sequence": number,
        "time": f"2026-11-02T07:30:{number:02}Z",
        "location": {"lat": 48.85, "lon": 2.35},
        "citizens": [{"id": f"c-{number}", "peacescore": 70}],
    }
    return json.dumps(usual | values).encode() + b"\n"


@pytest.fixture(scope="module")
def drained(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace whose drones send places in a way that its dialect does not know yet, and some rubbish."""
    workspace = Workspace.create(tmp_path_factory.mktemp("requeue") / "force")
    shutil.copy(DIALECTS / "peacewatch.yaml", workspace.root / "ours.yaml")
    toml = workspace.root / "peacewatch.toml"
    toml.write_text(toml.read_text("utf-8").replace('dialect = "peacewatch"', 'dialect = "ours.yaml"'), "utf-8")
    file = workspace.root / "reports.ndjson"
    other = [report(n, location=None, position={"lat": 48.85, "lon": 2.35}) for n in range(3)]
    file.write_bytes(b"".join(other) + report(9) + b'\n{"drone_id": "\xff\n')
    peacewatch(workspace.root, "ingest", file)
    peacewatch(workspace.root, "run", "--until-drained")
    return Workspace.open(workspace.root)


@pytest.fixture
def workspace(drained: Workspace, tmp_path: Path) -> Workspace:
    shutil.copytree(drained.root, tmp_path / "force")
    return Workspace.open(tmp_path / "force")


def lines_of(workspace: Workspace, since: int = 0) -> bytes:
    log = open_log(workspace.log_url, workspace.settings.log)
    try:
        return b"".join(stretch.data for stretch in log.read(0, since, log.ends()[0]))
    finally:
        log.close()


def test_a_mended_dialect_makes_reports_of_rejects_once(workspace: Workspace) -> None:
    assert sorted(waiting(workspace).values()) == [1, 1, 3]
    dialect = workspace.root / "ours.yaml"
    dialect.write_text(dialect.read_text("utf-8").replace("location.", "position."), "utf-8")
    assert peacewatch(workspace.root, "requeue", "--reason", "is missing: send a number") == {"requeued": 3}
    assert peacewatch(workspace.root, "requeue", "--reason", "is missing: send a number") == {"requeued": 0}
    assert lines_of(workspace, since=6) == b"".join(lines_of(workspace).splitlines(keepends=True)[:3]), "byte for byte"
    assert peacewatch(workspace.root, "run", "--until-drained")["reports"] == 3
    assert peacewatch(workspace.root, "status")["reports"] == 4
    assert sorted(waiting(workspace).values()) == [1, 1]
    # All that is left: what is still wrong is rejected anew, and an empty line is not worth a try.
    assert peacewatch(workspace.root, "requeue") == {"requeued": 1}
    assert waiting(workspace) == {}
    peacewatch(workspace.root, "run", "--until-drained")
    assert list(waiting(workspace).values()) == [1]
    assert len(listed(workspace.root, "rejects")) == 6
    assert peacewatch(workspace.root, "verify")["ok"]


def test_lines_of_a_dialect_that_was_lost_come_back_in_their_own(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "force")
    dialect, file = tmp_path / "theirs.yaml", tmp_path / "reports.ndjson"
    text = (DIALECTS / "peacewatch.yaml").read_text("utf-8").replace("location.", "position.")
    dialect.write_text(text, "utf-8")
    file.write_bytes(report(1, position={"lat": 48.85, "lon": 2.35}, location=None))
    peacewatch(workspace.root, "ingest", "--dialect", dialect, file)
    file.write_bytes(report(2))
    peacewatch(workspace.root, "ingest", file)
    dialect.unlink()
    assert peacewatch(workspace.root, "run", "--until-drained")["reports"] == 1
    assert list(waiting(workspace)) == ["its dialect cannot be used: there is no dialect …: use kafka-streams, "
                                        "peacewatch or the path of a .yaml file"]  # fmt: skip
    assert peacewatch(workspace.root, "verify")["ok"], "what is known without the dialect"
    dialect.write_text(text, "utf-8")
    assert peacewatch(workspace.root, "requeue") == {"requeued": 1}
    assert peacewatch(workspace.root, "run", "--until-drained")["reports"] == 1
    assert peacewatch(workspace.root, "status")["reports"] == 2
    assert peacewatch(workspace.root, "verify")["ok"]


def test_who_requeued_what_is_in_the_audit(workspace: Workspace) -> None:
    office = Office(workspace)
    try:
        (kind,) = [kind for kind, lines in waiting(workspace).items() if lines == 3]
        assert requeue(workspace, office, Actor("root"), [kind]) == 3
        (row,) = office.audit(Search(action="requeue rejects"))
        assert (row["user_name"], row["details"]["lines"], row["details"]["kinds"]) == ("root", 3, [kind])
        assert requeue(workspace, office, Actor("root"), ["no such kind"]) == 0
        assert len(office.audit(Search(action="requeue rejects"))) == 1, "nothing done is nothing to tell"
    finally:
        office.close()


def test_a_record_torn_by_a_crash_offers_the_lines_again(workspace: Workspace) -> None:
    record = workspace.root / "requeued.jsonl"
    before = waiting(workspace)
    record.write_bytes(b'{"at": "2026-11-02T08:00:00", "report_ids": [0, 1')
    assert waiting(workspace) == before
    office = Office(workspace)
    try:
        assert requeue(workspace, office, Actor("root")) == 4
    finally:
        office.close()
    assert waiting(workspace) == {}


def test_what_a_full_log_refuses_is_offered_again(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    before = waiting(workspace)
    monkeypatch.setenv("PEACEWATCH_LOG_MAX_GB", "1e-9")
    office = Office(workspace)
    try:
        with pytest.raises(Overloaded):
            requeue(workspace, office, Actor("root"))
    finally:
        office.close()
    assert waiting(workspace) == before


def test_examples_are_the_bytes_that_came(workspace: Workspace) -> None:
    (kind,) = [kind for kind in waiting(workspace) if kind.startswith("not UTF-8")]
    assert [row["raw"] for row in examples(workspace, kind)] == [b'{"drone_id": "\xff']
    assert examples(workspace, "no such kind") == []


def test_nothing_to_requeue_in_a_new_workspace(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "force")
    assert waiting(workspace) == {}
    assert peacewatch(workspace.root, "requeue") == {"requeued": 0}


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("citizens[12].peacescore is 120: between 0 and 100 is right",
         "citizens[…].peacescore is …: between 0 and 100 is right"),
        ("time is 1815-06-18T11:30:00.000000: a time between 2000 and 2100 is right",
         "time is …: a time between 2000 and 2100 is right"),
        ("2000000 bytes long: a report has at most 1048576 (reports.max_report_kb)",
         "… bytes long: a report has at most 1048576 (reports.max_report_kb)"),
        ("does not fit dialect d: whilst decoding field 'time': failed to parse \"Zoë\" as Timestamp from 'Zoë': no",
         "does not fit dialect d: whilst decoding field 'time': failed to parse …"),
        ("not UTF-8: byte 0xff at 14", "not UTF-8: byte … at …"),
        ("not valid JSON: unexpected character: line 1 column 5 (char 4)",
         "not valid JSON: unexpected character: line … column … (char …)"),
    ],
)  # fmt: skip
def test_reasons_are_of_one_kind_but_for_their_particulars(reason: str, kind: str) -> None:
    assert kind_of(reason) == kind
    assert kind_of(kind) == kind


# --- the live snapshot that the page of the system reads ---------------------------


@settings(deadline=None)
@given(st.lists(st.floats(0, 100), max_size=50))
def test_every_latency_is_in_one_bucket(seconds: list[float]) -> None:
    counts = histogram_ms(seconds)["counts"]
    edges = [0.0, *EDGES_MS, float("inf")]
    assert counts == [sum(low <= s * 1000 < high for s in seconds) for low, high in pairwise(edges)]


def test_a_run_says_what_its_workers_do(drained: Workspace) -> None:
    said = read_snapshot(drained.live_path)
    assert said is not None
    assert len(said["latency_histogram_ms"]["counts"]) == len(said["latency_histogram_ms"]["edges"]) + 1
    assert {worker["nthreads"] for worker in said["dask"]} == {2}
    assert all(worker["memory_mb"] > 0 for worker in said["dask"])


def test_a_worker_that_has_said_nothing_yet_is_unknown() -> None:
    (row,) = worker_rows({"tcp://127.0.0.1:1": {}})
    assert (row["name"], row["memory_mb"], row["processing"]) == ("tcp://127.0.0.1:1", None, 0)
