"""What uvicorn leaves open to slow or endless clients, closed; and answers in one piece.

A request's head has a size; head and body each have a time in which they must
come, and a body that goes on after its answer is cut off. Fields behind a body
(trailers) are not taken for headers. What is not HTTP gets its 400 as JSON. A
request that comes in one piece costs no timer. An app that uses the extension
`RESPOND` spares one of two system calls and packets for each answer.
"""

from __future__ import annotations

import asyncio
from functools import partial

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from pipeline.intake.answers import Answer, refusal

#: The ASGI extension: ``await scope["extensions"][RESPOND](answer)`` sends a whole `Answer`.
RESPOND = "peacewatch.respond"

HEAD_S = 10.0
HEAD_BYTES = 65_536
BODY_S = 30.0
_HEAD_TOO_LARGE = f"the head of this request is over {HEAD_BYTES} bytes: send less in headers"


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 on one connection, with deadlines."""

    _deadline: asyncio.TimerHandle | None = None
    _read_bytes = 0  # of the last read
    _piece_bytes = 0  # of the reads that this request's head has come in so far
    _behind_bytes = 0  # of the reads behind its head in which nothing of its body came: sizes of chunks, and trailers
    _body_came = False
    _too_large = False
    _in_head = True
    _in_body = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connected."""
        super().connection_made(transport)
        self._deadline = self.loop.call_later(HEAD_S, self._close)

    def connection_lost(self, exc: Exception | None) -> None:
        """A client has gone."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of heads or bodies."""
        self._read_bytes = len(data)
        self._body_came = False
        if not self._in_body:
            self._piece_bytes += len(data)
        super().data_received(data)
        if self._in_body and not self._body_came:
            self._behind_bytes += len(data)
            if self._behind_bytes > HEAD_BYTES:
                self._refuse(400, _HEAD_TOO_LARGE)
                return
        if not self._in_head and not self._in_body:
            self._disarm()
            return
        if self._in_head and self._piece_bytes > HEAD_BYTES and not self.transport.is_closing():
            self._refuse(400, _HEAD_TOO_LARGE)
            return
        if self._deadline is None:
            self._deadline = self.loop.call_later(
                *((HEAD_S, self._close) if self._in_head else (BODY_S, self._give_up))
            )

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The last byte of a head."""
        self._limit()
        self._in_head, self._in_body = False, True
        self._piece_bytes = self._behind_bytes = 0
        self._disarm()
        super().on_headers_complete()
        self.headers = []  # what comes now are a trailer's
        self.scope["extensions"] = {RESPOND: partial(self._respond, self.cycle)}  # type: ignore[dict-item]

    def on_body(self, body: bytes) -> None:
        """Bytes of a body."""
        self._body_came = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The last byte of a request."""
        if self.headers:
            self._limit()
        self._in_body = False
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP or too large, and hang up."""
        self._refuse(400, _HEAD_TOO_LARGE if self._too_large else msg)

    async def _respond(self, cycle: RequestResponseCycle, answer: Answer) -> None:
        """What `RequestResponseCycle.send` does with a head and a body, in one write."""
        if self.flow.write_paused and not cycle.disconnected:
            await self.flow.drain()
        if cycle.disconnected:
            return
        del cycle.scope["extensions"]  # which leads back to the cycle: no work for the garbage collector
        cycle.response_started = cycle.response_complete = True
        parts = [STATUS_LINE[answer.status], b"content-length: %d\r\n" % len(answer.body)]
        parts += [b"%b: %b\r\n" % header for header in (*cycle.default_headers, *answer.headers)]
        parts.append(b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n")
        if cycle.scope["method"] != "HEAD":
            parts.append(answer.body)
        self.transport.write(b"".join(parts))
        cycle.message_event.set()
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()

    def _limit(self) -> None:
        """End the parser, and so this connection, if what it has read of fields is too large."""
        if max(self._piece_bytes, self._read_bytes) > HEAD_BYTES or not self._in_head:
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            self._too_large = size > HEAD_BYTES
            if self._too_large:
                raise ValueError(_HEAD_TOO_LARGE)

    def _give_up(self) -> None:
        if self.cycle.response_started or self.pipeline:
            self._close()
        else:
            self._refuse(408, f"the body took longer than {BODY_S:g} s: send less at once")

    def _refuse(self, status: int, error: str) -> None:
        """Answer in place of the app, which learns that the client is gone."""
        body = refusal(status, error).body
        headers = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[status] + headers + body)
        self._close()

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
