"""What uvicorn leaves open to slow or endless clients, closed.

A connection has so long to send a request's head and a head has a size; a body
that goes on after its answer is cut off. What is not HTTP gets its 400 as JSON.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pipeline.intake.answers import refusal

HEAD_S = 10.0
HEAD_BYTES = 65_536
LINGER_S = 10.0


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 on one connection, with deadlines."""

    _head_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connected."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """A client has gone."""
        self._have_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of heads or bodies."""
        super().data_received(data)
        if self._head_timer is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self.send_400_response(f"the head of this request is over {HEAD_BYTES} bytes: send less in headers")

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._await_head()

    def on_headers_complete(self) -> None:
        """The last byte of a head."""
        self._have_head()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """The last byte of an answer."""
        cycle = self.cycle
        super().on_response_complete()
        if cycle is self.cycle and cycle.more_body:
            self.loop.call_later(LINGER_S, lambda: self._close() if self.cycle is cycle else None)

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, and hang up."""
        answer = refusal(400, msg)
        head = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: "
        self.transport.write(b"%b%d\r\n\r\n%b" % (head, len(answer.body), answer.body))
        self._close()

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_bytes = 0
            self._head_timer = self.loop.call_later(HEAD_S, self._close)

    def _have_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _close(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
