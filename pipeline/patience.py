"""Work that can wait, done where it is in nobody's way: on threads and in a process of low priority.

Alerts are urgent, files and cubes are not. What is here changes who gets the processor
first when there is not enough of it, and nothing else. Threads have a priority of their own
on Linux only; elsewhere they work like any other.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

from distributed import Worker, WorkerPlugin

_A = TypeVar("_A")
_R = TypeVar("_R")

#: Where a worker runs tasks that can wait: `dask.annotate(executor=LATER)`.
LATER = "later"
#: A tenth of the share of whoever is in a hurry (nice values, sched(7)).
_NICE = 10
_LEAVING_S = 5.0
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
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


class PatientProcess(Generic[_A, _R]):
    """A process of low priority that answers with ``function(argument)``, one at a time.

    It starts with the first question, and ends with whoever made it, however that ends.
    ``function`` is importable and does not raise.
    """

    def __init__(self, function: Callable[[_A], _R]) -> None:
        self._function = function
        self._asking, self._changing = threading.Lock(), threading.Lock()
        self._closed = False
        self._process: Any = None
        self._line: Any = None

    def ask(self, argument: _A) -> _R:
        """Wait for the answer; `EOFError` or `OSError` if the process died, and the next question has a new one."""
        with self._asking:
            with self._changing:
                if self._closed:
                    raise EOFError("closed")
                if self._process is None or not self._process.is_alive():
                    self._start()
            self._line.send(argument)
            answer: _R = self._line.recv()
            return answer

    @property
    def busy(self) -> bool:
        """Whether a question is being answered now."""
        return self._asking.locked()

    def close(self) -> None:
        """Ask no more, and end the process: at once if it is at work, which may be left half done."""
        with self._changing:
            self._closed = True
        if self._process is None:
            return
        if self._asking.acquire(blocking=False):
            self._line.close()
            self._process.join(_LEAVING_S)
        self._process.kill()
        self._process.join()

    def _start(self) -> None:
        context = get_context("spawn")
        self._line, other = context.Pipe()
        self._process = context.Process(target=_answer, args=(self._function, other), daemon=True)
        self._process.start()
        other.close()


def _answer(function: Callable[[Any], Any], line: Connection) -> None:
    # Whoever ends the run ends this process too: an interrupt from the terminal is theirs to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_NICE)
    # The line ends when whoever asks is gone, before a question or before its answer.
    with suppress(EOFError, BrokenPipeError):
        while True:
            line.send(function(line.recv()))


def no_long_pauses() -> None:
    """Keep what is set up by now out of the collector's way, and threads from holding up the loop.

    A full collection stops everybody for a tenth of a second; what only it would find is little.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
    sys.setswitchinterval(_SWITCH_S)
