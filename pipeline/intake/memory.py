"""Memory that large bodies took, given back to the system; glibc would keep it for more of the kind."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress

#: After bodies of so many bytes in all it is worth the milliseconds that it takes, and while others are held.
WORTH_BYTES, BUSY_BYTES = 16_000_000, 1_000_000_000
_M_TRIM_THRESHOLD, _KEPT_BYTES = -1, 64_000_000
_M_MMAP_THRESHOLD, _LARGE_BYTES = -3, 1_000_000


def keep_large_apart() -> None:
    """Have large pieces given back as soon as they are free, from now on, and others kept for the next body."""
    with suppress(AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        # That stops glibc from raising this by itself: each body over 128 KB would be given back and fetched anew.
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def give_back() -> None:
    """Give back what is free now, and what only the collector would find: a refused body hangs on its error."""
    gc.collect()
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
