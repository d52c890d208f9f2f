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
_UNKNOWN_KEY_S = 0.1  # so soon after a look at the desk, an unknown key does not cause another


class Keyring:
    """A copy of the active keys' hashes. All methods belong to one event loop."""

    def __init__(self, keys: Keys) -> None:
        """Read the keys for the first time. Raises `StorageError`."""
        self._keys = keys
        self._version = keys.version()
        self._hashes = keys.active_hashes()
        self._read_at = time.monotonic()
        self._reading = asyncio.Lock()
        self.problem: str | None = None

    async def admits(self, token: str) -> bool:
        """Whether the token is good. One that was made just now is looked up."""
        digest = hash_token(token)
        if digest not in self._hashes and time.monotonic() - self._read_at > _UNKNOWN_KEY_S:
            await self.refresh()
        return digest in self._hashes

    async def refresh(self) -> None:
        """Look at the desk again, unless another task has just done so."""
        asked_at = time.monotonic()
        async with self._reading:
            if self._read_at >= asked_at:
                return
            try:
                self._version, self._hashes = await asyncio.to_thread(self._read)
                self.problem = None
            except PeacewatchError as error:
                self.problem = f"keys cannot be read: {error.message}"
            self._read_at = time.monotonic()

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
