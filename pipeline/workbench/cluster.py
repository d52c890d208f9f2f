"""A Dask cluster for analysis, apart from the one that screens reports."""

from __future__ import annotations

import ast
import sys
import warnings
from pathlib import Path
from types import FrameType, ModuleType

import dask
from distributed import Client
from distributed.comm.addressing import resolve_address

from pipeline.errors import PeacewatchError, UsageError

_CONNECT_S = 20

_UNGUARDED = (
    'workers are threads here: to have processes, put what the script does below `if __name__ == "__main__":`, '
    "as each process begins with importing the script"
)


def client(address: str | None = None) -> Client:
    """A client of the scheduler at ``address``, else of Dask's ``scheduler-address``, else of new local workers.

    Local workers listen on loopback only, and end with the client. They are processes, but threads for a script that
    is not fit for processes, with a warning. Raises `PeacewatchError` if no scheduler
    answers, `UsageError` for what is no address.
    """
    place = address or dask.config.get("scheduler-address", None)
    if not place:
        # An empty setting is none, but Dask takes it for an address.
        with dask.config.set({"scheduler-address": None}):
            processes = not _is_unguarded(sys._getframe(), sys.modules["__main__"])
            if not processes:
                warnings.warn(_UNGUARDED, stacklevel=2)
            return Client(host="127.0.0.1", protocol="tcp://", dashboard_address="127.0.0.1:0", processes=processes)
    try:
        # Asked first: a client that fails of it would stay in Dask's settings.
        resolve_address(place)
        return Client(place, timeout=_CONNECT_S)
    except (OSError, TimeoutError) as error:
        raise PeacewatchError(
            f"no Dask scheduler answers at {place} ({type(error).__name__}): start one, or use client() without it"
        ) from error
    except ValueError:
        raise UsageError(
            f"{place} is no address of a Dask scheduler: write host and port, such as tcp://127.0.0.1:8786"
        ) from None


def _is_unguarded(frame: FrameType | None, script: ModuleType) -> bool:
    """Whether a script is at work, at a line that a process which imports it would reach, too."""
    file = getattr(script, "__file__", None)
    while frame is not None and not (frame.f_code.co_name == "<module>" and frame.f_globals is script.__dict__):
        frame = frame.f_back
    if frame is None or file is None:
        return False  # a prompt, a notebook, or another thread
    try:
        statements = ast.parse(Path(file).read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return False
    here = next((one for one in statements if one.lineno <= frame.f_lineno <= (one.end_lineno or 0)), None)
    return here is not None and not (isinstance(here, ast.If) and "__name__" in ast.dump(here.test))
