"""What the views of all pages have in common: whose page it is, and messages both ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import param
from panel.custom import JSComponent

from dashboards.files import assets_route
from dashboards.visit import Visit


class PageView(JSComponent):
    """A page in the browser, whose module and styles a subclass names.

    ``heard`` gets the messages that carry the visit's token; what else is in them may be anything.
    """

    timezone = param.String()
    assets = param.String()
    token = param.String()

    def __init__(self, visit: Visit, heard: Callable[[dict[str, Any]], None], **params: Any) -> None:
        super().__init__(
            timezone=visit.site.settings.force.timezone,
            assets=assets_route(),
            token=visit.token,
            sizing_mode="stretch_both",
            **params,
        )
        self.on_msg(lambda event: heard(event.data) if visit.trusts(event.data) else None)

    def tell(self, message: dict[str, Any]) -> None:
        """Send a message to the browser; under the page's lock."""
        self._send_msg(message)
