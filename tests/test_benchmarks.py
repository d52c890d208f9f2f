"""The benchmarks' own input: the same from the same seed, what it says it is, and read without loss."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from benchmarks import foreign, oracle
from benchmarks.foreign import VARIANTS, Variant
from pipeline.dialects import Decoded, decode, load_dialect

REPORTS = 2000
DIALECT = Path(foreign.__file__).with_name("foreign.yaml")
#: Enough lines of each kind of difficulty.
DIFFICULT = Variant(unknown_every=1, escaped=0.25, bad=0.02, agitated=0.02)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_same_seed_gives_the_same_bytes(variant: str, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("once", "again", "other")]
    for file, seed in zip(files, (5, 5, 6), strict=True):
        foreign.write(file, REPORTS, VARIANTS[variant], seed)
    once, again, other = (file.read_bytes() for file in files)
    assert once == again
    assert once != other


@pytest.mark.parametrize("variant", [*VARIANTS.values(), DIFFICULT])
def test_a_file_is_what_the_generator_says(variant: Variant, tmp_path: Path) -> None:
    file = tmp_path / "reports.ndjson"
    written = foreign.write(file, REPORTS, variant)
    counts = oracle.read(file)
    assert file.stat().st_size == written.bytes
    assert (counts.reports, counts.duplicates, counts.rejected) == (
        REPORTS,
        written.retransmitted,
        sum(written.bad.values()),
    )
    assert written.retransmitted == pytest.approx(REPORTS * variant.retransmitted, abs=1)
    assert counts.rejected == pytest.approx(REPORTS * variant.bad, abs=1)
    data = file.read_bytes()
    assert (b"\\u" in data) == (variant.escaped > 0)
    assert (b'"firmware"' in data) == (variant.unknown_every > 0)


def test_about_740_bytes_a_report(tmp_path: Path) -> None:
    written = foreign.write(tmp_path / "reports.ndjson", REPORTS, VARIANTS["mixed"])
    assert 700 < written.bytes / (written.reports + written.retransmitted) < 780


def test_ours_reads_what_the_plain_reading_does(tmp_path: Path) -> None:
    file = tmp_path / "reports.ndjson"
    written = foreign.write(file, REPORTS, DIFFICULT)
    assert all(written.bad.values()), "some of each kind"
    decoded = decoded_whole(file)
    assert counted(decoded) == oracle.read(file)
    assert decoded.reports["extra"].null_count == 0


def decoded_whole(file: Path) -> Decoded:
    data = file.read_bytes()
    return decode(
        data,
        load_dialect(str(DIALECT)),
        secret="s",
        first_report_id=0,
        accepted_at=[(data.count(b"\n"), 0.0)],
        max_report_bytes=1 << 20,
    )


def counted(decoded: Decoded) -> oracle.Counts:
    reports = pl.DataFrame(decoded.reports).with_columns(
        once=pl.struct("drone_id", "time", "sequence").is_first_distinct()
    )
    sightings = pl.DataFrame(decoded.sightings).with_columns(name=pl.Series(decoded.people["citizen_name"]))
    kept = sightings.join(reports.filter("once").select("report_id"), on="report_id")
    return oracle.Counts(
        lines=len(reports) + decoded.rejects.num_rows,
        reports=reports["once"].sum(),
        sightings=len(kept),
        identities=kept.select("citizen_key", "name").n_unique(),
        duplicates=len(reports) - reports["once"].sum(),
        rejected=decoded.rejects.num_rows,
        alerts=kept.filter(pl.col("score") <= 10)["citizen_key"].n_unique(),
    )


def test_what_a_system_gets_wrong_is_named() -> None:
    right = oracle.Counts(lines=8, reports=5, sightings=9, identities=4, duplicates=1, rejected=2, alerts=1)
    assert oracle.differences(right, {"reports": 5, "alerts": 1}) == []
    assert oracle.differences(right, {"reports": 6, "alerts": 1}) == ["reports: 6, not 5"]
