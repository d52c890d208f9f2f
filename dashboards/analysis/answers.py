"""Studies for all open pages: asked for by several people at once, they are made once.

A `Study` is kept by its question and the version of the archive. One is made after
another, in a thread of its own, so that questions about years hold up neither officers'
work nor one another's memory; what nobody waits for any more is not begun.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from dashboards.site import Site
from pipeline.analysis import Archive, Question, Study, study
from pipeline.lake.tables import Lake
from pipeline.workspace import Workspace

#: An answer is good enough for so long although the archive has grown, seconds.
GOOD_S = 30.0
#: And for so long if it has not: the desk's side changes all the same.
LASTS_S = 120.0
_KEPT = 16

Key = tuple[Question, tuple[int, ...]]


@dataclass
class Asked:
    """A study that was asked for: made, being made, or waiting for its turn. ``rows`` are to be read for it."""

    key: Key
    rows: int
    future: Future[Study] = field(repr=False)
    asked_at: float
    waiting: int = 0


class Answers:
    """See the module. For any thread. ``clock`` gives seconds."""

    def __init__(
        self,
        workspace: Workspace,
        clock: Callable[[], float] = time.monotonic,
        make: Callable[[Workspace, Question, Archive], Study] = study,
    ) -> None:
        self._workspace = workspace
        self._clock = clock
        self._make = make
        self._lock = threading.Lock()
        self._asked: OrderedDict[Key, Asked] = OrderedDict()
        self._worker = ThreadPoolExecutor(1, "dashboard-analysis")

    def ask(self, question: Question, again: bool = False) -> Asked:
        """The study of a question; `release` it when it is not waited for any more.

        ``again``: not one that was made before. Reads the archive's list of files, not its rows.
        """
        archive = Archive(Lake(self._workspace.lake_path))
        key = question, archive.version
        with self._lock:
            asked = self._known(key, again)
            if asked is None:
                future = self._worker.submit(self._make, self._workspace, question, archive)
                asked = Asked(key, archive.rows(question.span), future, self._clock())
                self._asked.pop(key, None)
                self._asked[key] = asked
            asked.waiting += 1
            self._forget()
            return asked

    def release(self, asked: Asked) -> None:
        """Not waited for any more, by one of those who asked."""
        with self._lock:
            asked.waiting -= 1
            if asked.waiting == 0 and asked.future.cancel() and self._asked.get(asked.key) is asked:
                del self._asked[asked.key]

    def _known(self, key: Key, again: bool) -> Asked | None:
        """The newest good one of the same question; one that is being made is always new enough."""
        for asked in reversed(self._asked.values()):
            if asked.key[0] != key[0]:
                continue
            if not asked.future.done():
                return asked
            good = asked.future.exception() is None and not again
            if good and self._clock() - asked.asked_at <= (LASTS_S if asked.key == key else GOOD_S):
                return asked
        return None

    def _forget(self) -> None:
        for key in [key for key, asked in self._asked.items() if asked.future.done() and not asked.waiting]:
            if len(self._asked) > _KEPT:
                del self._asked[key]


_OF_SITES: WeakKeyDictionary[Site, Answers] = WeakKeyDictionary()
_LOCK = threading.Lock()


def answers_of(site: Site) -> Answers:
    """The one of a site."""
    with _LOCK:
        if site not in _OF_SITES:
            _OF_SITES[site] = Answers(site.workspace)
        return _OF_SITES[site]
