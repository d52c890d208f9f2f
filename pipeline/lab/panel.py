"""A server extension of JupyterLab: what the Dask panel hears of a cluster that was shut down.

The panel goes on asking for it, and each time JupyterLab would log an error. An answer
without content is none to it either: it says that the cluster is gone, and asks less and
less often. Nothing is left to be shown in the panes that are open.
"""

from __future__ import annotations

from typing import Any


def _load_jupyter_server_extension(_server: Any) -> None:
    from dask_labextension.dashboardhandler import DaskDashboardHandler  # type: ignore[import-untyped]
    from dask_labextension.manager import manager  # type: ignore[import-untyped]

    pass_on = DaskDashboardHandler.http_get

    async def http_get(handler: Any, cluster_id: str, proxied_path: str) -> None:
        if manager.get_cluster(cluster_id) is None:
            handler.set_status(204)
            handler.finish()
        else:
            await pass_on(handler, cluster_id, proxied_path)

    DaskDashboardHandler.http_get = http_get
