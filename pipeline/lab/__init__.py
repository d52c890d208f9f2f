"""JupyterLab on a workspace: its environment, its configuration, and the notebooks it begins with.

Nothing here knows of reports or alerts; `pipeline.commands.lab` starts it.
"""
