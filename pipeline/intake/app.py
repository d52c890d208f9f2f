"""The gateway as an ASGI app: reads requests, asks the deciding modules, gives answers.

Promises that reports answered with 202 are durable in the log, bad lines
included, and that no request holds up or spoils another. Nothing is decided
here but the order of the steps. Deadlines, and how an answer is sent, are the
server's (`deadlines`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from pipeline.desk.keys import Keys
from pipeline.dialects import Checked, builtin_dialects, check, workspace_dialect
from pipeline.errors import BadInput, Overloaded, PeacewatchError, StorageError
from pipeline.intake import head
from pipeline.intake.answers import Answer, Busy, overloaded, refusal, taken, unavailable
from pipeline.intake.batcher import Batcher, is_small
from pipeline.intake.bodies import MAYBE_SPREAD, Body, TooLarge, is_array, to_lines, too_large, unpack
from pipeline.intake.bulk import Bulk
from pipeline.intake.deadlines import RESPOND
from pipeline.intake.keyring import Keyring
from pipeline.intake.memory import BUSY_BYTES, WORTH_BYTES, give_back
from pipeline.intake.metrics import Metrics
from pipeline.intake.tally import Tally
from pipeline.log import open_log
from pipeline.log.group import GroupCommit
from pipeline.log.late import LateLog
from pipeline.workspace import Workspace

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_LEAST_HELD_BYTES = 256_000_000
# Bodies that are brought into lines without handing them to a thread; a packed one may hide any number of bytes.
_INLINE_BYTES, _INLINE_LINES_BYTES = 64_000, 1_000_000
_THREADS = max(1, (os.cpu_count() or 1) - 1)  # that judge large bodies; the loop has a core, too
_GAUGE_S = 0.5
_BUSY_S = 0.6  # with the two groups before it, a request hears within 2 s that the log is locked

_logger = logging.getLogger("peacewatch.gateway")


class _Gone(Exception):
    pass


class Gateway:
    """An ASGI app on a workspace. Raises `PeacewatchError` if the workspace cannot be used."""

    def __init__(self, workspace: Workspace, numbers: Tally, worker: int = 0) -> None:
        """``numbers`` are shared with the gateway's other processes, of which this is number ``worker``."""
        settings = workspace.settings
        self._max_body_bytes = int(settings.gateway.max_body_mb * 1e6)
        self._max_held_bytes = max(_LEAST_HELD_BYTES, 4 * self._max_body_bytes)
        self._max_report_bytes = settings.reports.max_report_kb * 1024
        own = workspace_dialect(workspace)
        self._default_dialect = own.name
        self._builtin = frozenset(builtin_dialects())
        self._dialects = {name: workspace_dialect(workspace, name) for name in self._builtin} | {own.name: own}
        self._keys = Keys(workspace.desk_url)
        self._keyring = None if settings.gateway.open else Keyring(self._keys)
        self._log = LateLog(lambda: open_log(workspace.log_url, settings.log, busy_s=_BUSY_S))
        # One partition a process keeps each drone's reports in order.
        self._group = GroupCommit(self._log, partition=worker)
        self._threads = ThreadPoolExecutor(_THREADS + 1, "bodies")  # one more, to unpack
        self._batcher = Batcher(self._check, self._group, self._threads)
        self._bulk = Bulk(self._check, self._group, self._threads, _THREADS)
        self._held_bytes = 0
        self._let_go_bytes = 0  # held before, and perhaps not given back to the system
        self._metrics = Metrics(numbers)
        self._background: list[asyncio.Task[None]] = []
        # The first check imports and builds what all others use: not at a client's expense.
        self._check(b"{}\n", self._default_dialect)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """An ASGI connection."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        try:
            answer = await self._answer(scope, receive)
        except _Gone:
            return
        except asyncio.CancelledError:
            answer = unavailable("the gateway is closing down and could not finish this request: send it again")
        except Exception:
            _logger.exception("%s %s failed", scope["method"], scope["path"])
            answer = refusal(500, "the gateway failed on this request: try again, and tell its operator if it recurs")
        self._metrics.count_request(answer.status)
        await scope["extensions"][RESPOND](answer)

    def close(self) -> None:
        """Write what is queued, and release everything."""
        self._threads.shutdown(cancel_futures=True)
        self._group.close()
        self._log.close()
        self._keys.close()

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._batcher.start()
        self._background.append(asyncio.create_task(self._keep_gauging()))
        if self._keyring is not None:
            self._background.append(asyncio.create_task(self._keyring.keep_fresh()))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._batcher.stop()
        for task in self._background:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await asyncio.to_thread(self.close)
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: Message, receive: Receive) -> Answer:
        path = scope["path"]
        refused = head.route(path, scope["method"])
        if refused is not None:
            return refused
        if path == "/v1/reports":
            begun = time.perf_counter()
            answer = await self._reports(head.join_fields(scope["headers"]), scope["query_string"], receive)
            self._metrics.time_request(time.perf_counter() - begun)
            return answer
        if path == "/metrics":
            self._gauge()
            return self._metrics.answer()
        return Answer(200, b'{"status":"ok"}') if path == "/healthz" else await self._readiness()

    def _gauge(self) -> None:
        self._metrics.gauge(self._batcher.waiting + self._bulk.waiting, self._held_bytes)

    async def _keep_gauging(self) -> None:
        """Tell the gateway's other processes how things are, and give back memory, for ever."""
        while True:
            self._gauge()
            # What comes in now takes the same memory again.
            if self._let_go_bytes > (BUSY_BYTES if self._held_bytes else WORTH_BYTES):
                self._let_go_bytes = 0
                await asyncio.to_thread(give_back)
            await asyncio.sleep(_GAUGE_S)

    async def _readiness(self) -> Answer:
        if self._keyring is not None and self._keyring.problem is not None:
            return unavailable(self._keyring.problem)
        try:
            await asyncio.to_thread(self._log.check)
        except Overloaded as error:
            return overloaded(error)
        except PeacewatchError as error:
            return unavailable(error.message)
        return Answer(200, b'{"status":"ready"}')

    async def _reports(self, headers: dict[bytes, bytes], query: bytes, receive: Receive) -> Answer:
        if self._keyring is not None:
            token = head.bearer(headers)
            if token is None or not (self._keyring.knows(token) or await self._keyring.admits(token)):
                return head.unauthorized(token)
        wanted = head.read_head(headers, query, self._max_body_bytes, self._default_dialect, self._builtin)
        if isinstance(wanted, Answer):
            return wanted
        held = 0
        try:
            packed = await self._read(receive)
            held += len(packed)
            inline = _INLINE_BYTES if wanted.media_type in MAYBE_SPREAD else _INLINE_LINES_BYTES
            if not wanted.codings and len(packed) <= inline:
                body = self._lines(packed, wanted)
            else:
                loop = asyncio.get_running_loop()
                body = await loop.run_in_executor(self._threads, self._lines, packed, wanted)
            self._hold(len(body.data))
            held += len(body.data)
            store = self._batcher if is_small(body) else self._bulk
            verdict = await store.put(body, wanted.dialect)
        except BadInput as error:
            self._let_go_bytes += self._max_body_bytes  # so much may have been unpacked
            return refusal(413 if isinstance(error, TooLarge) else 400, error.message)
        except Overloaded as error:
            return overloaded(error)
        except StorageError as error:
            _logger.error("%s", error.message)
            return unavailable(error.message)
        finally:
            self._held_bytes -= held
            self._let_go_bytes += held
        self._metrics.count_reports(verdict.accepted, verdict.rejected, len(body.data))
        return taken(verdict, is_array=bool(verdict.rejected) and is_array(body))

    async def _read(self, receive: Receive) -> bytes:
        """The body as it is sent; what it returns is held."""
        parts: list[bytes] = []
        size = 0
        more = True
        try:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _Gone
                part = message["body"]
                more = message.get("more_body", False)
                self._hold(len(part))
                size += len(part)
                parts.append(part)
                if size > self._max_body_bytes:
                    raise too_large(self._max_body_bytes)
        except BaseException:
            self._held_bytes -= size
            raise
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _hold(self, size: int) -> None:
        if self._held_bytes + size > self._max_held_bytes:
            raise Busy(
                f"{self._held_bytes / 1e6:.0f} MB of requests are held already: send more slowly", retry_after_s=1
            )
        self._held_bytes += size

    def _lines(self, packed: bytes, wanted: head.Wanted) -> Body:
        data = packed
        for coding in reversed(wanted.codings):
            data = unpack(data, coding, self._max_body_bytes)
        return to_lines(data, wanted.media_type)

    def _check(self, data: bytes, dialect: str) -> Checked:
        return check(data, self._dialects[dialect], self._max_report_bytes)
