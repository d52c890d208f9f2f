"""What people type, made fit to be stored: no half characters, no control characters, not too long. Pure."""

from __future__ import annotations

import unicodedata

LONGEST_NOTE = 2_000


def tidy(text: str, longest: int = LONGEST_NOTE) -> str:
    """The text without what databases or screens choke on; line breaks stay."""
    kept = (letter for letter in text if letter == "\n" or unicodedata.category(letter) not in ("Cc", "Cs"))
    return "".join(kept).strip()[:longest]
