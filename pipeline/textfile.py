"""Files that people write: read whatever editor saved them, or refused in one sentence."""

from __future__ import annotations

import codecs
from pathlib import Path

from pipeline.errors import UsageError

#: By their byte order marks. UTF-32's begins with that of UTF-16, and nobody's editor writes it.
_MARKED = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, or with a byte order mark in UTF-16; line ends are ``\\n``.

    Raises `UsageError` that names the file if it cannot be read or is in another encoding.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    encoding = next((name for mark, name in _MARKED.items() if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding).replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        bad = data[error.start : error.start + 1].hex()
        raise UsageError(f"{path} is not UTF-8: byte 0x{bad} at {error.start}; save it as UTF-8") from None
