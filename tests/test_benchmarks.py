"""The benchmarks' own input: the same from the same seed, what it says it is, and read without loss."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import polars as pl
import pytest

from benchmarks import foreign, oracle, summary, watch
from benchmarks.foreign import VARIANTS, Variant
from benchmarks.summary import OURS, Run
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
    right = {"reports": 5, "alerts": 1}
    assert oracle.differences(right, {"reports": 5}) == []
    assert oracle.differences(right, {"reports": 6, "alerts": 1}) == ["reports: 6, not 5"]


def a_run(system: str, seconds: float, **more: Any) -> Run:
    values = {"input": "mixed", "megabytes": 100.0, "wrong": [], "cpu_s": 2.0, "peak_mb": 10.0} | more
    return Run(system=system, seconds=seconds, **values)


def test_ours_runs_before_each_peer_or_once_before_all() -> None:
    assert summary.schedule(["a", "b"], 2, alternating=True) == [OURS, "a", OURS, "b"] * 2
    assert summary.schedule(["a", "b"], 2, alternating=False) == [OURS, "a", "b"] * 2
    assert summary.schedule([], 2, alternating=True) == [OURS] * 2


def test_a_ratio_is_of_neighbours_and_the_median_of_pairs() -> None:
    runs = [a_run(*run) for run in ((OURS, 1), ("a", 2), (OURS, 10), ("a", 20), (OURS, 2), ("a", 20))]
    assert summary.ratios(runs) == {"a": [2, 2, 10]}
    ours, peer = summary.comparison(runs)
    assert (ours["mb_per_s"], ours["ours_to_it"]) == (50, None)
    assert (peer["mb_per_s"], peer["ours_to_it"], peer["cpu_s_per_gb"]) == (5, 2, 20)


def test_a_cliff_is_measured_against_the_clean_input() -> None:
    runs = [a_run(OURS, 1, input="clean"), a_run(OURS, 4, input="bad", roles_s={"driver": 0.5})]
    assert [row["of_clean"] for row in summary.cliffs(runs)] == [1, 0.25]
    assert summary.cliffs(runs)[1]["driver_s_per_gb"] == 5


def test_growth_is_the_last_tenth_against_the_first() -> None:
    lag = [(0.0, 1500), (9.0, 1500), *((10.0 + step, 1000 - 100 * step) for step in range(10)), (21.0, 0), (29.0, -50)]
    with pytest.raises(ValueError, match="2 commits are too few"):
        summary.growth(a_run(OURS, 1, more={"archive_lag": lag[:5]}))
    assert summary.growth(a_run(OURS, 1, more={"archive_lag": lag})) == {
        "first_per_s": 100,
        "last_per_s": 50,
        "last_of_first": 0.5,
    }


def test_the_table_names_what_was_wrong_and_the_picture_has_a_bar_for_each() -> None:
    rows = summary.comparison([a_run(OURS, 1), a_run("a <b>", 2, wrong=["alerts: 1, not 2"])])
    assert "alerts: 1, not 2" in summary.as_table(rows)
    picture = ElementTree.fromstring(summary.as_svg(rows, "MB/s"))
    assert len(picture.findall("{*}rect")) == 1 + len(rows)


@pytest.mark.parametrize(
    ("command", "nice", "is_root", "role"),
    [
        (["python", "-m", "pipeline.cli", "run"], 0, True, "driver"),
        (["dask", "scheduler"], 0, False, "scheduler"),
        (["python", "-m", "pipeline.local_cluster", "2", "2"], 0, False, "scheduler"),
        (["python", "-c", "from multiprocessing.spawn import spawn_main"], 0, False, "worker"),
        (["python", "-c", "from multiprocessing.spawn import spawn_main"], 15, False, "cube"),
        (["python", "-c", "from multiprocessing.resource_tracker import main"], 0, False, "other"),
    ],
)
def test_a_process_of_a_run_has_a_role(command: list[str], nice: int, is_root: bool, role: str) -> None:
    assert watch.role_of(command, nice, is_root) == role


def test_a_process_is_watched_to_its_end() -> None:
    ended = watch.run([sys.executable, "-c", "print(sum(range(10**6))); raise SystemExit(3)"])
    assert (ended.status, ended.stdout) == (3, "499999500000\n")
    assert 0 < ended.usage.cpu_s <= 10
