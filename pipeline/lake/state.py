"""The archive's own small files: the plan of the last commit, and the log partitions in the order of their numbers.

Both are sealed, and each commit's plan repeats the partitions, so that one of the two
may be lost. What a reader gets is whole, or a `StorageError` that names the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.durable import replace
from pipeline.errors import StorageError
from pipeline.lake.stage import Add, from_json, to_json
from pipeline.sealed import seal, unseal

PLAN, SOURCES = "last-commit.json", "sources.json"

#: What is counted of everything that was ever archived.
COUNTS = ("reports", "sightings", "rejects", "duplicates")


@dataclass(frozen=True)
class Plan:
    """One commit as a whole: how far it goes in each source, which files it adds, and what the totals are then."""

    stops: dict[str, int]
    adds: dict[str, list[Add]]
    totals: dict[str, int]
    sources: list[str]

    def to_bytes(self) -> bytes:
        """As it is stored."""
        return seal({"stops": self.stops, "adds": to_json(self.adds), "totals": self.totals, "sources": self.sources})

    @classmethod
    def from_bytes(cls, content: bytes) -> Plan:
        """The inverse of `to_bytes`; `ValueError` if it is damaged."""
        values = unseal(content)
        if not {"stops", "adds", "totals"} <= values.keys() <= {"stops", "adds", "totals", "sources"}:
            raise ValueError("its fields are not those of a plan")
        try:
            plan = cls(values["stops"], from_json(values["adds"]), values["totals"], values.get("sources", []))
        except (TypeError, AttributeError) as error:
            raise ValueError("its files are not those of a plan") from error
        if not (_is_counts(plan.stops) and _is_counts(plan.totals) and plan.totals.keys() == set(COUNTS)):
            raise ValueError("its numbers are not those of a plan")
        return plan


def read_plan(lake: Path) -> Plan | None:
    """The plan of the last commit; None if there was none. Raises `StorageError` if it is damaged."""
    content = _content(lake / PLAN)
    try:
        return None if content is None else Plan.from_bytes(content)
    except ValueError as error:
        raise StorageError(f"{lake / PLAN} is damaged ({error}): `peacewatch verify --repair` makes it anew") from None


def write_plan(lake: Path, plan: Plan) -> None:
    """Make a plan durable in place of the last one."""
    replace(lake / PLAN, plan.to_bytes())


def read_sources(lake: Path) -> list[str]:
    """The log partitions by number; none if there is no such file. Raises `StorageError` if it is damaged."""
    content = _content(lake / SOURCES)
    try:
        return [] if content is None else _sources(content)
    except ValueError as error:
        raise StorageError(
            f"{lake / SOURCES} is damaged ({error}): `peacewatch verify --repair` makes it anew"
        ) from None


def write_sources(lake: Path, sources: Sequence[str]) -> None:
    """Make the log partitions durable."""
    replace(lake / SOURCES, seal({"sources": list(sources)}))


def _sources(content: bytes) -> list[str]:
    if content.lstrip().startswith(b"["):  # of before there were seals
        content = b'{"sources": ' + content + b"}"
    values: Any = unseal(content).get("sources")
    if not isinstance(values, list) or not all(isinstance(each, str) and "/" in each for each in values):
        raise ValueError("it is no list of log partitions")
    return values


def _content(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"{file} cannot be read ({error.strerror}): check the disk") from error


def _is_counts(values: Any) -> bool:
    return isinstance(values, dict) and all(type(each) is int and each >= 0 for each in values.values())
