"""What fields mean that carry no meaning in the code: those of the desk, the live snapshot and ``--json``.

Each is ``name: (unit, meaning)``; the unit is empty where there is none. What the lake's
tables and the cube hold is said in `pipeline.schema` and `pipeline.lake.bins`. Tests
compare these names with what Peacewatch really gives.
"""

from __future__ import annotations

Fields = dict[str, tuple[str, str]]

#: One row of each of the lake's tables.
ROWS = {
    "reports": "A row is one report of a drone, as accepted; one that was sent twice is here once.",
    "sightings": "A row is one citizen in one report. Join it to `reports` by `report_id`.",
    "identities": "A row is a citizen with a name that was seen. Restricted: the one table that names people.",
    "rejects": "A row is one line that could not be read. Restricted: a raw line may name people.",
    "alerts": "A row is one change of an alert; the row with the highest `revision` of an `alert_id` is how it stands.",
}

#: The coordinates of the cube.
COORDINATES: Fields = {
    "time": ("UTC", "beginning of the five minutes; days without any report are left out"),
    "lat": ("degree", "middle of the cell, from south to north"),
    "lon": ("degree", "middle of the cell, from west to east"),
}

#: An alert as readers of the desk get it, beyond what is named as in the lake.
ALERT: Fields = {
    "state": ("", "open, recovered (the score is good again) or resolved (by an officer)"),
    "time": ("UTC", "event time of the newest bad sighting"),
    "first_time": ("UTC", "event time of the earliest bad sighting"),
    "others": ("", "the others in the newest bad report: list of {id, name, peacescore}"),
    "accepted_at": ("UTC", "when the log took in the sighting that opened it"),
    "latest_accepted_at": ("UTC", "when the log took in the newest bad sighting"),
    "recovered_at": ("UTC", "event time of the good sighting, if recovered"),
    "late": ("", "the sighting was old already when it arrived: see `reports.late_after_s`"),
    "case_version": ("", "number of decisions on it; who acts says which one they saw"),
    "acknowledged_at": ("UTC", "when somebody took it"),
    "acknowledged_by": ("", "user who took it"),
    "assigned_to": ("", "user who has it"),
    "resolved_at": ("UTC", "when it was resolved"),
    "resolved_by": ("", "user who resolved it"),
    "reason": ("", "helped, false alarm, wrong person or duplicate"),
    "escalated_at": ("UTC", "when it was overdue"),
    "silenced_until": ("UTC", "end of its silence, if it has one"),
    "comments": ("", "number of comments"),
}

#: The live snapshot, ``live.json``, which `run` writes every second.
LIVE: Fields = {
    "crc32": ("", "checksum of the rest: what does not match it is passed over"),
    "pid": ("", "process of `run`"),
    "state": ("", "starting, running or stopped"),
    "waiting_for": ("", "one entry for each thing that prevents work now, as follows; it goes on by itself"),
    "waiting_for[].what": ("", "archive, cluster, desk, log, or disk (of this file)"),
    "waiting_for[].reason": ("", "what is wrong with it"),
    "waiting_for[].seconds": ("s", "for how long by now"),
    "started_at": ("seconds since 1970", "when this run began"),
    "updated_at": ("seconds since 1970", "when this was written; older than a few seconds means that `run` is gone"),
    "reports": ("", "reports archived by this run"),
    "sightings": ("", "sightings in them"),
    "rejected": ("", "lines rejected by this run"),
    "duplicates": ("", "retransmissions left out by this run"),
    "alerts_opened": ("", "alerts opened by this run"),
    "reports_per_s": ("1/s", "lines screened, over the last 10 s"),
    "megabytes_per_s": ("MB/s", "the same in bytes"),
    "lag_reports": ("", "lines in the log that are not screened yet"),
    "archive_lag_reports": ("", "lines in the log that are not archived yet"),
    "latency_ms.p50": ("ms", "accepted to stored on the desk, median of the last 60 s"),
    "latency_ms.p99": ("ms", "the same, 99th percentile"),
    "latency_histogram_ms.edges": ("ms", "limits of the buckets"),
    "latency_histogram_ms.counts": ("", "findings in each bucket; the first is below the first edge"),
    "latency_steps_ms": ("", "one entry a step on the way, as follows"),
    "latency_steps_ms[].step": ("", "slice, dispatch, decode, screen, store (what ends it), or total"),
    "latency_steps_ms[].p50": ("ms", "what it took, median of the last 60 s"),
    "latency_steps_ms[].p99": ("ms", "the same, 99th percentile"),
    "latency_steps_ms[].counts": ("", "findings in each bucket of latency_histogram_ms"),
    "workers": ("", "Dask workers"),
    "metrics": ("", "address of the run's metrics for Prometheus, while it is up"),
    "dask": ("", "one entry a worker, as follows"),
    "dask[].name": ("", "its name"),
    "dask[].address": ("", "its address"),
    "dask[].status": ("", "running, paused or closing"),
    "dask[].nthreads": ("", "threads for tasks"),
    "dask[].memory_mb": ("MB", "memory in use"),
    "dask[].memory_limit_mb": ("MB", "memory that it may use"),
    "dask[].cpu_percent": ("percent", "of one core"),
    "dask[].processing": ("", "tasks that it has"),
}

