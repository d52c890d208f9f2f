"""One quick look at a block's bytes, for what would need a closer one.

All answers err on the side of a closer look. The block is gone through in
pieces that stay in the processor's cache: ten times as fast as in one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

_PIECE = 1 << 16
_QUOTE, _COLON, _OPEN, _CLOSE, _BACKSLASH, _U, _NEWLINE = b'":{}\\u\n'
_LAST_BLANK = 32  # space; tab, carriage return and newline are smaller


@dataclass(frozen=True)
class Look:
    """What was seen. ``names`` counts ``":``: all names of JSON members, unless ``parted``."""

    names: int
    parted: list[int]  # quotes before white space: a name might stand apart from its colon
    joined: list[int]  # closing braces before an opening one, or before white space in a line
    escapes: bool  # a backslash before u


def look(data: bytes) -> Look:
    """Look through a block of NDJSON."""
    text = np.frombuffer(data, np.uint8)
    names, escapes = 0, False
    parted: list[int] = []
    joined: list[int] = []
    for start in range(0, len(text), _PIECE):
        here, following = text[start : start + _PIECE], text[start + 1 : start + _PIECE + 1]
        here = here[: len(following)]
        quote = here == _QUOTE
        names += int(np.count_nonzero(quote & (following == _COLON)))
        blank = following <= _LAST_BLANK
        parted += _places(quote & blank, start)
        close = here == _CLOSE
        joined += _places(close & ((following == _OPEN) | (blank & (following != _NEWLINE))), start)
        escapes = escapes or bool(((here == _BACKSLASH) & (following == _U)).any())
    return Look(names, parted, joined, escapes)


def _places(mask: np.ndarray[Any, np.dtype[np.bool_]], start: int) -> list[int]:
    return (np.flatnonzero(mask) + start).tolist() if mask.any() else []
