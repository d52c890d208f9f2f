"""A PostgreSQL server for tests, if one is installed: in a folder of its own, on a socket in there, gone afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from itertools import count
from pathlib import Path
from urllib.parse import urlencode

import sqlalchemy as sa


def programs() -> Path | None:
    """Where a server's programs are, the newest if there are several."""
    if found := shutil.which("initdb"):
        return Path(found).parent
    # Debian keeps them out of the path.
    return max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), default=None)


class Server:
    """A server that is up from here until `stop`; `url` gives each test a schema of its own."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._numbers = count()
        # Not in a test's folder: the path of a socket is short, and another user must get there.
        self._folder = Path(tempfile.mkdtemp(prefix="pw-pg-"))
        self._user = "nobody" if os.geteuid() == 0 else None  # a server refuses to be root's
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        self._run("initdb", "--username=desk", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync")
        where = f"-c listen_addresses= -c unix_socket_directories={self._folder} -c max_connections=200"
        self._run("pg_ctl", "start", "--wait", f"--log={self._folder / 'log'}", f"--options={where}")
        self._engine = sa.create_engine(self._url())

    def url(self) -> str:
        """An SQLAlchemy URL of an empty schema."""
        schema = f"force_{next(self._numbers)}"
        with self._engine.begin() as connection:
            connection.execute(sa.schema.CreateSchema(schema))
        return self._url(options=f"-csearch_path={schema}")

    def stop(self) -> None:
        self._engine.dispose()
        self._run("pg_ctl", "stop", "--wait", "--mode=immediate")
        shutil.rmtree(self._folder)

    def _url(self, **more: str) -> str:
        return f"postgresql+psycopg://desk@/postgres?{urlencode({'host': str(self._folder)} | more)}"

    def _run(self, program: str, *arguments: str) -> None:
        command = [self._programs / program, f"--pgdata={self._folder / 'data'}", *arguments]
        quiet = subprocess.DEVNULL
        subprocess.run(command, user=self._user, cwd="/", check=True, stdin=quiet, stdout=quiet, stderr=quiet)
