"""What people type, made fit to be stored: no half characters, no control characters, not too long. Pure."""

from __future__ import annotations

import unicodedata
from typing import Any

LONGEST_NOTE = 2_000
#: Fields that hold keys of 64 bits, of which many readers of JSON keep 53.
_KEYS = ("citizen_key", "citizen_keys", "involved")


def tidy(text: str, longest: int = LONGEST_NOTE) -> str:
    """The text without what databases or screens choke on; line breaks stay."""
    kept = (letter for letter in text if letter == "\n" or unicodedata.category(letter) not in ("Cc", "Cs"))
    return "".join(kept).strip()[:longest]


def keys_as_text(value: Any) -> Any:
    """A JSON value in which citizens' keys are texts, however deep they are."""
    if isinstance(value, dict):
        return {name: _texts(each) if name in _KEYS else keys_as_text(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [keys_as_text(each) for each in value]
    return value


def _texts(keys: Any) -> Any:
    if isinstance(keys, list | tuple):
        return [_texts(key) for key in keys]
    return str(keys) if isinstance(keys, int) else keys
