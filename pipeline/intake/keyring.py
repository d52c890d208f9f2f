"""The keys that are good now, in memory: asking costs a hash and a look-up.

Promises that a revoked key is refused, and a new one admitted, within about a
second. Reads the desk off the event loop. If the desk cannot be read, the last
keys known stay good, and `problem` says so.
"""

from __future__ import annotations

import asyncio
import time

from pipeline.desk.keys import Keys, hash_token
from pipeline.errors import PeacewatchError

_REFRESH_S = 0.5
_UNKNOWN_KEY_S = 0.1  # unknown keys do not cause looks at the desk more often than that


class Keyring:
    """A copy of the active keys' hashes. All methods belong to one event loop."""

    def __init__(self, keys: Keys) -> None:
        """Read the keys for the first time. Raises `StorageError`."""
        self._keys = keys
        self._read_at = time.monotonic()
        self._version = keys.version()
        self._hashes = keys.active_hashes()
        self._known: set[str] = set()  # tokens that were found good, to spare hashing them again
        self._reading = asyncio.Lock()
        self.problem: str | None = None

    def knows(self, token: str) -> bool:
        """Whether the token was found good before, and still is."""
        return token in self._known

    async def admits(self, token: str) -> bool:
        """Whether the token is good. One that was made just now is looked up."""
        digest = hash_token(token)
        if digest not in self._hashes:
            await asyncio.sleep(self._read_at + _UNKNOWN_KEY_S - time.monotonic())
            await self.refresh()
        if digest not in self._hashes:
            return False
        self._known.add(token)
        return True

    async def refresh(self) -> None:
        """Look at the desk again, unless another task has just done so."""
        asked_at = time.monotonic()
        async with self._reading:
            if self._read_at >= asked_at:
                return
            self._read_at = time.monotonic()
            try:
                version, hashes = await asyncio.to_thread(self._read)
                if hashes is not self._hashes:
                    self._known.clear()
                self._version, self._hashes = version, hashes
                self.problem = None
            except PeacewatchError as error:
                self.problem = f"keys cannot be read: {error.message}"

    async def keep_fresh(self) -> None:
        """Refresh for ever."""
        while True:
            await asyncio.sleep(_REFRESH_S)
            await self.refresh()

    def _read(self) -> tuple[tuple[int, int], set[bytes]]:
        version = self._keys.version()
        if version == self._version:
            return version, self._hashes
        return version, self._keys.active_hashes()
