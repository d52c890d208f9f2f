"""Functions compiled to machine code, kept from one process to the next where there is a place for that."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba

_P = ParamSpec("_P")
_T = TypeVar("_T")


def compiled(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Compile a function for the types that it is called with, when it first is; it runs without the GIL.

    What was compiled is cached beside the source or in the user's cache directory; where neither
    may be written to, each process compiles it anew.
    """
    try:
        made = numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # numba found no directory for its cache
        made = numba.njit(nogil=True)(function)
    return cast("Callable[_P, _T]", made)
