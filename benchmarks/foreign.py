"""Reports of a fleet that is not ours, for benchmarks: NDJSON in the dialect of foreign.yaml.

    python -m benchmarks.foreign --reports 600000 --variant mixed --out reports.ndjson

About 740 bytes a report. Shares nothing with the pipeline's own simulator, so that nothing is tuned to it. A `Variant`
says what is difficult in a file, so that each difficulty can be measured by itself. The same arguments give the same
bytes.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.spoil import SPOIL

_BLOCK = 50_000
_DRONES = 2000
_EVERY_MS = 30_000
_START_MS = 1_793_599_200_000  # 2026-11-02T06:00:00Z
_PEOPLE = 200_000
_RETRANSMITTED_WITHIN = 3000  # lines

_GIVEN = ["Zoé", "Anna", "Loïc", "Marc", "Chloé", "Paul", "Noémie", "Hugo", "Jürgen", "Emma", "Łukasz", "Lina"]
_FAMILY = ["Lefèvre", "Martin", "Muñoz", "Durand", "Gauß", "Bernard", "Çelik", "Petit", "Nowak", "Roux", "Håland"]
_WORDS = ["bonjour", "le", "café", "à", "demain", "pont", "«non»", "rue", "où", "merci", "vélo", "c'est", "😀", "gare"]
_DOING = ["walking", "waiting", "cycling", "shouting", "talking", "running"]
_STATES = ["patrol", "hover", "return"]
_FIRMWARE = [
    f',"firmware":"7.{minor}.{patch}","model":{{"name":"Heron-{minor}","revision":{patch}}}'
    for minor in range(3)
    for patch in range(4)
]

_Ints = np.ndarray[Any, np.dtype[np.int64]]
_Mask = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class Variant:
    """What is difficult in a file; shares are of its reports, unless it says otherwise, from 0 to 1."""

    unknown_every: int = 0  # fields that the dialect does not know, in every n-th report; 0: in none
    escaped: float = 0.0  # text outside of ASCII as \uXXXX
    bad: float = 0.0  # lines that cannot be read, of each kind in turn, besides the reports
    retransmitted: float = 0.02
    nameless: float = 0.1  # of the people: no id, only a name
    agitated: float = 0.002  # of the people: a score of 10 or less


VARIANTS = {
    "clean": Variant(),
    "unknown-rare": Variant(unknown_every=997),
    "unknown": Variant(unknown_every=1),
    "escapes": Variant(escaped=1.0),
    "bad-rare": Variant(bad=740 / 6e6),  # one line in six megabytes
    "bad": Variant(bad=0.01),
    "mixed": Variant(unknown_every=1, escaped=0.25, bad=0.005),
}


@dataclass(frozen=True)
class Written:
    """What is in a file: distinct reports, how many of them once more, bad lines by kind, and its size in bytes."""

    reports: int
    retransmitted: int
    bad: dict[str, int]
    bytes: int


def write(path: Path, reports: int, variant: Variant, seed: int = 1) -> Written:
    """Write a file with ``reports`` distinct reports; memory stays bounded, whatever their number."""
    retransmitted, size, bad = 0, 0, Counter(dict.fromkeys(SPOIL, 0))
    with path.open("wb") as file:
        for first in range(0, reports, _BLOCK):
            random = np.random.default_rng([seed, first])
            good = _reports(random, np.arange(first, min(first + _BLOCK, reports)), variant)
            again = _sample(random, len(good), variant.retransmitted)
            spoiled = _sample(random, len(good), variant.bad)
            kinds = [list(SPOIL)[(bad.total() + place) % len(SPOIL)] for place in range(len(spoiled))]
            bad.update(kinds)
            lines = [*good, *(good[row] for row in again)]
            lines += [SPOIL[kind](good[row]) for kind, row in zip(kinds, spoiled, strict=True)]
            later = again + random.uniform(1, _RETRANSMITTED_WITHIN, len(again))
            order = np.argsort(np.concatenate([np.arange(len(good)), later, spoiled]), kind="stable")
            size += file.write(b"\n".join([lines[at] for at in order]) + b"\n")
            retransmitted += len(again)
    return Written(reports, retransmitted, dict(bad), size)


def _sample(random: np.random.Generator, size: int, share: float) -> _Ints:
    """Distinct rows; the rest of a share that is no whole number of rows is left to chance."""
    wanted = int(size * share + random.random())
    return random.choice(size, wanted, replace=False)


def _reports(random: np.random.Generator, number: _Ints, variant: Variant) -> list[bytes]:
    """One good line, without its newline, for each number."""
    size = len(number)
    escaped = random.random(size) < variant.escaped
    words, people = _repeated(random, size, 6, 16), _repeated(random, size, 3, 8)
    firmware = pl.Series(_FIRMWARE)[random.integers(0, len(_FIRMWARE), size)]
    known_only = np.full(size, True) if not variant.unknown_every else number % variant.unknown_every != 0
    frame = pl.DataFrame(
        {
            "unit": number % _DRONES,
            "n": number // _DRONES,
            "ts": _START_MS + number * _EVERY_MS // _DRONES + random.integers(-2000, 2000, size),
            "lat": random.normal(48.855, 0.015, size).round(6),
            "lon": random.normal(2.345, 0.03, size).round(6),
            "state": random.choice(_STATES, size),
            "cell": random.uniform(5, 100, size).round(1),
            "celsius": random.normal(31, 4, size).round(1),
            "heard": _joined(_texts(_WORDS, random.integers(0, len(_WORDS), len(words)), escaped[words]), words, " "),
            "people": _joined(_people(random, escaped[people], variant), people, ","),
            "unknown": firmware.set(pl.Series(known_only), ""),
        }
    )
    return _text(
        frame,
        '{"unit":"heron-', "unit", '","n":', "n", ',"ts":', "ts", ',"pos":{"lat":', "lat", ',"lon":', "lon",
        '},"state":"', "state", '","cell":', "cell", ',"celsius":', "celsius", ',"heard":"', "heard",
        '","people":[', "people", "]", "unknown", "}",
    ).cast(pl.Binary).to_list()  # fmt: skip


def _people(random: np.random.Generator, escaped: _Mask, variant: Variant) -> pl.Series:
    """A JSON object for each of some people; who has the same id has the same name."""
    size = len(escaped)
    person = random.integers(0, _PEOPLE, size)
    agitated = random.random(size) < variant.agitated
    frame = pl.DataFrame(
        {
            "ref": person,
            "given": _texts(_GIVEN, person % len(_GIVEN), escaped),
            "family": _texts(_FAMILY, person % len(_FAMILY), escaped),
            "calm": np.where(agitated, random.uniform(0, 10, size), random.uniform(10.1, 100, size)).round(1),
            "doing": random.choice(_DOING, size),
        }
    )
    named = _text(frame, '"ref":"FR-', "ref", '",').set(pl.Series(random.random(size) < variant.nameless), "")
    return _text(
        frame.with_columns(named.alias("named")),
        "{", "named", '"who":{"given":"', "given", '","family":"', "family",
        '"},"calm":', "calm", ',"doing":"', "doing", '"}',
    )  # fmt: skip


def _repeated(random: np.random.Generator, size: int, least: int, most: int) -> _Ints:
    """Rows 0 to ``size`` - 1, each at least ``least`` and fewer than ``most`` times."""
    return np.repeat(np.arange(size), random.integers(least, most, size))


def _texts(texts: list[str], chosen: _Ints, escaped: _Mask) -> pl.Series:
    """The insides of JSON texts, with \\uXXXX in them where ``escaped``."""
    both = pl.Series([*texts, *(json.dumps(text)[1:-1] for text in texts)])
    return both[np.where(escaped, chosen + len(texts), chosen)]


def _joined(texts: pl.Series, row: _Ints, separator: str) -> pl.Series:
    """The texts of each row in one."""
    frame = pl.DataFrame({"row": row, "text": texts})
    return frame.group_by("row", maintain_order=True).agg(pl.col("text").str.join(separator))["text"]


def _text(frame: pl.DataFrame, *parts: str) -> pl.Series:
    """One text a row: of each part, the column of that name or else the part itself."""
    columns = [pl.col(part) if part in frame.columns else pl.lit(part) for part in parts]
    return frame.select(pl.concat_str(columns).alias("text"))["text"]


def main() -> None:
    """Write a file and print what is in it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reports", type=int, default=600_000)
    parser.add_argument("--variant", choices=VARIANTS, default="mixed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    print(json.dumps(asdict(write(arguments.out, arguments.reports, VARIANTS[arguments.variant], arguments.seed))))


if __name__ == "__main__":
    main()
