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

#: When the report that opened an alert was where on its way; older alerts have no row.
ALERT_STAMPS = sa.Table(
    "alert_stamps",
    METADATA,
    sa.Column("alert_id", sa.String(16), primary_key=True),
    sa.Column("sliced_at", sa.BigInteger, nullable=False),
    sa.Column("started_at", sa.BigInteger, nullable=False),
    sa.Column("decoded_at", sa.BigInteger, nullable=False),
    sa.Column("screened_at", sa.BigInteger, nullable=False),
)

#: How far each source (a partition of a log) has been screened and applied.
SCREENED = sa.Table(
    "screened",
    METADATA,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("stop", sa.BigInteger, nullable=False),
)

#: How many reports of a drone were odd in some way, and when the last of them was screened.
ODD = sa.Table(
    "odd_reports",
    METADATA,
    sa.Column("drone_id", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("reports", sa.BigInteger, nullable=False),
    sa.Column("last_at", sa.BigInteger, nullable=False),
    sa.Index("odd_reports_by_time", "last_at"),
)

#: What officers did with an alert; an alert without a row was not touched yet.
CASES = sa.Table(
    "cases",
    METADATA,
    sa.Column("alert_id", sa.String(16), primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),  # counts decisions: two on the same one compete
    sa.Column("acknowledged_at", sa.BigInteger),
    sa.Column("acknowledged_by", sa.Text),
    sa.Column("assigned_to", sa.Text),
    sa.Column("resolved_at", sa.BigInteger),
    sa.Column("resolved_by", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("escalated_at", sa.BigInteger),
    sa.Column("silenced_until", sa.BigInteger),
    sa.Column("comments", sa.BigInteger, nullable=False),
)

#: What readers get of an alert: its own columns, those of its case, which it may not have yet, and its stamps.
SHOWN = sa.select(
    ALERTS,
    sa.func.coalesce(CASES.c.version, 0).label("case_version"),
    *(column for column in CASES.c if column.name not in ("alert_id", "version", "comments")),
    sa.func.coalesce(CASES.c.comments, 0).label("comments"),
    *(column for column in ALERT_STAMPS.c if column.name != "alert_id"),
).select_from(
    ALERTS.outerjoin(CASES, CASES.c.alert_id == ALERTS.c.alert_id).outerjoin(
        ALERT_STAMPS, ALERT_STAMPS.c.alert_id == ALERTS.c.alert_id
    )
)

#: Quiet for a while: of one alert's citizen, or of all who were alerted around its place.
SILENCES = sa.Table(
    "silences",
    METADATA,
    sa.Column("silence_id", sa.String(16), primary_key=True),
    sa.Column("alert_id", sa.String(16), nullable=False),
    sa.Column("scope", sa.Text, nullable=False),  # citizen or place
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("lat", sa.Double),
    sa.Column("lon", sa.Double),
    sa.Column("radius_m", sa.Double),
    sa.Column("started_at", sa.BigInteger, nullable=False),
    sa.Column("until", sa.BigInteger, nullable=False),
    sa.Column("started_by", sa.Text, nullable=False),
    sa.Column("worst_peacescore", sa.Double, nullable=False),  # a lower one breaks it
    sa.Column("involved", sa.Text, nullable=False),  # JSON: citizen keys; another one breaks it
    sa.Column("ended_at", sa.BigInteger),
    sa.Column("ended_why", sa.Text),  # lifted, resolved, worse or new person
    sa.Index("silences_by_until", "until"),
)

#: People who may sign in. Never deleted, only disabled.
USERS = sa.Table(
    "users",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("display_name", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("password_hash", sa.Text),  # argon2id; none for those who sign in elsewhere
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("disabled_at", sa.BigInteger),
)

#: Whose an account at an OpenID Connect provider is: theirs who came with it first.
ACCOUNTS = sa.Table(
    "accounts",
    METADATA,
    sa.Column("user_name", sa.Text, primary_key=True),
    sa.Column("issuer", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.UniqueConstraint("issuer", "subject"),
)

#: Who is signed in. Of the cookie's token only a hash is kept.
SESSIONS = sa.Table(
    "sessions",
    METADATA,
    sa.Column("session_id", sa.String(12), primary_key=True),
    sa.Column("token_hash", sa.LargeBinary(32), nullable=False, unique=True),
    sa.Column("user_name", sa.Text, nullable=False),
    sa.Column("started_at", sa.BigInteger, nullable=False),
    sa.Column("seen_at", sa.BigInteger, nullable=False),
    sa.Column("ended_at", sa.BigInteger),
    sa.Column("purpose", sa.Text),
    sa.Index("sessions_by_user", "user_name"),
)

#: Tries to sign in, for the lock after too many wrong ones.
SIGN_INS = sa.Table(
    "sign_ins",
    METADATA,
    sa.Column("try_id", sa.String(16), primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("failed", sa.Boolean, nullable=False),
    sa.Index("sign_ins_by_name", "name", "at"),
)

#: Every change and every look at a person, each row chained to the one before by ``mac``.
AUDIT = sa.Table(
    "audit",
    METADATA,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("user_name", sa.Text, nullable=False),
    sa.Column("session_id", sa.String(12)),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("alert_id", sa.String(16)),
    sa.Column("citizen_key", sa.BigInteger),
    sa.Column("purpose", sa.Text),
    sa.Column("details", sa.Text, nullable=False),  # JSON
    sa.Column("note", sa.Text),
    sa.Column("note_digest", sa.LargeBinary(32)),  # stays when a note is erased
    sa.Column("mac", sa.LargeBinary(32), nullable=False),
    sa.Index("audit_by_alert", "alert_id"),
    sa.Index("audit_by_user", "user_name", "at"),
    sa.Index("audit_by_citizen", "citizen_key"),
)

#: ``version`` of these tables, the ``revision`` last given to a change, the ``audit`` number last given,
#: how often an alert was ``reopened``, and the ``tries`` to sign in.
META = sa.Table(
    "desk_meta",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)
