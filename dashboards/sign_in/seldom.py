"""A log that strangers can make lines of: so many in a while, and no more."""

from __future__ import annotations

import logging
import time


class Seldom(logging.Filter):
    """Lets ``most`` lines through in each ``every_s`` seconds; the last of them says that others are left out."""

    def __init__(self, most: int = 10, every_s: float = 60) -> None:
        super().__init__()
        self._most = most
        self._every_s = every_s
        self._since = -every_s
        self._passed = 0

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        if now - self._since >= self._every_s:
            self._since, self._passed = now, 0
        self._passed += 1
        if self._passed == self._most:
            record.msg = f"{record.msg} (more of these are left out for a while)"
        return self._passed <= self._most
