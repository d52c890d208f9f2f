"""Serves the dashboard of one workspace.

Promises: every page wants somebody who is signed in and may see it; it listens on
loopback, or elsewhere if TLS is used; it accepts websockets only from pages that it served itself;
``dashboard.json`` in the workspace says where it is for as long as it runs.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import threading
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import panel as pn
from bokeh.application.application import SessionContext
from panel.io.server import get_server
from tornado.ioloop import IOLoop
from tornado.websocket import WebSocketClosedError

from dashboards.below import serve_below
from dashboards.feed import Feed, Feeds
from dashboards.files import ASSETS, assets_route
from dashboards.headers import SecurityHeaders
from dashboards.listening import Listening, listening
from dashboards.pages import PAGES, Page
from dashboards.shell import page_template
from dashboards.sign_in.handlers import sign_in_handler, sign_out_handler
from dashboards.sign_in.openid_handlers import openid_handlers
from dashboards.sign_in.provider import SignedIn
from dashboards.site import Site
from dashboards.visit import Forbidden, Visit
from pipeline.desk.roles import may
from pipeline.errors import Conflict
from pipeline.workspace import Workspace

# Forms are small; more is nobody's who means well.
_LARGEST_BODY = 1 << 20


def dashboard_file(workspace: Workspace) -> Path:
    """Where a running dashboard says its ``pid`` and ``url``, as JSON."""
    return workspace.root / "dashboard.json"


def serve(
    workspace: Workspace,
    host: str,
    port: int,
    ready: Callable[[str], None] | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Serve until SIGTERM, SIGINT or ``stop``; port 0 takes any free one.

    ``ready`` is called with the URL once pages can be asked for. Signals are
    heeded in the main thread only. Raises `UsageError` for a host beyond loopback
    without TLS, and `Conflict` if the port is taken.
    """
    where = listening(workspace.settings.dashboard, workspace.root, host)
    loop = IOLoop(make_current=True)
    loop.asyncio_loop.set_exception_handler(_unless_page_closed)  # type: ignore[attr-defined]
    site = Site(workspace)
    site.start()
    try:
        server = _server(site, where, port, loop)
        try:
            url = where.url(server.port)
            with _announced(dashboard_file(workspace), url):
                server.start()
                _stop_on_demand(loop, stop)
                if ready is not None:
                    loop.add_callback(ready, url)
                loop.start()
        finally:
            server.stop()
    finally:
        site.close()
        loop.close()


def _unless_page_closed(loop: AbstractEventLoop, context: dict[str, Any]) -> None:
    # A push to a page that is just being closed fails, as it must: nobody needs to read of it.
    if not isinstance(context.get("exception"), WebSocketClosedError):
        loop.default_exception_handler(context)


def _server(site: Site, where: Listening, port: int, loop: IOLoop) -> pn.io.server.Server:
    force = site.settings.force.name
    try:
        server = get_server(
            {page.route: _opener(site, page) for page in PAGES},
            address=where.host,
            port=port,
            loop=loop,
            title=f"Peacewatch · {force}",
            static_dirs={assets_route(): str(ASSETS)},
            extra_patterns=[("/feed", Feed, {"feeds": Feeds(site, loop)})],
            auth_provider=SignedIn(site.office, force, sign_in_handler(site), sign_out_handler(site)),
            http_server_kwargs={"ssl_options": where.tls, "max_body_size": _LARGEST_BODY},
            # A page's source must not hold the cookie that scripts cannot read.
            include_cookies=[],
            include_headers=[],
            # Signed, so that nobody can make up the id of somebody else's page.
            secret_key=secrets.token_urlsafe(32),
            sign_sessions=True,
            generate_session_ids=True,
            # A proxy takes a websocket that is quiet for a dead one.
            keep_alive_milliseconds=2_000,
            check_unused_sessions_milliseconds=5_000,
            unused_session_lifetime_milliseconds=10_000,
        )
    except OSError as error:
        raise Conflict(
            f"the dashboard cannot listen on {where.host}:{port} ({error.strerror}): stop what uses that port, "
            "or choose another with --port",
            port=port,
        ) from error
    settings = server._tornado.settings
    settings["xsrf_cookie_name"] = "__Host-peacewatch-xsrf"
    settings["xsrf_cookie_kwargs"] = {
        "secure": True,
        "httponly": True,
        "samesite": "Lax",
        "path": "/",
        "expires_days": None,
    }
    server._tornado.transforms.append(SecurityHeaders)
    serve_below(server._tornado, site.settings.dashboard.path)
    server._tornado.add_handlers(".*", openid_handlers(site, where.url(server.port)))
    # Only known now if the port was 0; the default would allow "localhost" whatever the host.
    origins = server._tornado.websocket_origins
    origins.clear()
    origins.update(where.origins(server.port))
    return server


def _opener(site: Site, page: Page) -> Callable[[], pn.template.Template]:
    """Builds a page for the request that asks for it, whose session the auth provider has looked up."""

    def opened() -> pn.template.Template:
        doc = pn.state.curdoc
        assert doc is not None
        request = doc.session_context.request
        arguments = {name: values[0].decode("utf-8", "replace") for name, values in request.arguments.items() if values}
        if not may(request.peacewatch_session.user.role, page.right):
            raise Forbidden(f"a role of {request.peacewatch_session.user.role} may not {page.right}")
        visit = Visit(site, request.peacewatch_session, doc, page.route, arguments)

        def gone(_context: SessionContext) -> None:
            visit.leave()

        pn.state.on_session_destroyed(gone)
        return page_template(visit, page)

    return opened


@contextmanager
def _announced(file: Path, url: str) -> Iterator[None]:
    """The file says where the dashboard is, while in this context."""
    said = json.dumps({"pid": os.getpid(), "url": url})
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    draft.write_text(said, "utf-8")
    draft.replace(file)
    try:
        yield
    finally:
        # Another dashboard of this workspace may have put its own there since.
        with suppress(OSError):
            if file.read_bytes() == said.encode():
                file.unlink()


def _stop_on_demand(loop: IOLoop, stop: threading.Event | None) -> None:
    running = loop.asyncio_loop  # type: ignore[attr-defined]
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            running.add_signal_handler(number, loop.stop)
    if stop is not None:

        def wait() -> None:
            stop.wait()
            try:
                loop.add_callback(loop.stop)
            except RuntimeError:
                return  # it has stopped already

        threading.Thread(target=wait, name="dashboard-stop", daemon=True).start()
