"""Pages below a path of their host, such as ``/peacewatch``.

A proxy may ask with the path or without it: links are relative, so that both find the
pages; what leads elsewhere on this host does so below the path.
"""

from __future__ import annotations

from typing import Any

from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.web import Application, OutputTransform, RedirectHandler


def serve_below(application: Application, path: str) -> None:
    """Let an application that knows nothing of ``path`` (empty, or ``/`` and more) answer below it, too."""
    if not path:
        return
    find = application.find_handler

    def found(request: HTTPServerRequest, **kwargs: Any) -> Any:
        if request.path == path:
            # Links of a page without the slash would begin at its parent.
            return application.get_handler_delegate(request, RedirectHandler, {"url": "/", "permanent": False})
        if request.path.startswith(f"{path}/"):
            request.path = request.path.removeprefix(path)
            request.uri = (request.uri or "").removeprefix(path)
        return find(request, **kwargs)

    class Below(OutputTransform):
        def transform_first_chunk(
            self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
        ) -> tuple[int, HTTPHeaders, bytes]:
            to = headers.get("Location", "")
            if to.startswith("/") and not to.startswith("//"):
                headers["Location"] = path + to
            return status_code, headers, chunk

    application.find_handler = found  # type: ignore[method-assign]
    application.transforms.append(Below)
