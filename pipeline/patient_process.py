"""Work that can wait, done in a process of low priority beside whoever asks for it.

It imports little, as that process has to import it too before it gets to work.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

_A = TypeVar("_A")
_R = TypeVar("_R")

#: A tenth of the share of whoever is in a hurry (nice values, sched(7)).
NICE = 10
_LEAVING_S = 5.0


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


def step_back() -> None:
    """Give this process, and those that it starts, a low priority."""
    if hasattr(os, "nice"):
        os.nice(NICE)


def _answer(function: Callable[[Any], Any], line: Connection) -> None:
    # Whoever ends the run ends this process too: an interrupt from the terminal is theirs to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    step_back()
    # The line ends when whoever asks is gone, before a question or before its answer.
    with suppress(EOFError, BrokenPipeError):
        while True:
            line.send(function(line.recv()))
