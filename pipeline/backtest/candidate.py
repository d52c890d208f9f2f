"""A rule that is to be tried, and how people write one down.

Pure. What is not said stays as it is today.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.desk.noise import Grouping
from pipeline.errors import UsageError
from pipeline.rules import ScoreRule, rule_from_settings
from pipeline.workspace import Rules, parse_comparison

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|d)")
_GROUP = re.compile(r"(\d+(?:\.\d+)?)\s*(m|km)\s*/\s*(.+)")
_UNITS_US = {"s": 1_000_000, "m": 60_000_000, "min": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_METRES = {"m": 1.0, "km": 1000.0}
#: A number alone means the comparison of today's rule with another threshold.
_SHORT = {"threshold": "high", "critical": "critical", "recover": "recovered"}


@dataclass(frozen=True)
class Candidate:
    """A rule with what is done against noise: no new alert of a subject within ``cool_down_us`` after one was
    closed, and neighbours as one incident by ``grouping``."""

    rule: ScoreRule
    cool_down_us: int = 0
    grouping: Grouping | None = None

    def __str__(self) -> str:
        worst, mildest = self.rule.levels[0], self.rule.levels[-1]
        parts = [f"score {mildest[1]} {mildest[2]:g}", f"critical {worst[1]} {worst[2]:g}"]
        parts.append(f"recovered {self.rule.recovered[0]} {self.rule.recovered[1]:g}")
        if self.cool_down_us:
            parts.append(f"cool-down {duration_text(self.cool_down_us)}")
        if self.grouping:
            parts.append(f"incidents of {self.grouping.radius_m:g} m / {duration_text(self.grouping.within_us)}")
        return ", ".join(parts)


def candidate(
    today: Rules,
    *,
    threshold: float | str | None = None,
    critical: float | str | None = None,
    recover: float | str | None = None,
    cool_down: str | None = None,
    group: str | None = None,
) -> Candidate:
    """Today's rules with some things different.

    The first three are a number, or a comparison such as ``"<= 12"``; ``cool_down`` is a
    duration such as ``"30m"``, ``group`` a distance and a duration such as ``"200m/10m"``.
    A critical level that a stricter threshold leaves behind moves with it, and so does what is good
    again if it was not given. Raises `UsageError` if something cannot be read or contradicts itself.
    """
    given = {"threshold": threshold, "critical": critical, "recover": recover}
    values = today.model_dump()
    for name, value in given.items():
        if value is not None:
            values[_SHORT[name]] = _comparison(name, value, values[_SHORT[name]])
    rules = Rules(**values)
    if threshold is not None:
        rules = _fitting(rules, critical is None, recover is None)
    return Candidate(
        rule_from_settings(rules),
        duration_us("cool-down", cool_down) if cool_down else 0,
        grouping_from(group) if group else None,
    )


def candidate_from_file(path: Path, today: Rules) -> Candidate:
    """The candidate in a TOML file: under ``[rules]`` high, critical, recovered, ``cool_down`` and ``group``."""
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise UsageError(f"{path} cannot be read ({reason}): name a TOML file with a [rules] section") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from None
    values = content.get("rules")
    if not isinstance(values, dict):
        raise UsageError(f'{path} has no section [rules]: write one with a key such as high = "<= 12"')
    quiet = {name: values.pop(name) for name in ("cool_down", "group") if name in values}
    try:
        rules = Rules(**(today.model_dump() | values))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        what = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            what = "it is none of high, critical, recovered, cool_down and group"
        raise UsageError(f"{path}: rules.{key} = {first['input']!r} is wrong: {what}") from None
    return Candidate(
        rule_from_settings(rules),
        duration_us("rules.cool_down", quiet["cool_down"]) if "cool_down" in quiet else 0,
        grouping_from(quiet["group"]) if "group" in quiet else None,
    )


def as_candidate(rules: Candidate | ScoreRule | Rules | Mapping[str, Any], today: Rules) -> Candidate:
    """What somebody calls a rule, as one; a mapping holds arguments of `candidate`."""
    if isinstance(rules, Candidate):
        return rules
    if isinstance(rules, ScoreRule):
        return Candidate(rules)
    if isinstance(rules, Rules):
        return Candidate(rule_from_settings(rules))
    if unknown := set(rules) - {*_SHORT, "cool_down", "group"}:
        raise UsageError(
            f"a rule has no {sorted(unknown)[0]!r}: use threshold, critical, recover, cool_down and group",
            key=sorted(unknown)[0],
        )
    return candidate(today, **rules)


def duration_us(what: str, text: object) -> int:
    """``"30m"`` as microseconds; `UsageError` says what would be right."""
    found = _DURATION.fullmatch(str(text).strip())
    if found is None:
        raise UsageError(f'{what} = "{text}" is wrong: write a duration such as 90s, 30m, 2h or 1d', value=text)
    return round(float(found[1]) * _UNITS_US[found[2]])


def duration_text(us: float) -> str:
    """A duration as people write it: in the greatest unit that leaves no more than a tenth."""
    for unit in ("d", "h", "m"):
        if us >= _UNITS_US[unit]:
            return f"{round(us / _UNITS_US[unit], 1):g} {'min' if unit == 'm' else unit}"
    return f"{round(us / _UNITS_US['s'], 1):g} s"


def grouping_from(text: object) -> Grouping:
    """``"200m/10m"``: within 200 metres and 10 minutes; `UsageError` says what would be right."""
    found = _GROUP.fullmatch(str(text).strip())
    radius_m = float(found[1]) * _METRES[found[2]] if found else 0.0
    if found is None or not radius_m:
        raise UsageError(
            f'group = "{text}" is wrong: write a distance and a duration such as 200m/10m, '
            "for neighbours within 200 metres and 10 minutes",
            value=text,
        )
    return Grouping(radius_m, duration_us("group", found[3]))


def _comparison(name: str, value: float | str, today: str) -> str:
    text = str(value).strip()
    for comparison in (text, f"{parse_comparison(today)[0]} {text}"):
        try:
            parse_comparison(comparison)
        except ValueError:
            continue
        return comparison
    raise UsageError(
        f'{name} = "{value}" is wrong: write a number such as 12, or a comparison such as "<= 12"',
        key=name,
        value=value,
    )


def _fitting(rules: Rules, critical: bool, recovered: bool) -> Rules:
    """The rules, with what would contradict a new threshold moved onto it, where that is allowed."""
    operator, threshold = parse_comparison(rules.high)
    low = operator[0] == "<"
    changed = {}
    worst, good = parse_comparison(rules.critical)[1], parse_comparison(rules.recovered)[1]
    if critical and (worst > threshold if low else worst < threshold):
        changed["critical"] = rules.high
    if recovered and (good < threshold if low else good > threshold):
        changed["recovered"] = f"{'>' if low else '<'} {threshold!r}"
    return rules.model_copy(update=changed)
