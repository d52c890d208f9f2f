"""Small JSON files that show when a byte of them is not as it was written.

A seal is a CRC-32 in the last field, over everything else: it finds any damage in up
to four neighbouring bytes for certain, and other damage but for one time in four thousand
million. It keeps nobody from changing a file on purpose. What is sealed is plain JSON still.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from typing import Any

_NONE = b"00000000"
_SEAL = re.compile(rb'"crc32": "([0-9a-f]{8})"\}*\n?\Z')

_TRIED_BYTES = 8_000

#: The last field of what is to be `closed`.
OPEN_SEAL = {"crc32": _NONE.decode()}


def checksum(content: bytes | memoryview) -> str:
    """The CRC-32 of some bytes, eight hexadecimal digits."""
    return f"{zlib.crc32(content):08x}"


def seal(values: Mapping[str, Any]) -> bytes:
    """A JSON object in one line with a seal; `unseal` reads it back."""
    return closed(json.dumps({**values, **OPEN_SEAL}).encode())


def unseal(content: bytes) -> dict[str, Any]:
    """The values of a JSON object, sealed or of before there were seals; `ValueError` if it is damaged."""
    if is_whole(content) is False:
        raise ValueError("it does not match its checksum")
    values = json.loads(content)
    if not isinstance(values, dict):
        raise ValueError("it is no JSON object")
    values.pop("crc32", None)
    return values


def closed(content: bytes) -> bytes:
    """Text that ends with an open seal, eight zeros, with the seal closed."""
    at = _SEAL.search(content)
    if at is None:
        raise ValueError("there is no seal to close")
    return content[: at.start(1)] + checksum(content).encode() + content[at.end(1) :]


def mended(content: bytes) -> bytes | None:
    """Sealed text as it was, if a single byte of it changed; None if that is not it, or it is too long to try."""
    for at in range(len(content) if len(content) <= _TRIED_BYTES else 0):
        for value in range(256):
            tried = content[:at] + bytes([value]) + content[at + 1 :]
            if is_whole(tried):
                return tried
    return None


def is_whole(content: bytes) -> bool | None:
    """Whether sealed text is as it was written; None if it has no seal."""
    at = _SEAL.search(content)
    if at is None:
        return None
    return checksum(content[: at.start(1)] + _NONE + content[at.end(1) :]).encode() == at[1]
