"""The page of the past as the browser has it: what it is told once, and the messages to it."""

from __future__ import annotations

from typing import ClassVar

import param
from panel.custom import Child

from dashboards.files import script, styles
from dashboards.replay.showing import MOST_ALERTS
from dashboards.view import PageView


class ReplayView(PageView):
    """The page in the browser. Messages to it: ``window``, ``frame``, ``ready``, ``about``, ``select``, ``failed``."""

    capacity = param.Integer(MOST_ALERTS)
    limits = param.Dict()
    districts = param.List()
    named = param.Boolean()
    map = Child()

    _esm: ClassVar[str] = script("replay")
    _stylesheets: ClassVar[list[str]] = styles("live", "replay")
