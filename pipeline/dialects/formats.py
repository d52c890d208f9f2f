"""A ``format`` of a dialect, as `strptime` has it, as steps that compiled code takes; or why it cannot be one. Pure."""

from __future__ import annotations

import re

#: What is written for what: codes that stand for several.
_TOGETHER = {"T": "%H:%M:%S", "R": "%H:%M", "D": "%m/%d/%y", "F": "%Y-%m-%d", "r": "%I:%M:%S %p", "n": " ", "t": " "}
_CODES = {
    "Y": "YEAR",
    "y": "SHORT_YEAR",
    "m": "MONTH",
    "d": "DAY",
    "e": "DAY",
    "H": "HOUR",
    "k": "HOUR",
    "I": "HOUR_12",
    "l": "HOUR_12",
    "M": "MINUTE",
    "S": "SECOND",
    "f": "FRACTION",
    "p": "HALF",
    "z": "OFFSET",
    ":z": "OFFSET",
    "b": "MONTH_NAME",
    "B": "MONTH_NAME",
    "h": "MONTH_NAME",
    "a": "DAY_NAME",
    "A": "DAY_NAME",
    "j": "DAY_OF_YEAR",
    "s": "EPOCH",
}
_STEP = re.compile(r"%(:z|.)?", re.DOTALL)
_KNOWN = ", ".join(f"%{code}" for code in sorted({*_CODES, *_TOGETHER} - {"n", "t"}, key=str.lower)) + " and %%"


def parse_format(text: str) -> tuple[int, ...]:
    """The steps of a format. `ValueError` says in a sentence why it is none that tells a time."""
    codes, steps = _parse(text)
    at_all = "s" in codes
    day = ("Y" in codes or "y" in codes) and (
        "j" in codes or (bool(codes & {"m", "b", "B", "h"}) and bool(codes & {"d", "e"}))
    )
    half = bool(codes & {"I", "l"})
    hour = bool(codes & {"H", "k"}) or (half and "p" in codes)
    if not at_all and half and "p" not in codes:
        raise ValueError(f"{text!r} has an hour of twelve and does not say which half of the day: add %p, or use %H")
    if not at_all and not (day and hour and "M" in codes):
        missing = "the day (%Y, %m and %d)" if not day else "the hour (%H)" if not hour else "the minute (%M)"
        raise ValueError(f"{text!r} does not tell a time: it lacks {missing}")
    return steps


def _parse(text: str) -> tuple[set[str], tuple[int, ...]]:
    """The codes in a format, and its steps."""
    # Imported late: it is compiled, and most dialects have no format.
    from pipeline.dialects import moments

    codes: set[str] = set()
    steps: list[int] = []
    at = 0
    while at < len(text):
        if text[at] != "%":
            steps += b" " if text[at].isspace() else text[at].encode()
            at += 1
            continue
        found = _STEP.match(text, at)
        assert found is not None
        code = found[1] or ""
        at = found.end()
        if code == "%":
            steps.append(ord("%"))
        elif code in _TOGETHER:
            inner, more = _parse(_TOGETHER[code])
            codes |= inner
            steps += more
        elif code in _CODES:
            codes.add(code)
            steps.append(getattr(moments, _CODES[code]))
        elif code == "Z":
            raise ValueError(f"{text!r} has %Z, a name that several zones share: leave it out, and set zone")
        else:
            raise ValueError(f"{text!r} has %{code}, which is not read: use {_KNOWN}")
    return codes, tuple(steps)
