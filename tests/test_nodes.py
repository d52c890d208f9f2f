"""The nodes of the flow: order, back-pressure, windows; and how slices are cut."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from streamz import Stream
from tornado.ioloop import IOLoop

from pipeline import nodes
from pipeline.log import Slice


def on_a_loop(test: Callable[[Stream, list[Any]], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        await test(Stream(loop=IOLoop.current(), asynchronous=True), [])

    asyncio.run(asyncio.wait_for(run(), 10))


def test_results_come_in_order_however_long_each_takes() -> None:
    async def test(source: Stream, out: list[Any]) -> None:
        gates = [asyncio.Event() for _ in range(4)]
        done = asyncio.Event()

        async def work(number: int) -> int:
            await gates[number].wait()
            return number

        def collect(number: int) -> None:
            out.append(number)
            if len(out) == 4:
                done.set()

        source.ordered(work, 4).sink(collect)
        for number in range(4):
            await source.emit(number)
        for gate in reversed(gates):
            assert out == []
            gate.set()
        await done.wait()
        assert out == [0, 1, 2, 3]

    on_a_loop(test)


def test_only_so_many_at_a_time_and_the_source_waits() -> None:
    async def test(source: Stream, out: list[Any]) -> None:
        gate, running = asyncio.Event(), []

        async def work(number: int) -> None:
            running.append(number)
            await gate.wait()

        source.ordered(work, 2).sink(out.append)
        await source.emit(0)
        await source.emit(1)
        third = asyncio.ensure_future(source.emit(2))
        for _ in range(20):
            await asyncio.sleep(0)
        assert running == [0, 1]
        assert not third.done()
        gate.set()
        await third
        while len(out) < 3:
            await asyncio.sleep(0)
        assert running == [0, 1, 2]

    on_a_loop(test)


def test_a_window_ends_when_it_is_full_or_its_time_is_up() -> None:
    async def test(source: Stream, out: list[Any]) -> None:
        window = source.window(0.01, 10, float)
        window.sink(out.append)
        await source.emit(4)
        await source.emit(5)
        assert out == []
        await source.emit(1)
        assert out == [[4, 5, 1]]
        await source.emit(2)
        while len(out) < 2:
            await asyncio.sleep(0.001)
        assert out[1] == [2]
        await window.flush()
        assert len(out) == 2

    on_a_loop(test)


@given(st.integers(0, 50), st.integers(1, 60), st.lists(st.integers(0, 120), max_size=6), st.integers(0, 10**6))
def test_pieces_of_a_slice_are_the_slice(start: int, reports: int, offsets: list[int], size: int) -> None:
    whole = Slice(0, start, start + reports, size, "peacewatch", 1.5)
    pieces = nodes.split_at(whole, offsets)
    assert pieces[0].start == whole.start
    assert pieces[-1].stop == whole.stop
    assert all(one.stop == other.start for one, other in itertools.pairwise(pieces))
    assert sum(piece.bytes for piece in pieces) == size
    inside = {offset for offset in offsets if whole.start < offset < whole.stop}
    assert {piece.start for piece in pieces[1:]} == inside


def test_what_is_there_together_goes_on_together() -> None:
    async def test(source: Stream, out: list[Any]) -> None:
        gates = [asyncio.Event() for _ in range(4)]
        done = asyncio.Event()

        async def work(number: int) -> int:
            await gates[number].wait()
            return number

        def collect(numbers: list[int]) -> None:
            out.append(numbers)
            if numbers[-1] == 3:
                done.set()

        source.ordered(work, 4, together=True).sink(collect)
        for number in range(4):
            await source.emit(number)
        for number in (1, 2, 0):
            gates[number].set()
        while not out:
            await asyncio.sleep(0)
        gates[3].set()
        await done.wait()
        assert [number for numbers in out for number in numbers] == [0, 1, 2, 3]
        assert len(out) < 4

    on_a_loop(test)


def test_parallelism_follows_what_it_is_set_to() -> None:
    async def test(source: Stream, out: list[Any]) -> None:
        gates, running = [asyncio.Event() for _ in range(5)], []

        async def work(number: int) -> None:
            running.append(number)
            await gates[number].wait()

        node = source.ordered(work, 1)
        node.sink(out.append)
        emitting = [asyncio.ensure_future(source.emit(number)) for number in range(5)]
        while running != [0]:
            await asyncio.sleep(0)
        node.parallelism = 3
        gates[0].set()
        while running != [0, 1, 2, 3]:
            await asyncio.sleep(0)
        for gate in gates:
            gate.set()
        await asyncio.gather(*emitting)

    on_a_loop(test)
