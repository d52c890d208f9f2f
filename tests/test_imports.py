"""Imports point one way: the table in docs/architecture.md is the rule."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("pipeline", "dashboards")
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}


def table() -> list[list[str]]:
    """The units of each row, from top to bottom."""
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    section = page.partition("## Which way imports point")[2].partition("\n## ")[0]
    return [re.findall(r"`(\w+)`", cells) for cells in re.findall(r"^\|[^|]*\|(.+)\|$", section, re.MULTILINE)[2:]]


def unit_of(module: str) -> str:
    """The part of a package that a module belongs to: what the table has in its rows."""
    package, *inner = module.split(".")
    return package if package == "dashboards" or not inner else inner[0]


def imports(nodes: Iterable[ast.AST]) -> Iterator[tuple[int, str]]:
    """Line and unit of whatever of ours these nodes import."""
    for node in nodes:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module in PACKAGES:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        yield from ((node.lineno, unit_of(name)) for name in names if name.split(".")[0] in PACKAGES)


def test_every_part_is_in_the_table_once() -> None:
    named = [unit for units in table() for unit in units]
    assert sorted(named) == sorted({unit_of(module) for module in MODULES} - {"pipeline"})


def test_imports_point_down() -> None:
    level = {unit: depth for depth, units in enumerate(reversed(table())) for unit in units}
    wrong = []
    for module, path in MODULES.items():
        own = unit_of(module)
        for line, other in imports(ast.parse(path.read_text("utf-8")).body):
            if other != own and level[other] >= level[own]:
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {own} must not import {other}")
    assert not wrong


def test_the_pipeline_does_without_pages() -> None:
    for module, path in MODULES.items():
        if unit_of(module) not in ("dashboards", "commands"):
            assert "dashboards" not in {unit for _, unit in imports(ast.walk(ast.parse(path.read_text("utf-8"))))}, path


def test_commands_import_late() -> None:
    for path in (ROOT / "pipeline" / "commands").glob("*.py"):
        early = {unit for _, unit in imports(ast.parse(path.read_text("utf-8")).body)}
        assert early <= {"commands", "errors"}, path.name
