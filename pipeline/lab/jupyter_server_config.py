"""JupyterLab's configuration, found by ``JUPYTER_CONFIG_PATH``.

It goes before a user's own; the command line goes before it.
"""

import os

from pipeline.lab.server import configuration
from pipeline.workspace import Workspace

c = get_config()  # type: ignore[name-defined]  # noqa: F821 - Jupyter gives it
for section, values in configuration(Workspace.open(os.environ["PEACEWATCH_WORKSPACE"])).items():
    c[section].update(values)
