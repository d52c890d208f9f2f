"""Group commit: every caller its own offsets, or its group's error, over a real log."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from log_contract import chunk, lines, read_all

from pipeline.errors import Overloaded
from pipeline.log import Appended, Chunk
from pipeline.log.group import GroupCommit, merge
from pipeline.log.sqlite import SQLiteLog
from pipeline.workspace import LogSettings


class SteppedLog(SQLiteLog):
    """A real log whose commits wait for the test to let them go."""

    def __init__(self, path: str, settings: LogSettings) -> None:
        super().__init__(path, settings)
        self.entered = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.groups: list[list[Chunk]] = []

    def append(self, chunks: Sequence[Chunk], partition: int = 0) -> list[Appended]:
        self.groups.append(list(chunks))
        self.entered.release()
        self.go.acquire()
        return super().append(chunks, partition)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SteppedLog]:
    log = SteppedLog(str(tmp_path / "log.sqlite"), LogSettings(partitions=2, min_free_gb=0, max_gb=1e-5))
    yield log
    log.close()


@pytest.fixture
def free(log: SteppedLog) -> SteppedLog:
    """The same log, which never waits."""
    log.go.release(1_000_000)
    return log


def test_a_lone_chunk_is_written_at_once(free: SteppedLog) -> None:
    group = GroupCommit(free, partition=1)
    done = group.submit(chunk(0, 3)).result(10)
    assert (done.partition, done.start, done.stop) == (1, 0, 3)
    assert read_all(free, 1) == lines(0, 3)
    group.close()


def test_what_comes_during_a_commit_is_the_next_group(log: SteppedLog) -> None:
    group = GroupCommit(log)
    first = group.submit(chunk(0, 1))
    log.entered.acquire()
    rest = [group.submit(chunk(number, 1)) for number in range(1, 6)]
    log.go.release(2)
    assert first.result(10).start == 0
    assert [future.result(10).start for future in rest] == [1, 2, 3, 4, 5]
    assert log.groups == [[chunk(0, 1)], [chunk(1, 5)]]
    assert read_all(log) == lines(0, 6)
    group.close()


def test_dialects_are_stored_apart_and_every_caller_gets_its_own_offsets(log: SteppedLog) -> None:
    group = GroupCommit(log)
    group.submit(chunk(0, 1))
    log.entered.acquire()
    futures = [group.submit(chunk(*what)) for what in ((1, 2, "a"), (3, 1, "a"), (4, 3, "b"), (7, 1, "a"))]
    log.go.release(2)
    done = [future.result(10) for future in futures]
    assert [(part.start, part.stop) for part in done] == [(1, 3), (3, 4), (4, 7), (7, 8)]
    assert len({part.accepted_at for part in done}) == 1
    assert [(piece.dialect, piece.reports) for piece in log.slices({0: 1}, 1000, 9)] == [("a", 3), ("b", 3), ("a", 1)]
    group.close()


def test_a_group_holds_no_more_than_max_bytes(log: SteppedLog) -> None:
    group = GroupCommit(log, max_bytes=30)
    group.submit(chunk(0, 1))
    log.entered.acquire()
    futures = [group.submit(chunk(first, count)) for first, count in ((1, 2), (3, 1), (4, 1), (5, 9))]
    log.go.release(4)
    assert [future.result(10).start for future in futures] == [1, 3, 4, 5]
    assert [sum(part.data.count(b"\n") for part in chunks) for chunks in log.groups] == [1, 3, 1, 9]
    group.close()


def test_an_error_goes_to_the_callers_of_that_group_only(log: SteppedLog) -> None:
    group = GroupCommit(log)
    before = group.submit(chunk(0, 1))
    log.entered.acquire()
    bad = [group.submit(chunk(1, 1)), group.submit(chunk(2, 1000))]  # 10,010 bytes are more than the log may hold
    log.go.release()
    log.entered.acquire()
    after = group.submit(chunk(3, 1))
    log.go.release(2)
    assert before.result(10).start == 0
    for future in bad:
        with pytest.raises(Overloaded, match="max_gb"):
            future.result(10)
    assert after.result(10).start == 1
    assert read_all(log) == lines(0, 1) + lines(3, 1)
    group.close()


def test_any_error_is_told_and_work_goes_on(free: SteppedLog) -> None:
    group = GroupCommit(free)
    with pytest.raises(UnicodeEncodeError):
        group.submit(Chunk(b"x\n", "\ud800")).result(10)
    assert group.submit(chunk(0, 1)).result(10).start == 0
    group.close()


def test_too_much_waiting_is_refused(log: SteppedLog) -> None:
    group = GroupCommit(log, max_waiting_bytes=50)
    first = group.submit(chunk(0, 1))
    log.entered.acquire()
    waiting = group.submit(chunk(1, 5))
    with pytest.raises(Overloaded) as caught:
        group.submit(chunk(6, 1))
    assert caught.value.retry_after_s == 1
    log.go.release(2)
    assert (first.result(10).stop, waiting.result(10).stop) == (1, 6)
    log.go.release()
    assert group.submit(chunk(6, 1)).result(10).start == 6
    group.close()


def test_close_finishes_what_is_queued(log: SteppedLog) -> None:
    group = GroupCommit(log)
    futures = [group.submit(chunk(0, 1))]
    log.entered.acquire()
    futures += [group.submit(chunk(number, 1)) for number in (1, 2)]
    log.go.release(2)
    group.close()
    assert [future.result(0).start for future in futures] == [0, 1, 2]
    with pytest.raises(Overloaded, match="closing"):
        group.submit(chunk(3, 1))
    group.close()


def test_a_caller_who_gave_up_costs_the_others_nothing(log: SteppedLog) -> None:
    group = GroupCommit(log)
    group.submit(chunk(0, 1))
    log.entered.acquire()
    gone, kept = group.submit(chunk(1, 1)), group.submit(chunk(2, 1))
    assert gone.cancel()
    log.go.release(2)
    assert kept.result(10).start == 1
    assert read_all(log) == lines(0, 1) + lines(2, 1)
    group.close()


@pytest.mark.parametrize("data", [b"", b"x"])
def test_a_chunk_must_be_whole_lines(free: SteppedLog, data: bytes) -> None:
    group = GroupCommit(free)
    with pytest.raises(ValueError, match="newline"):
        group.submit(Chunk(data, "peacewatch"))
    group.close()


def test_many_callers_at_once(tmp_path: Path) -> None:
    log = SQLiteLog(str(tmp_path / "many.sqlite"), LogSettings(min_free_gb=0))
    group = GroupCommit(log)

    def call(number: int) -> None:
        for step in range(50):
            data = b"%d %d\n" % (number, step) * (1 + step % 3)
            done = group.submit(Chunk(data, f"dialect{step % 2}")).result(30)
            assert b"".join(part.data for part in log.read(0, done.start, done.stop)) == data

    with ThreadPoolExecutor(16) as executor:
        list(executor.map(call, range(16)))
    group.close()
    assert log.ends() == {0: 16 * sum(1 + step % 3 for step in range(50))}
    log.close()


@given(st.lists(st.tuples(st.integers(1, 400_000), st.sampled_from("ab")), min_size=1, max_size=20))
def test_merging_keeps_lines_order_and_dialects(parts: list[tuple[int, str]]) -> None:
    chunks = [Chunk(b"%07d\n" % place * (size // 8 + 1), dialect) for place, (size, dialect) in enumerate(parts)]
    merged = merge(chunks)
    for dialect in "ab":
        assert b"".join(c.data for c in merged if c.dialect == dialect) == b"".join(
            c.data for c in chunks if c.dialect == dialect
        )
    assert b"".join(part.data for part in merged) == b"".join(part.data for part in chunks)
    assert all(len(part.data) <= 1 << 20 for part in merged)
