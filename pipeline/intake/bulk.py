"""Large bodies → the durable log, a bounded piece at a time.

Promises that no body holds up another, whatever is in it: each has one piece in
work at a time, on threads that small requests do not need, and the pieces of all
bodies take turns. What waits for a thread is judged together, up to a size.
Belongs to one event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import NamedTuple

from pipeline.dialects import Checked
from pipeline.intake.answers import Verdict
from pipeline.intake.batches import cut, join
from pipeline.intake.bodies import Body
from pipeline.intake.judging import add, check_lines, judge
from pipeline.log import Appended, Chunk
from pipeline.log.group import GroupCommit

# Of good lines a piece takes some 5 ms, of bad ones some 100 ms, and what is judged together up to 250 ms.
_PIECE_BYTES, _PIECE_LINES = 512_000, 1_000
_TOGETHER_BYTES, _TOGETHER_LINES = 1_500_000, 2_000  # begin another piece up to here
_CHUNK_BYTES = 1_000_000
_CHUNKS_WAITING = 4  # of one body: small requests share the log's next step with no more than that


class _Piece(NamedTuple):
    lines: Body
    dialect: str
    done: asyncio.Future[Verdict]


class Bulk:
    """Stores large bodies. ``check`` judges NDJSON in the dialect of that name, on ``workers`` of the ``threads``."""

    def __init__(
        self, check: Callable[[bytes, str], Checked], group: GroupCommit, threads: ThreadPoolExecutor, workers: int
    ) -> None:
        self._check = check
        self._group = group
        self._threads = threads
        self._free = workers
        self._queue: deque[_Piece] = deque()
        self.waiting = 0  # bodies that are not durable yet

    async def put(self, body: Body, dialect: str) -> Verdict:
        """Judge and store a body; returns when it is durable.

        Raises what the log raises (`Overloaded`, `StorageError`) if it could not be stored:
        then some of its lines may be in the log.
        """
        self.waiting += 1
        try:
            verdict = await self._judge(body, dialect)
            chunks = (Chunk(piece, dialect) for piece in cut(body.data, _CHUNK_BYTES))
            while writes := self._submit(chunks):
                await asyncio.gather(*writes)
            return verdict
        finally:
            self.waiting -= 1

    async def _judge(self, body: Body, dialect: str) -> Verdict:
        loop = asyncio.get_running_loop()
        verdict = Verdict(0)
        for data in cut(body.data, _PIECE_BYTES, _PIECE_LINES):
            piece = _Piece(Body(data, data.count(b"\n")), dialect, loop.create_future())
            self._queue.append(piece)
            self._hand_out()
            verdict = add(verdict, await piece.done)
        return verdict

    def _hand_out(self) -> None:
        loop = asyncio.get_running_loop()
        while self._free and self._queue:
            pieces = self._take()
            self._free -= 1
            judged = loop.run_in_executor(self._threads, self._judge_pieces, pieces)
            judged.add_done_callback(partial(self._tell, pieces))

    def _take(self) -> list[_Piece]:
        """The next pieces of one dialect, up to a size."""
        pieces: list[_Piece] = []
        size = lines = 0
        while self._queue and size < _TOGETHER_BYTES and lines < _TOGETHER_LINES:
            if pieces and self._queue[0].dialect != pieces[0].dialect:
                break
            pieces.append(self._queue.popleft())
            size += len(pieces[-1].lines.data)
            lines += pieces[-1].lines.lines
        return pieces

    def _judge_pieces(self, pieces: list[_Piece]) -> list[Verdict]:
        bodies, dialect = [piece.lines for piece in pieces], pieces[0].dialect
        return judge(bodies, join(bodies), lambda data: check_lines(data, lambda some: self._check(some, dialect)))

    def _tell(self, pieces: list[_Piece], judged: asyncio.Future[list[Verdict]]) -> None:
        self._free += 1
        if judged.cancelled():  # the gateway is closing
            return
        error = judged.exception()
        for at, piece in enumerate(pieces):
            if piece.done.done():  # its request is gone
                continue
            if error is None:
                piece.done.set_result(judged.result()[at])
            else:
                piece.done.set_exception(error)
        self._hand_out()

    def _submit(self, chunks: Iterator[Chunk]) -> list[asyncio.Future[Appended]]:
        return [asyncio.wrap_future(self._group.submit(chunk)) for chunk in islice(chunks, _CHUNKS_WAITING)]
