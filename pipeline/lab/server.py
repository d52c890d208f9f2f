"""How JupyterLab is configured for a workspace: where it begins, and the dashboard's tile.

The dashboard is started when its tile is first used, on loopback, and reached below
JupyterLab's own address: through one port, a hub or a tunnel. It keeps its own
sign-in; JupyterLab has checked where a websocket comes from before it passes it on.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pipeline.workspace import Workspace

#: Below the folder that JupyterLab shows.
FIRST = "peacewatch/00_start_here.ipynb"
_ICON = Path(__file__).parent / "peacewatch.svg"
_PATIENCE_S = 60


def configuration(workspace: Workspace) -> dict[str, Any]:
    """Jupyter's settings, by class."""
    begin = {"default_url": f"/lab/tree/{FIRST}"}
    return {
        "ServerApp": {
            "ip": "127.0.0.1",
            "root_dir": str(notebooks_of(workspace)),
            "jpserver_extensions": {"pipeline.lab.panel": True},
            **begin,
        },
        # JupyterLab asks nobody on the internet whether there is news.
        "LabApp": {**begin, "news_url": None, "check_for_updates_class": "jupyterlab.NeverCheckForUpdate"},
        "JupyterNotebookApp": begin,
        "ServerProxy": {"servers": {"peacewatch": _dashboard(workspace)}},
    }


def notebooks_of(workspace: Workspace) -> Path:
    """The folder that JupyterLab shows: the shipped notebooks' one is in it, and so is what else people keep there."""
    return workspace.root / "notebooks"


def _dashboard(workspace: Workspace) -> dict[str, Any]:
    command = [sys.executable, "-m", "pipeline.cli", "--workspace", _literal(workspace.root), "dashboard"]
    return {
        "command": [*command, "--host", "127.0.0.1", "--port", "{port}"],
        # Plain, whatever the force's own dashboard is: JupyterLab asks it, on this machine.
        "environment": {
            f"PEACEWATCH_DASHBOARD_{name}": "" for name in ("CERTIFICATE", "CERTIFICATE_KEY", "URL", "PATH")
        },
        "timeout": _PATIENCE_S,
        "request_headers_override": {"Origin": "http://localhost:{port}"},
        # In the category "Notebook" alone does JupyterLab show a tile's picture.
        "launcher_entry": {"title": "Peacewatch dashboard", "icon_path": str(_ICON), "category": "Notebook"},
    }


def _literal(path: Path) -> str:
    """The path for a template that has a meaning for braces."""
    return str(path).replace("{", "{{").replace("}", "}}")
