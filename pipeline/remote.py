"""Tasks that a Dask scheduler passes on unopened.

A scheduler unpacks the tasks that it is given, for which it would have to import what
they use. It has no need to: what a worker is to call is one piece of bytes to it.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from distributed import Client, Future


def submit(client: Client, function: Callable[..., Any], *arguments: Any, **options: Any) -> Future[Any]:
    """Submit ``function(*arguments)`` as a task of its own, under its name; ``options`` are `Client.submit`'s."""
    sealed = pickle.dumps((function, arguments), protocol=pickle.HIGHEST_PROTOCOL)
    return client.submit(call, sealed, key=f"{function.__name__}-{uuid4().hex}", pure=False, **options)


def call(sealed: bytes) -> Any:
    """Call what was sealed, on the worker."""
    function, arguments = pickle.loads(sealed)
    return function(*arguments)
