"""Where the time goes between acceptance and alert: stamps, steps, and what Prometheus is told of them."""

from __future__ import annotations

import sqlite3
import urllib.request
from collections.abc import Callable
from contextlib import closing

import numpy as np
import pyarrow as pa
import pytest
from conftest import command, listed, peacewatch
from prometheus_client.parser import text_string_to_metric_families
from test_path import live, process, wait_for

from pipeline.desk import Desk
from pipeline.errors import PeacewatchError
from pipeline.latency import EDGES_MS, STEPS, StepCounts, by_step_ms, spans, with_stamps
from pipeline.log import Chunk, open_log
from pipeline.progress import Progress
from pipeline.run_metrics import served
from pipeline.schema import FINDINGS
from pipeline.workspace import Workspace

BAD = (
    b'{"drone_id":"d%d","time":"2026-11-02T07:30:00Z","location":{"lat":48.85,"lon":2.3},'
    b'"citizens":[{"id":"c%d","name":"n","peacescore":2}]}\n'
)


def accepted(at_s: float) -> pa.Table:
    """One finding of which nothing matters but when it was accepted."""
    columns = {field.name: pa.nulls(1, field.type) for field in FINDINGS}
    columns["accepted_at"] = pa.array([round(at_s * 1e6)]).cast(FINDINGS.field("accepted_at").type)
    return pa.table(columns)


def test_steps_are_what_lies_between_stamps() -> None:
    finding = with_stamps(accepted(100.0), (100.01, 100.03, 100.06, 100.1))
    assert spans(finding, 100.15)[0] == pytest.approx([0.01, 0.02, 0.03, 0.04, 0.05, 0.15])


def test_a_clock_that_was_set_back_makes_no_step_negative_and_the_total_what_is_left() -> None:
    finding = with_stamps(accepted(100.0), (99.0, 99.1, 99.2, 99.3))
    assert spans(finding, 99.4)[0] == pytest.approx([0, 0.1, 0.1, 0.1, 0.1, 0.4])


def test_steps_are_counted_by_bucket() -> None:
    taken = np.array([[0.001, 0.003, 0.01, 0.1, 1.0, 40.0], [0.001, 0.003, 0.01, 0.1, 1.0, 40.0]])
    counts = StepCounts()
    counts.add(taken[:1])
    counts.add(taken[1:])
    assert counts.counts.shape == (len(STEPS), len(EDGES_MS) + 1)
    assert counts.counts.sum(axis=1).tolist() == [2] * len(STEPS)
    assert (counts.counts[0, 0], counts.counts[-1, -1]) == (2, 2)
    assert counts.sums_s == pytest.approx(2 * taken[0])
    assert by_step_ms(taken)[STEPS.index("screen")]["p99"] == 100.0


def test_an_alert_and_prometheus_say_where_the_time_went(make_workspace: Callable[..., Workspace]) -> None:
    workspace = make_workspace()
    with process(command(workspace.root, "run")):
        wait_for(lambda: live(workspace).get("state") == "running")
        log = open_log(workspace.log_url, workspace.settings.log)
        with closing(log):
            log.append([Chunk(b"".join(BAD % (number, number) for number in range(3)), "peacewatch")])
        wait_for(lambda: live(workspace)["alerts_opened"] == 3)
        page = urllib.request.urlopen(live(workspace)["metrics"]).read().decode()
        said = live(workspace)["latency_steps_ms"]
    assert live(workspace)["metrics"] == "", "nobody is told of an address where nothing is any more"
    alerts = listed(workspace.root, "alerts")
    assert len(alerts) == 3
    for alert in alerts:
        stamps = [alert[f"{name}_at"] for name in ("accepted", "sliced", "started", "decoded", "screened", "raised")]
        assert stamps == sorted(stamps)
        assert all(stamps)
    assert {told["step"]: sum(told["counts"]) for told in said} == dict.fromkeys(STEPS, 3)
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }
    assert samples["peacewatch_run_alerts_opened_total",] == 3
    assert samples["peacewatch_run_lag_reports",] == 0
    assert [samples["peacewatch_run_step_seconds_count", step] for step in STEPS] == [3] * len(STEPS)
    steps_s = sum(samples["peacewatch_run_step_seconds_sum", step] for step in STEPS[:-1])
    assert steps_s == pytest.approx(samples["peacewatch_run_step_seconds_sum", "total"], rel=0.05)


def test_a_port_that_is_taken_is_named() -> None:
    with served(Progress(), 0) as address:
        port = int(address.split(":")[2].split("/")[0])
        with (
            pytest.raises(PeacewatchError, match=f"run.metrics_port = {port} cannot be used"),
            served(Progress(), port),
        ):
            pass


def test_a_desk_of_before_has_no_stamps_and_goes_on(make_workspace: Callable[..., Workspace]) -> None:
    workspace = make_workspace()
    log = open_log(workspace.log_url, workspace.settings.log)
    with closing(log):
        log.append([Chunk(BAD % (1, 1), "peacewatch")])
    peacewatch(workspace.root, "run", "--until-drained")
    with closing(sqlite3.connect(workspace.root / "desk.sqlite")) as desk:
        desk.execute("DROP TABLE alert_stamps")
    with closing(Desk(workspace.desk_url)) as opened:
        (alert,) = opened.alerts()
    assert alert["sliced_at"] is None
