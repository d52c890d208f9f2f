"""Spark Structured Streaming, ``local[cores]``: a file source, drained once (``availableNow``).

As its users would set it up: the schema is given, as many shuffle partitions as cores, adaptive execution on, the state
of deduplication in RocksDB, zstd Parquet. The file is one micro-batch, read in splits by all cores, which was faster
than several. Before the clock starts the session is up and has done the same job on a small part of the input.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import psutil
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it
from pyspark.sql.streaming.query import StreamingQuery

from benchmarks.systems.contract import PLAIN, SAME, SECRET, Clock, answer, arguments, make_durable

_SCHEMA = """unit STRING, n BIGINT, ts BIGINT, pos STRUCT<lat: DOUBLE, lon: DOUBLE>, state STRING, cell DOUBLE,
    celsius DOUBLE, heard STRING, firmware STRING, model STRUCT<name: STRING, revision: INT>,
    people ARRAY<STRUCT<ref: STRING, who: STRUCT<given: STRING, family: STRING>, calm: DOUBLE, doing: STRING>>"""
_WARM_UP_LINES = 20_000
#: Retransmissions come within minutes.
_WATERMARK = "1 hour"
_OBSERVED = "lines"


def main() -> None:
    """Run one job and print its result."""
    given = arguments(SAME, PLAIN)
    spark = session(given.cores, given.output)
    job = {SAME: same, PLAIN: plain}[given.job]
    folders = {name: given.output / name for name in ("warm-up", "input", "result")}
    for folder in folders.values():
        folder.mkdir()
    with given.input.open("rb") as file:
        (folders["warm-up"] / "part.ndjson").write_bytes(b"".join(islice(file, _WARM_UP_LINES)))
    (folders["input"] / "all.ndjson").symlink_to(given.input.resolve())
    drain(spark, job, folders["warm-up"], given.output / "warm")
    before, clock = jvm_cpu_s(spark), Clock()
    observed = drain(spark, job, folders["input"], folders["result"])
    seconds, cpu_s = clock.read()
    answer((seconds, cpu_s + jvm_cpu_s(spark) - before), stored(spark, given.job, folders["result"], observed))
    spark.stop()


def session(cores: int, scratch: Path) -> SparkSession:
    """A session on this machine."""
    settings = {
        "spark.driver.memory": "6g",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": cores,
        "spark.sql.files.maxPartitionBytes": "32m",
        "spark.sql.parquet.compression.codec": "zstd",
        "spark.sql.streaming.stateStore.providerClass": (
            "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"
        ),
        "spark.sql.streaming.noDataMicroBatches.enabled": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.local.dir": scratch / "local",
        "spark.sql.warehouse.dir": scratch / "warehouse",
    }
    builder = SparkSession.builder.master(f"local[{cores}]").appName("benchmark")
    for name, value in settings.items():
        builder = builder.config(name, str(value))
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def jvm_cpu_s(spark: SparkSession) -> float:
    """Processor time of the Java process so far."""
    times = psutil.Process(spark.sparkContext._gateway.proc.pid).cpu_times()
    return times.user + times.system


Job = Callable[[SparkSession, Path, Path], StreamingQuery]


def drain(spark: SparkSession, job: Job, source: Path, result: Path) -> dict[str, int]:
    """Do a job on all files in ``source``, durably; returns what it observed on the way."""
    query = job(spark, source, result)
    query.awaitTermination()
    make_durable(result)
    observed: dict[str, int] = {}
    for progress in query.recentProgress:
        if _OBSERVED in progress.observedMetrics:
            for name, value in progress.observedMetrics[_OBSERVED].asDict().items():
                observed[name] = observed.get(name, 0) + value
    return observed


def read(spark: SparkSession, source: Path) -> DataFrame:
    """The lines of the input; those that cannot be read have the text in ``broken`` and nulls elsewhere."""
    schema = f"{_SCHEMA}, broken STRING"
    return spark.readStream.schema(schema).option("columnNameOfCorruptRecord", "broken").json(str(source))


def same(spark: SparkSession, source: Path, result: Path) -> StreamingQuery:
    """Start what `peacewatch run` does."""
    fine = F.coalesce(is_fine(), F.lit(False))
    lines = read(spark, source).observe(
        _OBSERVED, F.count(F.lit(1)).alias("lines"), F.count_if(~fine).alias("rejected")
    )
    once = (
        lines.where(fine)
        .withColumn("time", F.timestamp_millis("ts"))
        .withWatermark("time", _WATERMARK)
        .dropDuplicatesWithinWatermark(["unit", "time", "n"])
    )
    writer = once.writeStream.foreachBatch(lambda batch, _: store(batch, result))
    return writer.trigger(availableNow=True).option("checkpointLocation", str(result / "checkpoint")).start()


def plain(spark: SparkSession, source: Path, result: Path) -> StreamingQuery:
    """Start the copy of every line into one table, and alerts."""
    lines = read(spark, source).observe(_OBSERVED, F.count(F.lit(1)).alias("lines"))
    writer = lines.writeStream.foreachBatch(lambda batch, _: store_plainly(batch, result))
    return writer.trigger(availableNow=True).option("checkpointLocation", str(result / "checkpoint")).start()


def is_fine() -> Column:
    """Whether a line is a report; Spark takes bytes that are no UTF-8 and says U+FFFD in their place."""

    def person(p: Column) -> Column:
        named = F.coalesce(p["ref"], p["who"]["given"], p["who"]["family"]).isNotNull()
        return F.coalesce(p["calm"].between(0, 100), F.lit(False)) & named

    there = F.col("broken").isNull() & F.col("unit").isNotNull() & F.col("ts").isNotNull() & F.col("n").isNotNull()
    within = (F.abs("pos.lat") <= 90) & (F.abs("pos.lon") <= 180)
    return there & within & ~F.col("state").contains("\ufffd") & F.forall("people", person)


def store(batch: DataFrame, result: Path) -> None:
    """Write the tables of one micro-batch."""
    batch = batch.withColumn("report_id", F.monotonically_increasing_id()).persist()
    reports = batch.select(
        "report_id", "unit", "n", "time", "pos.lat", "pos.lon", "state", "cell", "celsius",
        F.size("people").alias("citizens"), F.split("heard", " ").alias("words"), "firmware", "model",
    )  # fmt: skip
    people = batch.select(
        "report_id", "unit", "time", "pos.lat", "pos.lon", F.posexplode("people").alias("position", "p")
    )
    name = F.concat_ws(" ", "p.who.given", "p.who.family")
    key = F.conv(F.substring(F.sha2(F.concat(F.lit(SECRET), citizen()), 256), 1, 15), 16, 10).cast("bigint")
    seen = people.select(
        "report_id", "position", "unit", "time", "lat", "lon", F.col("p.calm").alias("score"),
        F.col("p.doing").alias("action"), key.alias("citizen_key"), F.col("p.ref").alias("ref"), name.alias("name"),
    ).persist()  # fmt: skip
    alerts = seen.where("score <= 10").groupBy("citizen_key")
    worst = alerts.agg(
        F.min("score").alias("worst"), F.count("*").alias("findings"), F.max("time").alias("time"),
        F.max_by("score", "time").alias("score"), F.max_by("ref", "time").alias("ref"),
        F.max_by("name", "time").alias("name"),
    )  # fmt: skip
    tables = {
        "reports": reports,
        "sightings": seen.drop("ref", "name"),
        "identities": seen.select("citizen_key", "ref", "name").distinct(),
        "alerts": worst,
    }
    for table, rows in tables.items():
        rows.write.mode("append").parquet(str(result / table))
    seen.unpersist()
    batch.unpersist()


def store_plainly(batch: DataFrame, result: Path) -> None:
    """Write every line of one micro-batch, and who has a bad score in those that can be read."""
    batch.persist()
    batch.drop("broken").write.mode("append").parquet(str(result / "reports"))
    people = batch.where(is_fine()).select(F.explode("people").alias("p")).where("p.calm <= 10")
    alerts = people.groupBy(citizen().alias("citizen")).agg(F.min("p.calm").alias("worst"), F.count("*"))
    alerts.withColumnRenamed("count(1)", "findings").write.mode("append").parquet(str(result / "alerts"))
    batch.unpersist()


def citizen() -> Column:
    """Who the person ``p`` is: by id, or else by name."""
    by_name = F.concat(F.lit("n"), F.concat_ws(" ", "p.who.given", "p.who.family"))
    return F.coalesce(F.concat(F.lit("i"), F.col("p.ref")), by_name)


def stored(spark: SparkSession, job: str, result: Path, observed: dict[str, int]) -> dict[str, int]:
    """Rows of each table, as they are on disk; and what was left out of them."""

    def rows(name: str) -> int:
        return spark.read.parquet(str(result / name)).count()

    if job == PLAIN:
        return {"lines": rows("reports"), "alerts": rows("alerts")}
    counts: dict[str, Any] = {name: rows(name) for name in ("reports", "sightings", "identities", "alerts")}
    duplicates = observed["lines"] - observed["rejected"] - counts["reports"]
    return counts | {"rejected": observed["rejected"], "duplicates": duplicates}


if __name__ == "__main__":
    main()
