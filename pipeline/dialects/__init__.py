"""Wire formats → canonical tables and rejects, by a YAML mapping and columnar code."""

from pipeline.dialects.decode import Checked, Decoded, check, decode, rejected
from pipeline.dialects.mapping import (
    Dialect,
    builtin_dialects,
    dialect_lost,
    is_dialect_lost,
    load_dialect,
    workspace_dialect,
)
from pipeline.dialects.parse import Reject

__all__ = [
    "Checked",
    "Decoded",
    "Dialect",
    "Reject",
    "builtin_dialects",
    "check",
    "decode",
    "dialect_lost",
    "is_dialect_lost",
    "load_dialect",
    "rejected",
    "workspace_dialect",
]
