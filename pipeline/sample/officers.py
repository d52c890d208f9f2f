"""Made-up officers for sample data: when they act on an alert, what they do, and how it turns out.

Drawn so that an analysis finds something: nights are slower, critical alerts go
first, some drones mistake people for one another, and the milder a score the
likelier a false alarm. Pure; nothing here knows of storage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.desk.work import Action

#: Name, display name and role of each; nobody of them has a password.
STAFF = (
    ("a.moreau", "Alice Moreau", "officer"),
    ("b.nguyen", "Bao Nguyen", "officer"),
    ("c.rossi", "Carla Rossi", "officer"),
    ("d.okafor", "David Okafor", "officer"),
    ("e.lindqvist", "Eva Lindqvist", "supervisor"),
)
_COMMENTS = {
    "helped": ("talked to them, calm now", "a neighbour came by to help", "was late for work, we laughed about it"),
    "false alarm": ("was singing, not shouting", "street theatre, no need to come", "a good-natured argument"),
    "wrong person": ("somebody else of the same height", "the name does not fit the face", "a twin, says the mother"),
    "duplicate": ("same people as just before", "a colleague is there already"),
}
_NIGHT_SLOWER = 1.8
_FORGOTTEN = 0.03
_MINUTE_S = 60.0
#: Of the drones, those whose camera mistakes people.
_BLURRED = 0.08


@dataclass(frozen=True)
class Deed:
    """What somebody will do at ``at`` (seconds since the epoch); by None, if the clock does it: escalation."""

    at: float
    by: str | None
    action: Action


class Officers:
    """Plans what becomes of each alert. ``work`` are the seconds in which a critical and another alert should be
    acknowledged."""

    def __init__(self, rng: np.random.Generator, within_s: Mapping[str, float]) -> None:
        self._rng = rng
        self._within_s = within_s

    def plan(self, alert: Mapping[str, Any]) -> list[Deed]:
        """The deeds of an alert as the desk shows it, in the order of time."""
        rng, name = self._rng, alert["alert_id"]
        raised = alert["raised_at"].timestamp()
        critical = alert["severity"] == "critical"
        slow = _NIGHT_SLOWER if alert["raised_at"].hour < 6 else 1.0
        seen = raised + slow * float(rng.lognormal(np.log(40.0 if critical else 150.0), 0.8))
        done = seen + slow * _MINUTE_S * float(rng.lognormal(np.log(14.0 if critical else 9.0), 0.7))
        by, forgotten = str(rng.choice([who for who, _, _ in STAFF])), rng.random() < _FORGOTTEN
        reason, talks = self._reason(alert), rng.random() < 0.3
        note = str(rng.choice(_COMMENTS[reason]))

        deeds = []
        due = raised + self._within_s[alert["severity"]] + 1
        if forgotten or seen > due:
            deeds.append(Deed(due, None, Action("escalate", name, 0)))
        if forgotten:
            return deeds
        deeds.append(Deed(seen, by, Action("acknowledge", name, 0)))
        if talks:
            deeds.append(Deed((seen + done) / 2, by, Action("comment", name, 1, note=note)))
        deeds.append(Deed(done, by, Action("resolve", name, 1, reason=reason)))
        return deeds

    def _reason(self, alert: Mapping[str, Any]) -> str:
        mild = alert["worst_peacescore"] > 8
        blurred = _digest(alert["drone_id"] or "") < _BLURRED
        false, wrong, double = 0.38 if mild else 0.07, 0.42 if blurred else 0.03, 0.05
        helped = max(1 - false - wrong - double, 0.05)
        shares = np.array([helped, false, wrong, double])
        return str(self._rng.choice(["helped", "false alarm", "wrong person", "duplicate"], p=shares / shares.sum()))


def _digest(text: str) -> float:
    """A number from 0 to 1 that belongs to a text, the same in every process."""
    return int.from_bytes(text.encode()[-4:]) * 2654435761 % 2**32 / 2**32
