"""A plain, independent reading of a file of reports: what the pipeline must come to, without any of its code."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any


@dataclass
class Plain:
    """Counts, and for each agitated citizen what the alert must say."""

    reports: int = 0
    sightings: int = 0
    duplicates: int = 0
    agitated: int = 0
    alerts: dict[str, dict[str, Any]] = field(default_factory=dict)


def read(path: Path, alert_at: float = 10, critical_at: float = 5) -> Plain:
    """Read canonical reports, line by line, in the order of the file."""
    plain = Plain()
    seen = set()
    for text in path.read_text("utf-8").splitlines():
        report = json.loads(text)
        key = (report["drone_id"], report["time"], report["sequence"])
        if key in seen:
            plain.duplicates += 1
            continue
        seen.add(key)
        plain.reports += 1
        plain.sightings += len(report["citizens"])
        for citizen in report["citizens"]:
            if citizen["peacescore"] <= alert_at:
                plain.agitated += 1
                _note(plain.alerts, report, citizen, critical_at)
    return plain


def _note(alerts: dict[str, dict[str, Any]], report: dict[str, Any], citizen: dict[str, Any], critical: float) -> None:
    time, score = datetime.fromisoformat(report["time"]), citizen["peacescore"]
    alert = alerts.setdefault(
        citizen["id"],
        {"worst_peacescore": score, "findings": 0, "time": datetime.fromisoformat("1970-01-01T00:00:00Z")},
    )
    alert["findings"] += 1
    alert["worst_peacescore"] = min(alert["worst_peacescore"], score)
    alert["severity"] = "critical" if alert["worst_peacescore"] <= critical else "high"
    if time > alert["time"]:
        others = [other["id"] for other in report["citizens"] if other["id"] != citizen["id"]]
        alert |= {
            "time": time,
            "peacescore": score,
            "citizen_name": citizen["name"],
            "action": citizen.get("action"),
            "drone_id": report["drone_id"],
            "lat": report["location"]["lat"],
            "lon": report["location"]["lon"],
            "words": report["words"],
            "others": others,
        }
