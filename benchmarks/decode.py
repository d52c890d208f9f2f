"""What one core decodes, of reports as they should be and as they are: megabytes a second, and the share of clean.

    python benchmarks/decode.py --megabytes 24 --repeats 5

Makes reports of about 740 bytes from a seed, in the dialect of Peacewatch, and lets each
kind of trouble loose on them. `pipeline.dialects.decode` gets blocks of ``--block``
megabytes, as the flow hands them out. Rates are of processor time, the median of the
repeats; each repeat goes through all kinds, so that they share what the machine is up to.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

from pipeline.dialects import Dialect, decode, load_dialect

Report = dict[str, Any]
#: Report i, and its number, as the bytes that a drone sends.
Kind = Callable[[int, Report], bytes]

NAMES = ["Zoé Lefèvre", "Jean O'Brien", "Łukasz Nowak", "Marie Dubois", "Paul Martin", "Иван Петров", "Sophie Noël"]
WORDS = ["queue", "rain", "bus", "café", "leader", "music", "market"]


def make_reports(count: int, seed: int = 1) -> list[Report]:
    """Reports of a fleet of 1,000 drones that see 20,000 people."""
    dice = random.Random(seed)
    people = [{"id": f"{dice.getrandbits(96):024x}", "name": dice.choice(NAMES)} for _ in range(20_000)]
    return [
        {
            "drone_id": f"pw-{dice.randrange(1000):05}",
            "sequence": number,
            "time": f"2026-11-02T07:{number // 60 % 60:02}:{number % 60:02}.{dice.randrange(1000):03}Z",
            "location": {"lat": round(dice.uniform(48.8, 48.9), 6), "lon": round(dice.uniform(2.2, 2.4), 6)},
            "status": "nominal",
            "battery": dice.randrange(100),
            "temperature": round(dice.uniform(0, 30), 1),
            "words": dice.choices(WORDS, k=dice.randrange(6)),
            "citizens": [
                {**dice.choice(people), "peacescore": round(dice.uniform(0, 100), 1), "action": "waiting"}
                for _ in range(dice.randrange(4, 8))
            ],
        }
        for number in range(count)
    ]


def dump(report: Report, **options: Any) -> bytes:
    """A report as compact JSON."""
    return json.dumps(report, **{"ensure_ascii": False, "separators": (",", ":"), **options}).encode()


def with_unknown(report: Report) -> Report:
    """A report of a fleet that sends more than the dialect knows, on top and inside."""
    citizens = [{**citizen, "distance": 12.5} for citizen in report["citizens"]]
    return {**report, "firmware": "4.2.1", "model": "Kestrel", "signal": -71, "citizens": citizens}


def is_bad(number: int) -> bool:
    """One report in a hundred."""
    return number % 100 == 50


def wrong_type(report: Report) -> Report:
    """A report whose place is no number."""
    return {**report, "location": {"lat": "north", "lon": 2.3}}


def all_troubles(number: int, report: Report) -> bytes:
    """Unknown fields, escapes and white space in each report, and one in a hundred is cut."""
    line = dump({**with_unknown(report), "place": "Café"}, ensure_ascii=True, separators=(", ", ": "))
    return line[:300] if is_bad(number) else line


KINDS: dict[str, Kind] = {
    "clean": lambda i, r: dump(r),
    "white space": lambda i, r: dump(r, separators=(", ", ": ")),
    "white space before colons": lambda i, r: dump(r, separators=(" , ", " : ")),
    "CRLF": lambda i, r: dump(r) + b"\r",
    "members in another order": lambda i, r: dump(dict(random.Random(i).sample(list(r.items()), len(r)))),
    "nulls in place of members": lambda i, r: dump({**r, "battery": None, "status": None}),
    "an unknown null": lambda i, r: dump({**r, "operator": None}),
    "unknown field, each 997th": lambda i, r: dump({**r, "model": "Kestrel"} if i % 997 == 0 else r),
    "unknown field, each": lambda i, r: dump({**r, "firmware": "4.2.1"}),
    "unknown fields, nested": lambda i, r: dump(with_unknown(r)),
    "unknown objects and escapes": lambda i, r: dump({**r, "gear": {"arm": 1, "cam": "\t"}}, ensure_ascii=True),
    "escapes": lambda i, r: dump(r, ensure_ascii=True),
    "escaped pairs": lambda i, r: dump({**r, "status": "😀 𠮷"}, ensure_ascii=True),
    "escaped slashes": lambda i, r: dump({**r, "status": "a/b/c"}).replace(b"/", b"\\/"),
    "a member twice": lambda i, r: dump(r)[:-1] + b',"battery":5}',
    "another way to write times": lambda i, r: dump({**r, "time": r["time"].replace("-", "").replace(":", "")}),
    "counts in quotes": lambda i, r: dump({**r, "time": str(1_793_604_600_000 + i)}),
    "1 % days without a time": lambda i, r: dump({**r, "time": r["time"][:10]} if is_bad(i) else r),
    "an odd optional value": lambda i, r: dump({**r, "battery": "unknown"}),
    "odd words": lambda i, r: dump({**r, "words": ["late", 7]}),
    "no number, 1 %": lambda i, r: dump({**r, "battery": float("nan")} if is_bad(i) else r),
    "one citizen without a list": lambda i, r: dump({**r, "citizens": r["citizens"][0]}),
    "placeholder ids": lambda i, r: dump({**r, "citizens": [{**one, "id": "unknown"} for one in r["citizens"]]}),
    "a required member twice, 1 %": lambda i, r: dump(r)[:-1] + b',"time":5}' if is_bad(i) else dump(r),
    "long numbers": lambda i, r: dump({**r, "x": 10**60}),
    "one bad line": lambda i, r: dump(r)[:300] if i == 4000 else dump(r),
    "1 % cut": lambda i, r: dump(r)[:300] if is_bad(i) else dump(r),
    "1 % wrong types": lambda i, r: dump(wrong_type(r) if is_bad(i) else r),
    "1 % out of range": lambda i, r: dump({**r, "location": {"lat": 99, "lon": 0}} if is_bad(i) else r),
    "1 % impossible times": lambda i, r: dump({**r, "time": "2026-02-30T00:00:00Z"} if is_bad(i) else r),
    "1 % NUL": lambda i, r: dump({**r, "status": "\0"} if is_bad(i) else r),
    "1 % not UTF-8": lambda i, r: dump(r).replace(b"nominal", b"nom\xe9nal") if is_bad(i) else dump(r),
    "1 % control characters": lambda i, r: dump(r).replace(b"nominal", b"nom\x01nal") if is_bad(i) else dump(r),
    "1 % lone surrogates": lambda i, r: dump(r).replace(b"nominal", b"\\ud800") if is_bad(i) else dump(r),
    "1 % two in a line": lambda i, r: dump(r) * 2 if is_bad(i) else dump(r),
    "1 % blank": lambda i, r: b"" if is_bad(i) else dump(r),
    "1 % byte order mark": lambda i, r: b"\xef\xbb\xbf" * is_bad(i) + dump(r),
    "1 % deep": lambda i, r: dump(r)[:-1] + b',"x":' + b"[" * 99 + b"]" * 99 + b"}" if is_bad(i) else dump(r),
    "1 % too long": lambda i, r: dump({**r, "status": "x" * 5000} if is_bad(i) else r),
    "a fifth cut": lambda i, r: dump(r)[:300] if i % 5 == 0 else dump(r),
    "1 % cut, unknown fields, escapes": all_troubles,
}


def main() -> None:
    """Run the benchmark and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=24, help="of each kind")
    parser.add_argument("--block", type=float, default=6, help="megabytes that are decoded at once")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default="", help="kinds with this in their name, and clean")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    kinds = [name for name in KINDS if name == "clean" or arguments.only in name]
    reports = make_reports(int(arguments.megabytes * 1e6 / 740))
    dialect = load_dialect("peacewatch")
    inputs = {name: blocks(reports, KINDS[name], arguments.block * 1e6) for name in kinds}
    rates: dict[str, list[float]] = {name: [] for name in kinds}
    for repeat in range(arguments.repeats + 1):
        for name in kinds:
            rate = measure(inputs[name], dialect)
            if repeat:
                rates[name].append(rate)
    medians = {name: statistics.median(rates[name]) for name in kinds}
    shares = {name: statistics.median(map(share, rates[name], rates["clean"])) for name in kinds}
    if arguments.json:
        print(json.dumps({name: {"MB/s": round(medians[name]), "clean": round(shares[name], 2)} for name in kinds}))
        return
    print(f"{'':36}  MB/s  of clean")
    for name in kinds:
        print(f"{name:36}{medians[name]:6.0f}{shares[name]:10.2f}")


def share(rate: float, clean: float) -> float:
    """A rate as a part of the clean one of the same repeat."""
    return rate / clean


def blocks(reports: list[Report], kind: Kind, size: float) -> list[bytes]:
    """NDJSON in blocks of about ``size`` bytes."""
    lines = [kind(number, report) for number, report in enumerate(reports)]
    step = max(1, round(len(lines) * size / sum(map(len, lines))))
    return [b"\n".join(lines[start : start + step]) + b"\n" for start in range(0, len(lines), step)]


def measure(data: list[bytes], dialect: Dialect) -> float:
    """Decode once: megabytes a second of processor time."""
    began = time.process_time()
    for block in data:
        decode(
            block,
            dialect,
            secret="5e" * 32,
            first_report_id=0,
            accepted_at=[(block.count(b"\n"), 1.79e9)],
            max_report_bytes=4000,
        )
    return sum(map(len, data)) / 1e6 / (time.process_time() - began)


if __name__ == "__main__":
    main()
