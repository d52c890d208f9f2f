"""Who waits for news of a source, and how a page is called when there is some.

A source, such as the `Hub`, wakes all its `Seats` from a thread of its own. Waking is
cheap and holds up nobody: a `Seat` asks for its page's own thread, once however often
it is woken until that comes, and takes there what the page has not seen yet, so that a
slow page misses nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class Seats:
    """The seats of one source, for any thread; ``taken`` is called when one is taken."""

    def __init__(self, taken: Callable[[], None] = lambda: None) -> None:
        self._taken = taken
        self._lock = threading.Lock()
        self._wakes: dict[int, Callable[[], None]] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._wakes)

    def join(self, wake: Callable[[], None]) -> int:
        """Take a seat: ``wake`` is called in the source's thread at every news."""
        with self._lock:
            self._next += 1
            self._wakes[self._next] = wake
            place = self._next
        self._taken()
        return place

    def leave(self, place: int) -> None:
        """Give a seat up; it may have been given up already."""
        with self._lock:
            self._wakes.pop(place, None)

    def wake(self) -> None:
        """There is news."""
        with self._lock:
            wakes = list(self._wakes.values())
        for wake in wakes:
            wake()


class Seat:
    """One seat of a page: ``later`` gets the page's thread to do something, ``call`` is what to do at news.

    Nobody sits there before `take`. To be used in the page's thread.
    """

    def __init__(self, seats: Seats, later: Callable[[Callable[[], None]], None], call: Callable[[], None]) -> None:
        self._seats = seats
        self._later = later
        self._call = call
        self._place: int | None = None
        self._scheduled = False

    def take(self) -> None:
        """Sit down, anew if somebody sits there."""
        self.leave()
        self._place = self._seats.join(self._wake)

    def leave(self) -> None:
        """Give the seat up. Once more changes nothing."""
        if self._place is not None:
            self._seats.leave(self._place)
            self._place = None

    def _wake(self) -> None:
        """Called in the source's thread."""
        if not self._scheduled:
            self._scheduled = True
            self._later(self._woken)

    def _woken(self) -> None:
        self._scheduled = False
        if self._place is not None:
            self._call()
