"""A Dask cluster for analysis, apart from the one that screens reports."""

from __future__ import annotations

import dask
from distributed import Client, LocalCluster

from pipeline.errors import PeacewatchError

_CONNECT_S = 20


def client(address: str | None = None) -> Client:
    """A client of the scheduler at ``address``, else of Dask's ``scheduler-address``, else of new local workers.

    Local workers listen on loopback only. Raises `PeacewatchError` if no scheduler answers.
    """
    place = address or dask.config.get("scheduler-address", None)
    if not place:
        return Client(LocalCluster(host="127.0.0.1", dashboard_address="127.0.0.1:0"))
    try:
        return Client(place, timeout=_CONNECT_S)
    except (OSError, TimeoutError) as error:
        raise PeacewatchError(
            f"no Dask scheduler answers at {place} ({type(error).__name__}): start one, or use client() without it"
        ) from error