#: What commands print with ``--json``.
COMMANDS: dict[str, Fields] = {
    "init": {"workspace": ("", "path of the new workspace")},
    "simulate": {
        "reports": ("", "reports written"),
        "bytes": ("byte", "size, unpacked"),
        "agitated": ("", "sightings of agitated citizens"),
    },
    "ingest": {
        "accepted": ("", "lines in the log that can be read"),
        "rejected": ("", "lines in the log that will be rejected"),
    },
    "run": {
        "reports": ("", "reports archived"),
        "sightings": ("", "sightings in them"),
        "alerts_opened": ("", "new alerts"),
        "rejected": ("", "lines rejected"),
        "duplicates": ("", "retransmissions left out"),
        "seconds": ("s", "how long it took"),
        "megabytes": ("MB", "bytes of reports screened"),
    },
    "rejects": {
        "report_id": ("", "the line: log partition number and offset"),
        "reason": ("", "why it could not be read, and what would be right"),
        "raw": ("", "the line as text"),
        "raw_base64": ("", "the line, base64; only if it is no valid UTF-8"),
        "dialect": ("", "the dialect it was read with"),
        "accepted_at": ("UTC", "when the log took it in"),
    },
    "requeue": {"requeued": ("", "lines appended to the log again")},
    "status": {
        "log.identity": ("", "the log's own name, made with it"),
        "log.begins": ("", "first offset that it still holds, by partition"),
        "log.ends": ("", "next offset, by partition"),
        "log.megabytes": ("MB", "its size"),
        "screened": ("", "offset up to which alerts are raised, by partition"),
        "archived": ("", "offset up to which the lake holds it, by partition"),
        "reports": ("", "reports in the lake"),
        "sightings": ("", "sightings in the lake"),
        "duplicates": ("", "retransmissions left out so far"),
        "rejects": ("", "rejects in the lake"),
        "alerts": ("", "alerts by state"),
        "latency_ms.p50": ("ms", "accepted to raised, median of the newest 1,000 alerts"),
        "latency_ms.p99": ("ms", "the same, 99th percentile"),
        "run": ("", "the live snapshot; null if there was no run yet"),
    },
    "verify": {
        "ok": ("", "whether all checks are"),
        "checks[].name": ("", "what was looked at"),
        "checks[].ok": ("", "whether it is as it should be"),
        "checks[].detail": ("", "what was seen"),
        "repair": ("", "what `--repair` did, in sentences: mended, lost, aside; null without it"),
    },
    "compact": {
        "merged": ("", "files that became larger ones"),
        "into": ("", "files that they became"),
        "removed": ("", "leftovers deleted"),
    },
    "cube update": {
        "mode": ("", "unchanged, updated or rebuilt"),
        "versions": ("", "the lake's versions that are in it, by table"),
        "rows": ("", "rows of the lake that were read for it, by table"),
        "reason": ("", "why it was made anew, if it was"),
    },
    "users list": {
        "name": ("", "what they sign in with"),
        "display_name": ("", "what pages show"),
        "role": ("", "officer, supervisor, analyst or administrator"),
        "created_at": ("UTC", "since when they may sign in"),
        "disabled_at": ("UTC", "since when they may not, if so"),
        "seen_at": ("UTC", "when they were last active"),
    },
    "keys list": {
        "key_id": ("", "what `keys revoke` wants"),
        "label": ("", "whose it is"),
        "created_at": ("UTC", "when it was made"),
        "revoked_at": ("UTC", "since when it is refused, if so"),
    },
    "audit": {
        "number": ("", "rising by one, without gaps"),
        "at": ("UTC", "when"),
        "user_name": ("", "who; `operator` at the command line, `peacewatch` by itself"),
        "session_id": ("", "in which session"),
        "action": ("", "what was done or looked at"),
        "alert_id": ("", "on which alert"),
        "citizen_key": ("", "on whom"),
        "purpose": ("", "why"),
        "note": ("", "what they wrote to it"),
        "details": ("", "more, by action"),
        "mac": ("", "HMAC-SHA256 of the row and of the one before, hex"),
    },
}
