"""The SQLite log: the contract, and what only it can do: torn files, full disks, killed writers."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from log_contract import FAR, LogContract, MakeLog, chunk, lines, read_all, whole

from pipeline.errors import Overloaded, StorageError, UsageError
from pipeline.log import Chunk, Log, open_log
from pipeline.workspace import LogSettings


@pytest.fixture
def make_log(tmp_path: Path) -> Iterator[MakeLog]:
    opened: list[Log] = []

    def make(partitions: int = 1, name: str = "log", **limits: Any) -> Log:
        settings = LogSettings(partitions=partitions, **{"min_free_gb": 0, **limits})
        opened.append(open_log(f"sqlite:///{tmp_path / name}.sqlite", settings))
        return opened[-1]

    yield make
    for log in opened:
        log.close()


@pytest.fixture
def reopen_code(tmp_path: Path) -> str:
    return (
        "from pipeline.log import open_log; from pipeline.workspace import LogSettings; "
        f"log = open_log({f'sqlite:///{tmp_path}/log.sqlite'!r}, LogSettings(min_free_gb=0))"
    )


class TestSQLiteLog(LogContract):
    @pytest.fixture
    def make_log(self, make_log: MakeLog) -> MakeLog:
        return make_log

    @pytest.fixture
    def reopen_code(self, reopen_code: str) -> str:
        return reopen_code


def test_a_place_without_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no directory"):
        open_log(f"sqlite:///{tmp_path}/missing/log.sqlite", LogSettings())


def test_another_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "log.sqlite") as other:
        other.execute("CREATE TABLE alert (id)")
    with pytest.raises(UsageError, match="not a log"):
        open_log(f"sqlite:///{tmp_path}/log.sqlite", LogSettings())
    assert [name for (name,) in other.execute("SELECT name FROM sqlite_schema")] == ["alert"]
    other.close()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log.sqlite").write_bytes(b"reports, reports, reports\n" * 100)
    with pytest.raises(StorageError, match=r"log\.sqlite"):
        open_log(f"sqlite:///{tmp_path}/log.sqlite", LogSettings())


def test_a_log_of_a_later_format_is_refused(make_log: MakeLog, tmp_path: Path) -> None:
    make_log().close()
    with sqlite3.connect(tmp_path / "log.sqlite") as connection:
        connection.execute("UPDATE meta SET value = '2' WHERE key = 'format'")
    connection.close()
    with pytest.raises(UsageError, match="format 2"):
        make_log()


def test_a_torn_chunk_is_found_and_costs_no_other(make_log: MakeLog, tmp_path: Path) -> None:
    log = make_log(partitions=2)
    log.append([chunk(0, 1000), Chunk(b"find me\n" * 1000, "peacewatch"), chunk(2000, 1000)], partition=1)
    log.close()
    file = tmp_path / "log.sqlite"
    file.write_bytes(file.read_bytes().replace(b"find me", b"find ne", 1))
    log = make_log(partitions=2)
    with pytest.raises(StorageError, match="partition 1, offset 1000") as caught:
        log.read(1, 500, 3000)
    assert (caught.value.values["partition"], caught.value.values["offset"]) == (1, 1000)
    assert whole(log.read(1, 0, 1000)) == lines(0, 1000)
    assert whole(log.read(1, 2000, 3000)) == lines(2000, 1000)


def test_a_missing_chunk_is_found(make_log: MakeLog, tmp_path: Path) -> None:
    log = make_log()
    log.append([chunk(0, 5), chunk(5, 5), chunk(10, 5)])
    with sqlite3.connect(tmp_path / "log.sqlite") as connection:
        connection.execute("DELETE FROM chunk WHERE start = 5")
    connection.close()
    with pytest.raises(StorageError, match="offset 5"):
        log.read(0, 0, 15)
    with pytest.raises(StorageError, match="offset 7"):
        log.read(0, 7, 9)
    for position in (0, 5, 7):
        with pytest.raises(StorageError, match="torn"):
            log.slices({0: position}, 1, 10)
    assert log.slices({0: 10}, 1, 10)[0].start == 10


def test_a_file_cut_short_is_an_error_and_not_less_data(make_log: MakeLog, tmp_path: Path) -> None:
    log = make_log()
    log.append([chunk(0, 100_000)])
    log.close()
    os.truncate(tmp_path / "log.sqlite", 500_000)
    with pytest.raises(StorageError):
        read_all(make_log())


def test_a_disk_with_too_little_room_refuses(make_log: MakeLog, tmp_path: Path) -> None:
    free_gb = shutil.disk_usage(tmp_path).free / 1e9
    log = make_log(min_free_gb=free_gb * 2)
    for use in (log.check, lambda: log.append([chunk(0, 1)])):
        with pytest.raises(Overloaded, match="min_free_gb"):
            use()
    assert log.ends() == {0: 0}


FULL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
{reopen}
from pipeline.errors import PeacewatchError
from pipeline.log import Chunk
log.append([Chunk(b"first\\n", "peacewatch")])
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
try:
    log.append([Chunk(b"x" * 4_000_000 + b"\\n", "peacewatch")])
except PeacewatchError as error:
    print(type(error).__name__, log.ends())
log.append([Chunk(b"second\\n", "peacewatch")])
print(log.ends())
"""


