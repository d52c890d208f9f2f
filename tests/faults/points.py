"""Where processes are made to crash, as data: before and after a call of a function, and in which command.

A driver that crashes is started again; where ``survives`` the crash is in a process whose loss the command
must bear by itself.
"""

from __future__ import annotations

from typing import NamedTuple


class Point(NamedTuple):
    """The ``call``-th call of ``function`` (``module:name``) while ``command`` is at work."""

    command: str
    function: str
    call: int = 1
    survives: bool = False

    def __str__(self) -> str:
        return f"{self.command} {self.function.removeprefix('pipeline.')} #{self.call}"


POINTS = [
    # Acknowledging.
    Point("ingest", "pipeline.log.sqlite:SQLiteLog.append"),
    Point("gateway", "pipeline.log.sqlite:SQLiteLog.append"),
    Point("gateway", "pipeline.log.group:GroupCommit._commit"),
    # Screening, on a worker and in the driver.
    Point("run", "pipeline.tasks:screen_slice", survives=True),
    Point("run", "pipeline.desk.store:Desk.apply"),
    Point("run", "pipeline.desk.store:_write"),
    Point("run", "pipeline.desk.store:_move"),
    # Staging, on a worker.
    Point("run", "pipeline.tasks:stage_slices", survives=True),
    Point("run", "pipeline.lake.stage:_write_file", survives=True),
    Point("run", "pipeline.lake.stage:_write_file", 3, survives=True),
    Point("run", "pipeline.lake.stage:_durable", 2, survives=True),
    Point("run", "pipeline.lake.stage:sync", survives=True),
    # Making the archive, and numbering a log's partition.
    Point("run", "pipeline.lake.tables:Lake._create"),
    Point("run", "pipeline.lake.tables:Lake._create", 3),
    Point("run", "pipeline.lake.tables:Lake.source_number"),
    # Committing: the plan, then each table.
    Point("run", "pipeline.lake.tables:Lake.commit"),
    Point("run", "pipeline.lake.tables:Lake.commit", 2),
    Point("run", "pipeline.durable:sync", 15),
    Point("run", "pipeline.lake.tables:replace"),
    Point("run", "pipeline.lake.tables:replace", 2),
    *(Point("run", "pipeline.lake.tables:Lake._append", call) for call in (1, 2, 3, 4, 5, 6, 9)),
    *(Point("run", "pipeline.lake.delta_log:DeltaLog._create", call) for call in (1, 2, 4, 5)),
    Point("run", "pipeline.lake.tables:Lake.commit_alerts"),
    Point("run", "pipeline.log.sqlite:SQLiteLog.trim"),
    # The same in a run of one commit, after which nothing is left to do.
    Point("whole", "pipeline.desk.store:Desk.apply"),
    Point("whole", "pipeline.lake.tables:Lake.commit"),
    Point("whole", "pipeline.lake.tables:Lake.commit_alerts"),
    Point("run", "pipeline.archive:Archivist._commit"),
    # Summing up and merging.
    Point("run", "pipeline.lake.delta_log:DeltaLog._checkpoint"),
    Point("compact", "pipeline.lake.stage:merge_files"),
    Point("compact", "pipeline.lake.tables:Lake.swap"),
    Point("compact", "pipeline.lake.tables:Lake.swap", 2),
    # The cube, beside a run and by itself.
    Point("run", "pipeline.lake.cube:Cube.update", survives=True),
    Point("cube", "pipeline.lake.snapshots:Writer.keep"),
    Point("cube", "pipeline.lake.snapshots:sync"),
    Point("cube", "pipeline.lake.snapshots:sync", 9),
    # Requeueing.
    Point("requeue", "pipeline.log.sqlite:SQLiteLog.append"),
    Point("requeue", "pipeline.requeue:_note"),
]
