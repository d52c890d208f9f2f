"""Drone keys: who may send reports over HTTP.

A key's token is shown once, when it is made; what is stored is its SHA-256,
which is enough for 256 random bits. Keys are never deleted, only revoked, so
that what was once let in can be explained later. They live in the desk's
database beside tables of other processes, and know nothing of HTTP.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex, CreateTable

from pipeline.desk.database import Database
from pipeline.errors import UsageError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: Times are microseconds since the epoch, UTC, as everywhere on the desk.
DRONE_KEYS = sa.Table(
    "drone_keys",
    sa.MetaData(),
    sa.Column("key_id", sa.String(12), primary_key=True),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("token_hash", sa.LargeBinary(32), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("revoked_at", sa.BigInteger),
    sa.Index("drone_keys_by_revoked_at", "revoked_at"),
)


def hash_token(token: str) -> bytes:
    """What is stored of a token, 32 bytes."""
    return hashlib.sha256(token.encode()).digest()


class Keys:
    """The drone keys of one workspace, safe to use from several threads and processes.

    Every method raises `StorageError` if the database cannot be read or written.
    """

    def __init__(self, url: str) -> None:
        """Open the desk's database; the table is made when it is missing. `UsageError` for a wrong ``url``."""
        self._database = Database(url)
        with self._database.making_tables() as connection:
            connection.execute(CreateTable(DRONE_KEYS, if_not_exists=True))
            for index in DRONE_KEYS.indexes:
                connection.execute(CreateIndex(index, if_not_exists=True))

    def create(self, label: str) -> tuple[str, str]:
        """Make a key: its id, and its token ``pwk_<key_id>_<random>``, which cannot be had again."""
        key_id = secrets.token_hex(6)
        token = f"pwk_{key_id}_{secrets.token_urlsafe(32)}"
        row = {"key_id": key_id, "label": label, "token_hash": hash_token(token), "created_at": _now()}
        with self._database.write() as connection:
            connection.execute(DRONE_KEYS.insert(), row)
        return key_id, token

    def revoke(self, key_id: str) -> None:
        """Make a key useless from now on; once more changes nothing. `UsageError` if there is no such key."""
        this = DRONE_KEYS.c.key_id == key_id
        with self._database.write() as connection:
            if connection.execute(sa.select(DRONE_KEYS.c.key_id).where(this)).first() is None:
                raise UsageError(f"there is no key {key_id!r}: `peacewatch keys` lists them", key_id=key_id)
            unrevoked = DRONE_KEYS.c.revoked_at.is_(None)
            connection.execute(DRONE_KEYS.update().where(this, unrevoked).values(revoked_at=_now()))

    def all(self) -> list[dict[str, Any]]:
        """Every key ever made, oldest first: ``key_id``, ``label``, ``created_at``, ``revoked_at`` (UTC or None)."""
        columns = [DRONE_KEYS.c[name] for name in ("key_id", "label", "created_at", "revoked_at")]
        query = sa.select(*columns).order_by(DRONE_KEYS.c.created_at, DRONE_KEYS.c.key_id)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [
            {"key_id": key_id, "label": label, "created_at": _time(created), "revoked_at": _time(revoked)}
            for key_id, label, created, revoked in rows
        ]

    def active_hashes(self) -> set[bytes]:
        """The hashes of all tokens that are good now."""
        query = sa.select(DRONE_KEYS.c.token_hash).where(DRONE_KEYS.c.revoked_at.is_(None))
        with self._database.read() as connection:
            return set(connection.execute(query).scalars())

    def version(self) -> tuple[int, int]:
        """Keys made and keys revoked so far: cheap to ask, and as long as it stays, so does `active_hashes`."""
        query = sa.select(sa.func.count(), sa.func.count(DRONE_KEYS.c.revoked_at)).select_from(DRONE_KEYS)
        with self._database.read() as connection:
            made, revoked = connection.execute(query).one()
        return made, revoked

    def close(self) -> None:
        """Close all connections."""
        self._database.close()


def _now() -> int:
    return (datetime.now(UTC) - _EPOCH) // timedelta(microseconds=1)


def _time(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)
