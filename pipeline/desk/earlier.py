"""One alert with what became of it, and the other alerts of the same citizen.

Reads only, in the transaction of the caller; who looks is audited by whoever shows it.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from pipeline.desk.rows import as_shown
from pipeline.desk.tables import ALERTS, SHOWN


def one_alert(connection: sa.Connection, alert_id: str) -> dict[str, Any] | None:
    """An alert as `Desk.alerts` gives it; None if there is no such alert."""
    row = connection.execute(SHOWN.where(ALERTS.c.alert_id == alert_id)).mappings().first()
    return None if row is None else as_shown(row)


def other_alerts(connection: sa.Connection, citizen_key: int, besides: str, limit: int = 20) -> list[dict[str, Any]]:
    """The other alerts of a citizen, newest first."""
    query = (
        SHOWN.where(ALERTS.c.citizen_key == citizen_key, ALERTS.c.alert_id != besides)
        .order_by(ALERTS.c.first_time.desc(), ALERTS.c.alert_id)
        .limit(limit)
    )
    return [as_shown(row) for row in connection.execute(query).mappings()]
