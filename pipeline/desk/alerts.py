"""The life of an alert, as a pure state machine: events in, changes out, no I/O.

A bad sighting of a citizen without an alert opens one; later ones update it. A
good score marks it *recovered*, a bad one after that *open* again; only an
officer ends it (*resolved*), and the next bad sighting then opens another. As
events may come late and out of order, what is shown is the newest by event
time, and what is worst stays worst. A wrong clock decides none of that: what counts
is when a sighting can have been at the latest, and one whose time cannot be believed
never takes the place of one whose can (`pipeline.clocks`). The same events in the same order give the
same alerts, however they are cut into batches. Times are microseconds since the
epoch, UTC. Nothing here knows of storage, clocks or Arrow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b

from pipeline.clocks import counts_from, is_believable, is_late
from pipeline.rules import SEVERITIES

OPEN = "open"
RECOVERED = "recovered"
RESOLVED = "resolved"

#: An alert knows a retransmission of any of its last so many bad sightings.
REMEMBERED = 32

#: Whose alert it is: rule and citizen key.
Subject = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Finding:
    """A bad sighting. ``words`` and ``others`` are JSON text, as they are stored and shown."""

    rule: str
    severity: str
    threshold: float
    citizen_key: int
    citizen_id: str | None
    citizen_name: str | None
    peacescore: float
    score: float
    action: str | None
    report_id: int
    drone_id: str | None
    time: int
    lat: float | None
    lon: float | None
    words: str
    others: str
    accepted_at: int

    @property
    def subject(self) -> Subject:
        return self.rule, self.citizen_key

    @property
    def counts_from(self) -> int:
        """From when it counts, see `pipeline.clocks`."""
        return counts_from(self.time, self.accepted_at)

    @property
    def rank(self) -> tuple[bool, int]:
        """What makes a sighting the newest of several."""
        return bool(is_believable(self.time, self.accepted_at)), self.counts_from


@dataclass(frozen=True, slots=True)
class Recovery:
    """A sighting with a good score; ``time`` is from when it counts."""

    rule: str
    citizen_key: int
    report_id: int
    time: int

    @property
    def subject(self) -> Subject:
        return self.rule, self.citizen_key


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as it stands. ``latest`` is its newest bad sighting by event time."""

    alert_id: str
    state: str
    severity: str  # the worst reached
    latest: Finding
    worst_peacescore: float
    findings: int  # distinct bad sightings
    first_time: int  # from when the earliest bad sighting counts
    accepted_at: int  # of the finding that opened it
    late: bool  # it was old already when it was opened
    recovered_at: int | None  # from when the good sighting counts, if recovered
    remembered: tuple[int, ...]  # digests of the last bad sightings


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one alert; ``before`` is None if it was opened."""

    before: Alert | None
    after: Alert

    @property
    def of_state_only(self) -> bool:
        """Whether nothing but ``state`` and ``recovered_at`` differs."""
        if self.before is None or self.before.latest is not self.after.latest:
            return False
        return replace(self.before, state=self.after.state, recovered_at=self.after.recovered_at) == self.after


def advance(
    alerts: Mapping[Subject, Alert], events: Iterable[Finding | Recovery], late_after_us: int
) -> dict[str, Change]:
    """Apply ``events``, in their order, to the ``alerts`` of their subjects.

    ``alerts`` must hold every unresolved alert of those subjects. Returns the net
    change of each alert that changed, by ``alert_id``.
    """
    current = dict(alerts)
    changes: dict[str, Change] = {}
    for event in events:
        before = current.get(event.subject)
        if isinstance(event, Recovery):
            after = _recover(before, event)
        elif before is None or before.state == RESOLVED:
            after = _open(event, late_after_us)
        else:
            after = _update(before, event)
        if after is not None and after is not before:
            current[event.subject] = after
            known = changes.get(after.alert_id)
            opened = before is None or before.alert_id != after.alert_id
            changes[after.alert_id] = Change(known.before if known else None if opened else before, after)
    return changes


def in_order(findings: Iterable[Finding], recoveries: Iterable[Recovery]) -> list[Finding | Recovery]:
    """Events of one slice as they arrived: by report, in a report the bad sightings first."""
    return sorted([*findings, *recoveries], key=lambda event: event.report_id)


def _open(finding: Finding, late_after_us: int) -> Alert:
    return Alert(
        alert_id=_alert_id(finding),
        state=OPEN,
        severity=finding.severity,
        latest=finding,
        worst_peacescore=finding.peacescore,
        findings=1,
        first_time=finding.counts_from,
        accepted_at=finding.accepted_at,
        late=is_late(finding.time, finding.accepted_at, late_after_us),
        recovered_at=None,
        remembered=(_digest(finding),),
    )


def _update(alert: Alert, finding: Finding) -> Alert:
    digest = _digest(finding)
    known = digest in alert.remembered
    newer = finding.rank > alert.latest.rank
    # On a tie of good and bad the bad one counts, whichever came first.
    relapse = alert.recovered_at is not None and finding.counts_from >= alert.recovered_at
    after = replace(
        alert,
        state=OPEN if relapse else alert.state,
        recovered_at=None if relapse else alert.recovered_at,
        severity=min(alert.severity, finding.severity, key=SEVERITIES.index),
        latest=_named(finding, alert.latest) if newer else alert.latest,
        worst_peacescore=min(alert.worst_peacescore, finding.peacescore),
        findings=alert.findings + (not known),
        first_time=min(alert.first_time, finding.counts_from),
        remembered=alert.remembered if known else (*alert.remembered, digest)[-REMEMBERED:],
    )
    return alert if after == alert else after


def _recover(alert: Alert | None, recovery: Recovery) -> Alert | None:
    if alert is None or alert.state != OPEN or recovery.time <= alert.latest.counts_from:
        return None
    return replace(alert, state=RECOVERED, recovered_at=recovery.time)


def _named(finding: Finding, before: Finding) -> Finding:
    """``finding``, with the id and name known before where it has none."""
    if finding.citizen_id is not None and finding.citizen_name is not None:
        return finding
    return replace(
        finding,
        citizen_id=before.citizen_id if finding.citizen_id is None else finding.citizen_id,
        citizen_name=before.citizen_name if finding.citizen_name is None else finding.citizen_name,
    )


def _alert_id(finding: Finding) -> str:
    name = f"{finding.rule}\0{finding.citizen_key}\0{finding.report_id}"
    return blake2b(name.encode(), digest_size=8).hexdigest()


def _digest(finding: Finding) -> int:
    """Equal for the same report and for its retransmission: one drone, one event time."""
    name = f"{finding.drone_id}\0{finding.time}"
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), signed=True)
