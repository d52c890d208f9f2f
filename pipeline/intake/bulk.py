"""Large bodies → the durable log, a bounded piece at a time.

Promises that no body holds up another, whatever is in it: each has one piece in
work at a time, on threads that small requests do not need, and the pieces of all
bodies take turns. Belongs to one event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from itertools import islice

from pipeline.dialects import Checked
from pipeline.intake.answers import Verdict
from pipeline.intake.batches import cut
from pipeline.intake.bodies import Body
from pipeline.intake.judging import add, check_lines
from pipeline.log import Appended, Chunk
from pipeline.log.group import GroupCommit

# Of good lines a piece takes some 5 ms, of bad ones some 100 ms.
_PIECE_BYTES, _PIECE_LINES = 512_000, 1_000
_CHUNK_BYTES = 1_000_000
_CHUNKS_WAITING = 4  # of one body: small requests share the log's next step with no more than that


class Bulk:
    """Stores large bodies. ``check`` judges NDJSON in the dialect of that name, on ``threads``."""

    def __init__(self, check: Callable[[bytes, str], Checked], group: GroupCommit, threads: Executor) -> None:
        self._check = check
        self._group = group
        self._threads = threads
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
        for piece in cut(body.data, _PIECE_BYTES, _PIECE_LINES):
            verdict = add(verdict, await loop.run_in_executor(self._threads, self._check_piece, piece, dialect))
        return verdict

    def _check_piece(self, piece: bytes, dialect: str) -> Checked:
        return check_lines(piece, lambda lines: self._check(lines, dialect))

    def _submit(self, chunks: Iterator[Chunk]) -> list[asyncio.Future[Appended]]:
        return [asyncio.wrap_future(self._group.submit(chunk)) for chunk in islice(chunks, _CHUNKS_WAITING)]
