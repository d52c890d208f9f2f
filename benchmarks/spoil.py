"""Kinds of lines that no reader should take, each made from a good one of `foreign`."""

from __future__ import annotations

import re
from collections.abc import Callable

_SCORE = re.compile(rb'"calm":[0-9.]+')
_LAT = re.compile(rb'"lat":[0-9.]+')
_TIME = re.compile(rb'"ts":[0-9]+,')
_PERSON = re.compile(rb'"people":\[\{.*?"who":\{.*?\},')

#: What is wrong with a line, and how to make it so.
SPOIL: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda line: line[: len(line) // 2],
    "noise": lambda line: b"E (4711) modem: reset, " + line[9:40],
    "encoding": lambda line: line.replace(b'"state":"', b'"state":"\xff', 1),
    "nan": lambda line: _SCORE.sub(b'"calm":NaN', line, count=1),
    "type": lambda line: _SCORE.sub(b'"calm":"high"', line, count=1),
    "no time": lambda line: _TIME.sub(b"", line, count=1),
    "range": lambda line: _LAT.sub(b'"lat":948.8', line, count=1),
    "nobody": lambda line: _PERSON.sub(b'"people":[{', line, count=1),
}
