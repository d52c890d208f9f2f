"""How Sphinx builds these pages: ``make docs``, or ``sphinx-build -W -b html docs docs/_build``. Needs no network."""

from __future__ import annotations

import sys
from importlib.metadata import version as version_of
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from dashboards.theme import DARK, LIGHT, Theme  # noqa: E402

project = "Peacewatch"
author = "The authors of Peacewatch"
release = version_of("peacewatch")

extensions = ["myst_parser", "reference"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
suppress_warnings = ["config.cache"]


def colours(theme: Theme) -> dict[str, str]:
    """Furo's variables, in the colours of the officers' pages."""
    return {
        "color-brand-primary": theme.accent,
        "color-brand-content": theme.accent,
        "color-brand-visited": theme.accent,
        "color-foreground-primary": theme.ink,
        "color-foreground-secondary": theme.muted,
        "color-foreground-muted": theme.muted,
        "color-background-primary": theme.surface,
        "color-background-secondary": theme.page,
        "color-background-border": theme.edge,
        "color-card-background": theme.raised,
        "color-card-border": theme.edge,
        "color-table-header-background": theme.page,
        "color-table-border": theme.edge,
    }


html_theme = "furo"
html_title = "Peacewatch"
html_static_path = ["_static"]
html_css_files = ["peacewatch.css"]
html_copy_source = False
html_show_copyright = False
html_theme_options = {"light_css_variables": colours(LIGHT), "dark_css_variables": colours(DARK)}
pygments_style = "friendly"
pygments_dark_style = "github-dark"
