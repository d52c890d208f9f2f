"""Functions of bytes and numpy arrays that are compiled to machine code, and kept compiled.

Importing numba takes about half a second, so modules with such functions are
imported when they are first needed. Kernels hand arrays on to their helpers as
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
    return njit(nogil=True)(function)  # type: ignore[return-value]


def kernel(*signatures: Any) -> Callable[[_F], _F]:
    """A function of certain types that is compiled when its module is imported, or loaded if it was before.

    Compiled code is kept in the package's ``__pycache__``, or else in the user's cache
    directory. Where neither can be written or read, it is compiled at each start.
    """

    def compile_(function: _F) -> _F:
        compiled: Any
        try:
            compiled = njit(list(signatures), nogil=True, cache=True)(function)
        except Exception:  # noqa: BLE001 - no place, a full disk, a torn file: what is raised differs
            compiled = njit(list(signatures), nogil=True)(function)
        return compiled  # type: ignore[no-any-return]

    return compile_


@kernel(
    *(
        types.CPointer(item)(types.CPointer(item))
        for item in (types.uint8, types.int32, types.uint32, types.int64, types.uint64)
    )
)
def pointer(items: Any) -> Any:
    """Where the items of ``array.ctypes`` are. They are neither counted nor kept alive, and indices not checked."""
    return items
