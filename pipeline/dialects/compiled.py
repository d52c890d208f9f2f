"""Functions of bytes and numpy arrays that are compiled to machine code, and kept compiled.

Importing numba takes about half a second, so modules with such functions are
imported when they are first needed. They hand arrays on to their helpers as
pointers: numba counts references to arrays at each call, which costs more than
what the helpers do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit, types

_F = TypeVar("_F", bound=Callable[..., Any])

#: A bytes object, as `numpy.frombuffer` gives it.
BYTES = types.Array(types.uint8, 1, "C", readonly=True)


def helper(function: _F) -> _F:
    """A function that is compiled into those of its own module that call it.

    A change in another module would not be noticed where compiled code is kept.
    """
    compiled: _F = njit(nogil=True)(function)
    return compiled


def typed_helper(signature: Any) -> Callable[[_F], _F]:
    """A `helper` with its types, so that it can be called with ``array.ctypes`` for pointers."""
    return njit(signature, nogil=True)  # type: ignore[no-any-return]


def kernel(signature: Any) -> Callable[[_F], _F]:
    """A function that is compiled when its module is imported, or loaded if it was before.

    Compiled code is kept in the package's ``__pycache__``, or else in the user's cache
    directory. Where neither can be written or read, it is compiled at each start.
    """

    def compile_(function: _F) -> _F:
        compiled: _F
        try:
            compiled = njit(signature, nogil=True, cache=True)(function)
        except Exception:  # noqa: BLE001 - no place, a full disk, a torn file: what is raised differs
            compiled = njit(signature, nogil=True)(function)
        return compiled

    return compile_
