"""The look at the list of live alerts, which names people: in the audit once for each open page.

The `Feeds` and the page's map both show it, whichever is asked first; neither shows
anything before the row is there.
"""

from __future__ import annotations

import threading
from weakref import WeakSet

from dashboards.visit import Visit
from pipeline.desk.audit import Actor
from pipeline.desk.roles import Right

LISTED = "looked at the live list"

_lock = threading.Lock()
_looked: WeakSet[Visit] = WeakSet()


def look_at_list(visit: Visit) -> Actor:
    """Check the right, and write to the audit that somebody looks, unless it is there. Raises as `Visit.look` does."""
    with _lock:
        if visit in _looked:
            return visit.require(Right.SEE_PEOPLE)
        actor = visit.look(Right.SEE_PEOPLE, LISTED)
        _looked.add(visit)
        return actor
