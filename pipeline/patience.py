"""Work that can wait, done where it is in nobody's way: on a worker's threads of low priority.

Alerts are urgent, files are not. What is here changes who gets the processor first when
there is not enough of it, and nothing else. Threads have a priority of their own on Linux
only; elsewhere they work like any other.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from distributed import Worker, WorkerPlugin

from pipeline.patient_process import NICE

#: Where a worker runs tasks that can wait: `dask.annotate(executor=LATER)`.
LATER = "later"
#: A thread that computes lets the loop in after so long; Python's 5 ms add up over the steps of a slice.
_SWITCH_S = 0.0005
#: New objects until a collection of the young ones, of those until the next older ones, of those until all.
_COLLECT_AFTER = (1000, 10, 1000)


class PatientThreads(WorkerPlugin):
    """Gives a worker threads of low priority, under the name `LATER`."""

    name = "peacewatch-patient-threads"
    idempotent = True

    def setup(self, worker: Worker) -> None:
        worker.executors[LATER] = ThreadPoolExecutor(
            worker.state.nthreads, thread_name_prefix="later", initializer=_step_back
        )


def _step_back() -> None:
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


def no_long_pauses() -> None:
    """Keep what is set up by now out of the collector's way, and threads from holding up the loop.

    A full collection stops everybody for a tenth of a second; what only it would find is little.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
    sys.setswitchinterval(_SWITCH_S)
