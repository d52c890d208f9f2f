"""What any log must do: a suite that each implementation's tests subclass.

A subclass gives the fixture ``make_log`` and, for the test with two processes,
``reopen_code``. Opening twice in one test gives two instances of the same log.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pipeline.errors import Overloaded, StorageError
from pipeline.log import Appended, Chunk, Log, Stretch

MakeLog = Callable[..., Log]
LINE = st.binary(max_size=5).map(lambda data: data.replace(b"\n", b"_"))
FAR = 10_000_000_000.0  # an accepted_before that nothing is younger than


def lines(first: int, count: int, width: int = 10) -> bytes:
    """``count`` different lines of ``width`` bytes each."""
    return b"".join(b"%0*d\n" % (width - 1, number) for number in range(first, first + count))


def chunk(first: int, count: int, dialect: str = "peacewatch") -> Chunk:
    return Chunk(lines(first, count), dialect)


def whole(stretches: list[Stretch]) -> bytes:
    return b"".join(stretch.data for stretch in stretches)


def read_all(log: Log, partition: int = 0) -> bytes:
    return whole(log.read(partition, log.begins()[partition], log.ends()[partition]))


class LogContract:
    """Subclass it, with the fixtures ``make_log`` and ``reopen_code``."""

    @pytest.fixture
    def make_log(self) -> MakeLog:
        """``make_log(partitions=1, name="log", **limits)`` opens the log called ``name``, made on first use.

        ``limits`` are fields of `LogSettings`. What it opened is closed after the test.
        """
        raise NotImplementedError

    @pytest.fixture
    def reopen_code(self) -> str:
        """Python source that sets ``log`` to another instance of ``make_log()``'s, for another process."""
        raise NotImplementedError

    def test_a_new_log_is_empty(self, make_log: MakeLog) -> None:
        log = make_log(partitions=3)
        assert log.partitions == 3
        assert log.begins() == log.ends() == {0: 0, 1: 0, 2: 0}
        assert log.size_bytes() == 0
        assert log.slices({0: 0, 1: 0, 2: 0}, 1000, 10) == []
        assert log.read(0, 0, 0) == []
        log.check()

    def test_offsets_count_lines_without_gaps(self, make_log: MakeLog) -> None:
        log = make_log()
        before = time.time()
        first = log.append([chunk(0, 3), chunk(3, 1, "other")])
        second = log.append([chunk(4, 5)])
        assert [(done.partition, done.start, done.stop) for done in first + second] == [(0, 0, 3), (0, 3, 4), (0, 4, 9)]
        times = [done.accepted_at for done in first + second]
        assert before <= times[0] <= times[1] <= times[2] <= time.time()
        assert log.ends() == {0: 9}
        assert log.size_bytes() == 90
        assert read_all(log) == lines(0, 9)

    def test_appending_nothing_does_nothing(self, make_log: MakeLog) -> None:
        log = make_log()
        assert log.append([]) == []
        assert log.ends() == {0: 0}

    @pytest.mark.parametrize("data", [b"", b"no newline", b"one\ntwo"])
    def test_a_chunk_must_be_whole_lines(self, make_log: MakeLog, data: bytes) -> None:
        log = make_log()
        with pytest.raises(ValueError, match="newline"):
            log.append([chunk(0, 1), Chunk(data, "peacewatch")])
        assert log.ends() == {0: 0}

    def test_an_unknown_partition_is_refused(self, make_log: MakeLog) -> None:
        log = make_log(partitions=2)
        for use in (
            lambda: log.append([chunk(0, 1)], partition=2),
            lambda: log.read(2, 0, 0),
            lambda: log.slices({2: 0}, 10, 1),
            lambda: log.trim(2, 0, FAR),
        ):
            with pytest.raises(ValueError, match="partition"):
                use()

    def test_bytes_come_back_as_they_went_in(self, make_log: MakeLog) -> None:
        log = make_log()
        data = b'\n\n\x00\xff{"half": \r\n' + bytes(range(256)) + b"\n"
        log.append([Chunk(data, "peacewatch")])
        assert read_all(log) == data
        assert log.ends() == {0: data.count(b"\n")}

    def test_a_chunk_of_64_megabytes(self, make_log: MakeLog) -> None:
        log = make_log()
        data = b"x" * ((64 << 20) - 1) + b"\n"
        log.append([chunk(0, 1), Chunk(data, "peacewatch"), chunk(1, 1)])
        assert [piece.reports for piece in log.slices({0: 0}, 1 << 20, 10)] == [1, 1, 1]
        assert whole(log.read(0, 1, 2)) == data

    def test_what_was_appended_is_there_after_reopening(self, make_log: MakeLog) -> None:
        log = make_log(partitions=2)
        log.append([chunk(0, 4)])
        log.append([chunk(4, 2)], partition=1)
        identity, ends = log.identity, log.ends()
        log.close()
        log = make_log(partitions=2)
        assert (log.identity, log.ends(), log.size_bytes()) == (identity, ends, 60)
        assert (read_all(log, 0), read_all(log, 1)) == (lines(0, 4), lines(4, 2))

    def test_partitions_are_fixed_when_the_log_is_made(self, make_log: MakeLog) -> None:
        make_log(partitions=2).close()
        assert make_log(partitions=5).partitions == 2

    def test_another_log_has_another_identity(self, make_log: MakeLog) -> None:
        assert make_log(name="a").identity != make_log(name="b").identity

    def test_partitions_count_on_their_own(self, make_log: MakeLog) -> None:
        log = make_log(partitions=2)
        log.append([chunk(0, 2)], partition=1)
        log.append([chunk(2, 3)], partition=0)
        log.append([chunk(5, 4)], partition=1)
        assert log.ends() == {0: 3, 1: 6}
        assert read_all(log, 1) == lines(0, 2) + lines(5, 4)
        found = log.slices({0: 0, 1: 0}, 1000, 10)
        assert {(piece.partition, piece.start, piece.stop) for piece in found} == {(0, 0, 3), (1, 0, 6)}
        assert log.slices({1: 2}, 1000, 10)[0].start == 2

    def test_slices_join_chunks_up_to_max_bytes(self, make_log: MakeLog) -> None:
        log = make_log()
        done = [log.append([chunk(number, 1)])[0] for number in range(10)]
        found = log.slices({0: 0}, 40, 10)
        assert [(piece.start, piece.stop, piece.bytes) for piece in found] == [(0, 4, 40), (4, 8, 40), (8, 10, 20)]
        assert [piece.accepted_at for piece in found] == [done[0].accepted_at, done[4].accepted_at, done[8].accepted_at]
        assert log.slices({0: 0}, 40, 2) == found[:2]
        assert log.slices({0: 4}, 40, 10) == found[1:]

    def test_a_slice_is_larger_than_max_bytes_only_if_one_chunk_is(self, make_log: MakeLog) -> None:
        log = make_log()
        log.append([chunk(0, 1), chunk(1, 9), chunk(10, 1)])
        assert [piece.reports for piece in log.slices({0: 0}, 20, 10)] == [1, 9, 1]

    def test_a_slice_has_one_dialect(self, make_log: MakeLog) -> None:
        log = make_log()
        log.append([chunk(0, 1, "a"), chunk(1, 1, "a"), chunk(2, 1, "b"), chunk(3, 1, "a")])
        found = log.slices({0: 0}, 1000, 10)
        assert [(piece.dialect, piece.reports) for piece in found] == [("a", 2), ("b", 1), ("a", 1)]

    def test_slices_begin_inside_a_chunk(self, make_log: MakeLog) -> None:
        log = make_log()
        log.append([chunk(0, 10), chunk(10, 2)])
        (found,) = log.slices({0: 7}, 1000, 10)
        assert (found.start, found.stop, found.bytes) == (7, 12, 50)
        assert whole(log.read(0, 7, 12)) == lines(7, 5)

    def test_partitions_take_turns_in_slices(self, make_log: MakeLog) -> None:
        log = make_log(partitions=2)
        for number in range(4):
            log.append([chunk(number, 1)], partition=0)
            log.append([chunk(number, 1)], partition=1)
        found = log.slices({0: 0, 1: 0}, 10, 4)
        assert sorted((piece.partition, piece.start) for piece in found) == [(0, 0), (0, 1), (1, 0), (1, 1)]

    def test_no_slices_from_beyond_the_log(self, make_log: MakeLog) -> None:
        log = make_log()
        log.append([chunk(0, 3)])
        assert log.slices({0: 3}, 1000, 10) == []
        with pytest.raises(StorageError, match="4") as caught:
            log.slices({0: 4}, 1000, 10)
        assert caught.value.values["offset"] == 4

    @pytest.mark.parametrize(("start", "stop"), [(0, 1), (2, 3), (4, 5), (1, 14), (5, 9), (0, 15), (7, 7)])
    def test_reading_cuts_exactly(self, make_log: MakeLog, start: int, stop: int) -> None:
        log = make_log()
        done = [log.append([chunk(first, 5)])[0] for first in (0, 5, 10)]
        stretches = log.read(0, start, stop)
        assert whole(stretches) == lines(start, stop - start)
        assert [(part.start, part.stop) for part in stretches] == [
            (max(start, part.start), min(stop, part.stop)) for part in done if part.start < stop and start < part.stop
        ][: stop - start]
        for part in stretches:
            assert part.data.count(b"\n") == part.stop - part.start
            assert part.accepted_at in [accepted.accepted_at for accepted in done]

    @pytest.mark.parametrize(("start", "stop"), [(0, 4), (4, 5), (-1, 2), (2, 1)])
    def test_no_reading_beyond_the_log(self, make_log: MakeLog, start: int, stop: int) -> None:
        log = make_log()
        log.append([chunk(0, 3)])
        with pytest.raises(StorageError):
            log.read(0, start, stop)

    def test_trim_drops_whole_chunks_at_the_front(self, make_log: MakeLog) -> None:
        log = make_log()
        log.append([chunk(0, 3), chunk(3, 3), chunk(6, 3)])
        assert log.trim(0, 2, FAR) == 0
        assert log.trim(0, 7, FAR) == 6
        assert (log.begins(), log.ends(), log.size_bytes()) == ({0: 6}, {0: 9}, 30)
        assert log.slices({0: 6}, 1000, 10)[0].start == 6
        assert read_all(log) == lines(6, 3)
        for use in (lambda: log.read(0, 5, 7), lambda: log.slices({0: 5}, 1000, 10)):
            with pytest.raises(StorageError, match="6"):
                use()

    def test_trim_keeps_what_is_too_young(self, make_log: MakeLog) -> None:
        log = make_log()
        first = log.append([chunk(0, 3)])[0]
        second = first
        while second.accepted_at == first.accepted_at:
            second = log.append([chunk(3, 1)])[0]
        assert log.trim(0, second.stop, first.accepted_at) == 0
        assert log.trim(0, second.stop, second.accepted_at) >= 3
        assert log.begins() == {0: second.start}

    def test_offsets_go_on_after_everything_was_trimmed(self, make_log: MakeLog) -> None:
        log = make_log(partitions=2)
        log.append([chunk(0, 3)])
        log.append([chunk(0, 1)], partition=1)
        assert log.trim(0, 3, FAR) == 3
        log.close()
        log = make_log(partitions=2)
        assert (log.begins(), log.ends(), log.size_bytes()) == ({0: 3, 1: 0}, {0: 3, 1: 1}, 10)
        assert log.slices({0: 3}, 1000, 10) == []
        assert log.append([chunk(3, 2)])[0].start == 3
        assert read_all(log) == lines(3, 2)

    def test_a_full_log_refuses_and_appends_nothing(self, make_log: MakeLog) -> None:
        log = make_log(max_gb=1e-7)  # 100 bytes
        log.append([chunk(0, 8)])
        with pytest.raises(Overloaded, match="max_gb") as caught:
            log.append([chunk(8, 1), chunk(9, 2)])
        assert caught.value.retry_after_s > 0
        assert (log.ends(), log.size_bytes()) == ({0: 8}, 80)
        log.append([chunk(8, 2)])
        with pytest.raises(Overloaded):
            log.check()
        log.trim(0, 8, FAR)
        log.check()
        assert log.append([chunk(10, 1)])[0].start == 10

    def test_a_closed_log_says_so(self, make_log: MakeLog) -> None:
        log = make_log()
        log.close()
        for use in (log.ends, lambda: log.append([chunk(0, 1)])):
            with pytest.raises(StorageError, match="closed"):
                use()

    def test_two_processes_append_at_once(self, make_log: MakeLog, reopen_code: str) -> None:
        log = make_log()
        code = f"""if True:
            import sys
            {reopen_code}
            from pipeline.log import Chunk
            sys.stdin.readline()
            for number in range(100):
                log.append([Chunk(f"{{sys.argv[1]}} {{number}}\\n".encode() * 2, "x")])
        """
        processes = [
            subprocess.Popen([sys.executable, "-c", code, name], stdin=subprocess.PIPE, text=True) for name in "ab"
        ]
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        own: list[Appended] = [log.append([Chunk((b"c %d\n" % number) * 2, "x")])[0] for number in range(100)]
        assert [process.wait(60) for process in processes] == [0, 0]
        assert log.ends() == {0: 600}
        words = [line.split() for line in read_all(log).splitlines()]
        for name in (b"a", b"b", b"c"):
            assert [int(number) for who, number in words if who == name] == [n for n in range(100) for _ in range(2)]
        assert [done.start for done in own] == [place for place, word in enumerate(words) if word[0] == b"c"][::2]

    def test_it_behaves_like_a_list(self, make_log: MakeLog) -> None:
        names = iter(range(1_000_000))

        class Machine(RuleBasedStateMachine):
            @initialize()
            def open(self) -> None:
                self.name = f"model{next(names)}"
                self.log = make_log(partitions=2, name=self.name)
                self.lines: dict[int, list[tuple[bytes, str, float]]] = {0: [], 1: []}
                self.edges: dict[int, list[int]] = {0: [0], 1: [0]}
                self.first = {0: 0, 1: 0}

            @rule(
                partition=st.integers(0, 1),
                chunks=st.lists(
                    st.tuples(st.lists(LINE, min_size=1, max_size=4), st.sampled_from("ab")),
                    min_size=1,
                    max_size=3,
                ),
            )
            def append(self, partition: int, chunks: list[tuple[list[bytes], str]]) -> None:
                ready = [Chunk(b"".join(line + b"\n" for line in part), dialect) for part, dialect in chunks]
                for done, (part, dialect) in zip(self.log.append(ready, partition), chunks, strict=True):
                    assert done.start == len(self.lines[partition])
                    self.lines[partition] += [(line + b"\n", dialect, done.accepted_at) for line in part]
                    assert done.stop == len(self.lines[partition])
                    self.edges[partition].append(done.stop)

            @rule(partition=st.integers(0, 1), data=st.data())
            def read(self, partition: int, data: st.DataObject) -> None:
                start = data.draw(st.integers(self.first[partition], len(self.lines[partition])))
                stop = data.draw(st.integers(start, len(self.lines[partition])))
                stretches = self.log.read(partition, start, stop)
                assert whole(stretches) == b"".join(line for line, _, _ in self.lines[partition][start:stop])
                assert [(part.start, part.stop) for part in stretches] == [
                    (max(start, begin), min(stop, end))
                    for begin, end in pairwise(self.edges[partition])
                    if begin < stop and end > start and start < stop
                ]

            @rule(data=st.data(), max_bytes=st.integers(1, 60), limit=st.integers(1, 5))
            def slices(self, data: st.DataObject, max_bytes: int, limit: int) -> None:
                positions = {
                    number: data.draw(st.integers(self.first[number], len(self.lines[number]))) for number in (0, 1)
                }
                found = self.log.slices(positions, max_bytes, limit)
                assert len(found) <= limit
                assert bool(found) == any(positions[number] < len(self.lines[number]) for number in (0, 1))
                for number in (0, 1):
                    own = [piece for piece in found if piece.partition == number]
                    if own:
                        assert [piece.start for piece in own] == [positions[number], *(p.stop for p in own[:-1])]
                    for piece in own:
                        part = self.lines[number][piece.start : piece.stop]
                        assert part
                        assert {dialect for _, dialect, _ in part} == {piece.dialect}
                        assert piece.accepted_at == part[0][2]
                        inner = [edge for edge in self.edges[number] if piece.start < edge < piece.stop]
                        assert piece.bytes <= max_bytes or not inner

            @rule(partition=st.integers(0, 1), data=st.data())
            def trim(self, partition: int, data: st.DataObject) -> None:
                before = data.draw(st.integers(0, len(self.lines[partition])))
                kept = max(edge for edge in self.edges[partition] if edge <= max(before, self.first[partition]))
                assert self.log.trim(partition, before, FAR) == kept - self.first[partition]
                self.first[partition] = kept

            @precondition(lambda self: any(self.lines.values()))
            @rule()
            def reopen(self) -> None:
                self.log.close()
                self.log = make_log(partitions=2, name=self.name)

            @invariant()
            def counts(self) -> None:
                assert self.log.begins() == self.first
                assert self.log.ends() == {number: len(held) for number, held in self.lines.items()}
                held = sum(len(line) for number in (0, 1) for line, _, _ in self.lines[number][self.first[number] :])
                assert self.log.size_bytes() == held
                for number in (0, 1):
                    times = [accepted_at for _, _, accepted_at in self.lines[number]]
                    assert all(earlier <= later for earlier, later in pairwise(times))

            def teardown(self) -> None:
                self.log.close()

        run_state_machine_as_test(
            Machine, settings=hypothesis_settings(max_examples=25, stateful_step_count=25, deadline=None)
        )
