"""What uvicorn leaves open to slow, endless or odd clients, closed; and answers in one piece.

A request's head has a size and a time in which it must come. A body may take as long
as it needs while it flows; one that stalls or drips, or goes on after its answer, is
cut off. An offer of another protocol is passed over, and the body
behind it read. Fields behind a body (trailers) are not taken for headers. What is not
HTTP gets its 400 as JSON, after the answers to what came before it. A request that
comes in one piece costs no timer. An app that uses the extension `RESPOND` spares one
of two system calls and packets for each answer.
"""

from __future__ import annotations

import asyncio
from functools import partial

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from pipeline.intake.answers import Answer, refusal

#: The ASGI extension: ``await scope["extensions"][RESPOND](answer)`` sends a whole `Answer`.
RESPOND = "peacewatch.respond"

HEAD_S = 10.0
HEAD_BYTES = 65_536
#: A body must end in so many seconds, or bring so many bytes in each of them that it goes on.
BODY_S, BODY_BYTES = 30.0, 30_000
_HEAD_TOO_LARGE = f"the head of this request is over {HEAD_BYTES} bytes: send less in headers"


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 on one connection, with deadlines."""

    _deadline: asyncio.TimerHandle | None = None
    _read_bytes = 0  # of the last read
    _piece_bytes = 0  # of the reads that this request's head has come in so far
    _behind_bytes = 0  # of the reads behind its head in which nothing of its body came: sizes of chunks, and trailers
    _body_came = False
    _body_bytes = 0  # of the body so far
    _watched_bytes = 0  # of them, when the deadline was last looked at
    _too_large = False
    _offered = False  # another protocol, by the head that has just come
    _in_head = True
    _in_body = False
    _last_words: bytes | None = None  # what is said before hanging up, once earlier requests are answered

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
        if self._last_words is not None or self.transport.is_closing():
            return
        self._read_bytes = len(data)
        self._body_came = False
        if not self._in_body:
            self._piece_bytes += len(data)
        self._parse(data)
        if self._last_words is not None or self.transport.is_closing():
            return
        if self._in_body and not self._body_came:
            self._behind_bytes += len(data)
            if self._behind_bytes > HEAD_BYTES:
                self._refuse(400, _HEAD_TOO_LARGE)
                return
        if not self._in_head and not self._in_body:
            self._disarm()
            return
        if self._in_head and self._piece_bytes > HEAD_BYTES:
            self._refuse(400, _HEAD_TOO_LARGE)
            return
        if self._deadline is None:
            self._deadline = self.loop.call_later(
                *((HEAD_S, self._close) if self._in_head else (BODY_S, self._look_again))
            )

    def _parse(self, data: bytes) -> None:
        """What uvicorn's own `data_received` does, but for an offer of another protocol."""
        self._unset_keepalive_if_required()
        rest: bytes | memoryview = data
        try:
            while rest:
                try:
                    self.parser.feed_data(rest)
                    return
                except httptools.HttpParserUpgrade as offer:
                    if not self._offered:  # CONNECT: what is behind it is for nobody
                        return
                    rest = memoryview(rest)[offer.args[0] :]
                    self._pass_over_offer()
        except httptools.HttpParserError:
            self.send_400_response("this is not HTTP/1.1: send POST /v1/reports HTTP/1.1, a head and a body")

    def _pass_over_offer(self) -> None:
        """Read the head again without the offer, as its parser takes what is behind such a head for no HTTP."""
        self._offered = False
        head = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        fields = b"".join(b"%b: %b\r\n" % field for field in self.headers if field[0] != b"upgrade")
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self.parser.feed_data(head + fields + b"\r\n")

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The last byte of a head."""
        self._limit()
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._offered = True
            return
        super().on_headers_complete()
        if self.parser.should_upgrade():
            self.cycle.keep_alive = False
        self._in_head, self._in_body = False, True
        self._piece_bytes = self._behind_bytes = self._body_bytes = self._watched_bytes = 0
        self._disarm()
        self.headers = []  # what comes now are a trailer's
        self.scope["extensions"] = {RESPOND: partial(self._respond, self.cycle)}  # type: ignore[dict-item]

    def on_body(self, body: bytes) -> None:
        """Bytes of a body."""
        self._body_came = True
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The last byte of a request."""
        if self._offered:
            return
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

    def on_response_complete(self) -> None:
        """An answer was sent."""
        was_last = not self.pipeline
        super().on_response_complete()
        if was_last and self._last_words is not None:
            self._hang_up()

    def _look_again(self) -> None:
        """Cut off a body of which too little came since the last look."""
        came, self._watched_bytes = self._body_bytes - self._watched_bytes, self._body_bytes
        if self.pipeline:
            pass  # it waits for the answers before its own, and is not read meanwhile
        elif self.cycle.response_complete:
            self._close()
            return
        elif came < BODY_BYTES:
            self._refuse(408, f"only {came} bytes of the body came in {BODY_S:g} s: send faster, or send less at once")
            return
        self._deadline = self.loop.call_later(BODY_S, self._look_again)

    def _refuse(self, status: int, error: str) -> None:
        """Answer in place of the app, which learns that the client is gone; after the answers that are due before."""
        if self._last_words is not None:
            return
        body = refusal(status, error).body
        headers = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        self._last_words = STATUS_LINE[status] + headers + body
        self._disarm()
        if self._in_body and self.pipeline:
            self.pipeline.popleft()  # the request that is refused has not begun
        elif self._in_body or self.cycle is None or self.cycle.response_complete:
            self._hang_up()

    def _hang_up(self) -> None:
        if self._last_words is not None and not self.transport.is_closing():
            if not (self._in_body and self.cycle.response_started):
                self.transport.write(self._last_words)
            self._close()

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
