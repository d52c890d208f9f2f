"""Longitudes beside one another, though the date line may be between them. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np


def beside(lon: Any, middle: float) -> Any:
    """A longitude, or an array of them, moved by whole turns to within 180 degrees of ``middle``."""
    return lon + 360.0 * np.round((middle - lon) / 360.0)
