"""What is stored against the model: everything there, once, and nothing else."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from faults.model import Expected, Sent
from pipeline.desk import Desk
from pipeline.lake.cube import open_cube
from pipeline.lake.tables import Lake
from pipeline.verify import verify
from pipeline.workspace import Workspace

#: What a finding may be, in the order of the table's columns.
KINDS = ("lost", "doubled", "missed", "stuck", "ended", "other")


@dataclass(frozen=True)
class Finding:
    """Something that should not be: its kind (one of `KINDS`) and what was seen."""

    kind: str
    detail: str


def compare(workspace: Workspace, sent: Sent) -> list[Finding]:
    """Every difference between a workspace at rest, with everything archived, and the model."""
    certain, possible = sent.certain(), sent.possible()
    lake = Lake(workspace.lake_path)
    return [
        *_reports(lake, certain, possible),
        *_rejects(lake, certain, possible),
        *_alerts(workspace, lake, certain, possible),
        *_cube(workspace, lake),
        *(
            Finding("other", f"verify: {check.name}: {check.detail}")
            for check in verify(workspace).checks
            if not check.ok
        ),
    ]


def _reports(lake: Lake, certain: Expected, possible: Expected) -> list[Finding]:
    rows = lake.read("reports", ["drone_id", "time", "sequence", "citizens"]).to_pylist()
    stored = Counter((row["drone_id"], _text(row["time"]), row["sequence"]) for row in rows)
    citizens = sum(row["citizens"] for row in rows)
    sightings = lake.read("sightings", ["report_id"]).num_rows
    found = _once("reports", stored, set(certain.reports), set(possible.reports))
    right = sum(len(possible.reports[key]["citizens"]) for key in stored if key in possible.reports)
    if not citizens == sightings == right:
        found.append(Finding("other", f"{sightings} sightings of {citizens} citizens, {right} were reported"))
    return found


def _rejects(lake: Lake, certain: Expected, possible: Expected) -> list[Finding]:
    stored = Counter(lake.read("rejects", ["raw"])["raw"].to_pylist())
    found = []
    for line, count in stored.items():
        _, most = possible.rejects.get(line, (0, 0))
        if count > most:
            found.append(Finding("doubled", f"reject {line[:60]!r} is there {count} times, was sent {most} times"))
    for line, (least, _) in certain.rejects.items():
        if stored[line] < least:
            found.append(Finding("lost", f"reject {line[:60]!r} is there {stored[line]} times, not {least}"))
    return found


def _alerts(workspace: Workspace, lake: Lake, certain: Expected, possible: Expected) -> list[Finding]:
    desk = Desk(workspace.desk_url)
    alerts = desk.alerts()
    desk.close()
    by_citizen = Counter(alert["citizen_id"] for alert in alerts)
    found = _once("alerts", by_citizen, set(certain.alerts), set(possible.alerts), lost="missed")
    for alert in alerts:
        stands = alert["severity"], alert["state"]
        right = {expected.alerts.get(alert["citizen_id"]) for expected in (certain, possible)}
        if stands not in right:
            found.append(Finding("other", f"the alert of {alert['citizen_id']} is {stands}, not one of {right}"))
        if alert["findings"] != 1:
            found.append(Finding("doubled", f"the alert of {alert['citizen_id']} counts {alert['findings']} findings"))
    return [*found, *_archived_alerts(lake, {alert["alert_id"]: alert["state"] for alert in alerts})]


def _archived_alerts(lake: Lake, standing: dict[str, str]) -> list[Finding]:
    """The archive has every revision of an alert once, and the last of each is how it stands on the desk."""
    rows = lake.read("alerts", ["alert_id", "revision", "state"]).to_pylist()
    last: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: row["revision"]):
        last[row["alert_id"]] = row
    found = []
    if doubled := [revision for revision, count in Counter(row["revision"] for row in rows).items() if count > 1]:
        found.append(Finding("doubled", f"{len(doubled)} revisions of alerts are archived more than once"))
    behind = [alert for alert, state in standing.items() if last.get(alert, {}).get("state") != state]
    if behind:
        found.append(Finding("lost", f"{len(behind)} of {len(standing)} alerts are not archived as they stand"))
    return found


def _cube(workspace: Workspace, lake: Lake) -> list[Finding]:
    """Reports by five minutes, against the archive's rows one by one."""
    times = lake.read("reports", ["time"])["time"].to_pylist()
    right = Counter(f"{time:%Y-%m-%dT%H}:{time.minute // 5 * 5:02}" for time in times)
    reports = open_cube(workspace)["reports"]
    by_time = reports.sum([name for name in reports.dims if name != "time"]).to_series()
    counted = {f"{time:%Y-%m-%dT%H:%M}": int(count) for time, count in by_time.items() if count}
    if counted == right:
        return []
    wrong = {
        bin: (counted.get(bin, 0), right.get(bin, 0))
        for bin in counted.keys() | right
        if counted.get(bin) != right.get(bin)
    }
    return [Finding("other", f"the cube counts otherwise in {len(wrong)} bins, such as {next(iter(wrong.items()))}")]


def _once(what: str, stored: Counter[Any], certain: set[Any], possible: set[Any], lost: str = "lost") -> list[Finding]:
    groups = {
        lost: [f"{what} that are missing", certain - stored.keys()],
        "doubled": [f"{what} that are there more than once", {key for key, count in stored.items() if count > 1}],
        "other": [f"{what} that nobody sent", stored.keys() - possible],
    }
    return [
        Finding(kind, f"{len(keys)} {text}, such as {json.dumps(sorted(keys)[0])}")
        for kind, (text, keys) in groups.items()
        if keys
    ]


def _text(time: Any) -> str:
    moment = time.as_py() if isinstance(time, pa.Scalar) else time
    return str(moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"))
