"""The colours of the pages, light and dark; the style sheet and the map both take them from here.

The hues that mean something are from Okabe and Ito's palette, which people with
any common colour blindness can tell apart, darkened or lightened until text in
them has a contrast of 4.5 : 1 on its background. A colour never stands alone: there
is always a word or a shape with it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Theme:
    """One set of colours, as CSS values."""

    page: str
    surface: str
    raised: str
    ink: str
    muted: str
    edge: str
    accent: str
    good: str
    critical: str
    high: str
    recovered: str
    critical_text: str
    high_text: str
    recovered_text: str
    outside: str
    grid: str

    def css(self) -> str:
        """The colours as CSS custom properties."""
        return "".join(f"--{name.replace('_', '-')}:{value};" for name, value in asdict(self).items())


LIGHT = Theme(
    page="#f3f5f7",
    surface="#ffffff",
    raised="#f7f9fb",
    ink="#17212b",
    muted="#566473",
    edge="#d8dfe6",
    accent="#005f9e",
    good="#00724f",
    critical="#d55e00",
    high="#e69f00",
    recovered="#2f8fc4",
    critical_text="#a84300",
    high_text="#7a5300",
    recovered_text="#0b6596",
    outside="#e9edf1",
    grid="#eef1f4",
)

DARK = Theme(
    page="#0f151b",
    surface="#18212a",
    raised="#1f2a35",
    ink="#e8eef3",
    muted="#9aabba",
    edge="#2d3a47",
    accent="#6cbcf0",
    good="#3ecf9d",
    critical="#e8722a",
    high="#f0b429",
    recovered="#56b4e9",
    critical_text="#ff9a5c",
    high_text="#f5c451",
    recovered_text="#7cc8f5",
    outside="#121a21",
    grid="#212c37",
)


def style_sheet() -> str:
    """Both themes: the dark one wherever ``data-theme="dark"`` is set on the page."""
    return f":root{{color-scheme:light;{LIGHT.css()}}}:root[data-theme=dark]{{color-scheme:dark;{DARK.css()}}}"