def test_a_write_that_fails_appends_nothing_and_the_next_goes_on(make_log: MakeLog, reopen_code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL.format(reopen=reopen_code)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.splitlines() in (
        ["Overloaded {0: 1}", "{0: 2}"],
        ["StorageError {0: 1}", "{0: 2}"],
    ), done.stderr
    assert read_all(make_log()) == b"first\nsecond\n"


APPENDER = """
{reopen}
from pipeline.log import Chunk
number = 0
while True:
    done = log.append([Chunk(b"%09d\\n" % n * 1000, "peacewatch") for n in (number, number + 1)])
    print(done[-1].stop, flush=True)
    number += 2
"""


@pytest.mark.parametrize("acknowledged", [1, 20, 150])
def test_what_was_acknowledged_survives_a_kill(make_log: MakeLog, reopen_code: str, acknowledged: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", APPENDER.format(reopen=reopen_code)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for _ in range(acknowledged):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    told = [int(line) for line in process.stdout if line.endswith("\n")]
    process.wait()
    log = make_log()
    end = log.ends()[0]
    assert end >= (told[-1] if told else acknowledged * 2000)
    assert end % 2000 == 0
    assert read_all(log) == b"".join(b"%09d\n" % number * 1000 for number in range(end // 1000))
    assert log.append([chunk(0, 1)])[0].start == end


def test_many_threads_share_one_instance(make_log: MakeLog) -> None:
    log = make_log()
    barrier = threading.Barrier(8)

    def work(number: int) -> None:
        barrier.wait()
        for step in range(20):
            done = log.append([Chunk(b"%d %d\n" % (number, step), "peacewatch")])[0]
            assert whole(log.read(0, done.start, done.stop)) == b"%d %d\n" % (number, step)

    with ThreadPoolExecutor(8) as executor:
        list(executor.map(work, range(8)))
    assert log.ends() == {0: 160}
    assert len(set(read_all(log).splitlines())) == 160


def test_reading_goes_on_while_another_writes_and_trims(make_log: MakeLog) -> None:
    writer, reader = make_log(), make_log()
    writer.append([chunk(0, 1000)])
    (found,) = reader.slices({0: 0}, 1 << 20, 1)
    writer.append([chunk(1000, 10)])
    writer.trim(0, 1000, FAR)
    with pytest.raises(StorageError, match="1000 to 1010"):
        reader.read(found.partition, found.start, found.stop)
    assert read_all(reader) == lines(1000, 10)


def test_files_do_not_grow_when_the_log_is_trimmed(make_log: MakeLog, tmp_path: Path) -> None:
    log = make_log()
    block = [Chunk(b"x" * 999_999 + b"\n", "peacewatch")] * 4
    for _ in range(25):
        done = log.append(block)
        log.trim(0, done[-1].stop, FAR)
    held = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert held < 60_000_000


def test_a_clock_that_is_set_back_does_not_reorder(make_log: MakeLog, monkeypatch: pytest.MonkeyPatch) -> None:
    log = make_log()
    first = log.append([chunk(0, 1)])[0]
    monkeypatch.setattr("pipeline.log.sqlite.time.time", lambda: first.accepted_at - 30)
    assert log.append([chunk(1, 1)])[0].accepted_at == first.accepted_at


def test_a_clock_that_was_a_day_ahead_counts_no_longer_once_it_is_right(
    make_log: MakeLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = make_log()
    now = time.time()
    for at, moment in enumerate((now, now + 86_400, now + 1)):
        monkeypatch.setattr("pipeline.log.sqlite.time.time", lambda moment=moment: moment)
        [appended] = log.append([chunk(at, 1)])
        assert appended.accepted_at == moment
    # What was accepted ahead of time does not keep what lies around it, nor is it held for ever.
    assert log.trim(0, 3, now + 2) == 3
    assert log.size_bytes() == 0


def test_a_log_that_was_replaced_takes_nothing_more(make_log: MakeLog, tmp_path: Path) -> None:
    log = make_log()
    log.append([chunk(0, 1)])
    (tmp_path / "log.sqlite").unlink()
    with pytest.raises(StorageError, match="replaced"):
        log.append([chunk(1, 1)])
