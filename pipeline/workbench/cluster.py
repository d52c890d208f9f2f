"""A Dask cluster for analysis, apart from the one that screens reports."""

from __future__ import annotations

import dask
from distributed import Client
from distributed.comm.addressing import resolve_address

from pipeline.errors import PeacewatchError, UsageError

_CONNECT_S = 20


def client(address: str | None = None) -> Client:
    """A client of the scheduler at ``address``, else of Dask's ``scheduler-address``, else of new local workers.

    Local workers listen on loopback only, and end with the client. Raises `PeacewatchError` if no scheduler
    answers, `UsageError` for what is no address.
    """
    place = address or dask.config.get("scheduler-address", None)
    if not place:
        # An empty setting is none, but Dask takes it for an address.
        with dask.config.set({"scheduler-address": None}):
            return Client(host="127.0.0.1", dashboard_address="127.0.0.1:0")
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
