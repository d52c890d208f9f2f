"""The desk's SQL tables, in SQL that SQLite and PostgreSQL both speak.

Times are microseconds since the epoch, UTC: exact, ordered, and the same in
every database. JSON is text. No statement is executed here.
"""

from __future__ import annotations

import sqlalchemy as sa

#: Rises when a table changes in a way that older code cannot read.
VERSION = 1

METADATA = sa.MetaData()

#: Literal, so that SQLite sees that a query with it can use the partial index.
UNRESOLVED = sa.text("state <> 'resolved'")

ALERTS = sa.Table(
    "alerts",
    METADATA,
    sa.Column("alert_id", sa.String(16), primary_key=True),
    sa.Column("revision", sa.BigInteger, nullable=False, unique=True),
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("severity", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("citizen_key", sa.BigInteger, nullable=False),
    sa.Column("citizen_id", sa.Text),
    sa.Column("citizen_name", sa.Text),
    sa.Column("peacescore", sa.Double, nullable=False),
    sa.Column("score", sa.Double, nullable=False),
    sa.Column("threshold", sa.Double, nullable=False),
    sa.Column("worst_peacescore", sa.Double, nullable=False),
    sa.Column("findings", sa.BigInteger, nullable=False),
    sa.Column("action", sa.Text),
    sa.Column("lat", sa.Double),
    sa.Column("lon", sa.Double),
    sa.Column("drone_id", sa.Text),
    sa.Column("time", sa.BigInteger, nullable=False),
    sa.Column("words", sa.Text, nullable=False),
    sa.Column("others", sa.Text, nullable=False),
    sa.Column("report_id", sa.BigInteger, nullable=False),
    # Of the newest bad sighting, which `accepted_at` (of the first) is not.
    sa.Column("latest_accepted_at", sa.BigInteger, nullable=False),
    sa.Column("accepted_at", sa.BigInteger, nullable=False),
    sa.Column("raised_at", sa.BigInteger, nullable=False),
    sa.Column("first_time", sa.BigInteger, nullable=False),
    sa.Column("recovered_at", sa.BigInteger),
    sa.Column("late", sa.Boolean, nullable=False),
    sa.Column("remembered", sa.LargeBinary, nullable=False),
    sa.Index(
        "one_unresolved", "citizen_key", "rule", unique=True, sqlite_where=UNRESOLVED, postgresql_where=UNRESOLVED
    ),
    sa.Index("alerts_by_raised_at", "raised_at"),
    sa.Index("alerts_by_state", "state", "raised_at"),
)

#: How far each source (a partition of a log) has been screened and applied.
SCREENED = sa.Table(
    "screened",
    METADATA,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("stop", sa.BigInteger, nullable=False),
)

#: ``version`` of these tables, and the ``revision`` last given to a change.
META = sa.Table(
    "desk_meta",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)
