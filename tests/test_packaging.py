"""The copies of the dependencies agree, and what is shipped can be found once installed."""

from __future__ import annotations

import re
import subprocess
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def name_of(requirement: str) -> str:
    """The distribution a requirement asks for, in its normal spelling."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found, requirement
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def pip_list(path: str) -> list[str]:
    environment = yaml.safe_load((ROOT / path).read_text("utf-8"))
    assert any(str(entry).startswith("python") for entry in environment["dependencies"])
    [listed] = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    return listed


def test_the_conda_environment_is_pyproject_and_the_project() -> None:
    assert pip_list("environment.yml") == [*PROJECT["dependencies"], "-e ."]


def test_the_binder_environment_is_pyproject() -> None:
    assert pip_list("binder/environment.yml") == PROJECT["dependencies"]


def test_dependencies_are_sorted_and_once() -> None:
    for listed in [PROJECT["dependencies"], PROJECT["optional-dependencies"]["dev"]]:
        names = [name_of(requirement) for requirement in listed]
        assert names == sorted(set(names))


def test_every_constraint_is_a_plain_pin() -> None:
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines():
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+]+", line), line


def test_every_dependency_is_pinned() -> None:
    pinned = {name_of(line) for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()}
    asked = {name_of(requirement) for requirement in PROJECT["dependencies"]}
    asked |= {name_of(requirement) for requirement in PROJECT["optional-dependencies"]["dev"]}
    assert asked <= pinned


def test_the_built_in_dialects_are_shipped() -> None:
    shipped = {entry.name for entry in resources.files("pipeline").joinpath("dialects").iterdir()}
    assert {"peacewatch.yaml", "kafka-streams.yaml"} <= shipped


def test_shipped_files_match_the_package_data() -> None:
    package_data = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["package-data"]
    for package, patterns in package_data.items():
        matched = {path for pattern in patterns for path in (ROOT / package).glob(pattern)}
        there = {
            path
            for path in (ROOT / package).rglob("*")
            if path.is_file() and path.suffix not in {".py", ".pyc"} and "__pycache__" not in path.parts
        }
        assert there <= matched, f"not shipped: {sorted(map(str, there - matched))}"


@pytest.mark.parametrize("target", ["demo", "test", "lint"])
def test_make_targets_do_their_own_set_up(target: str, tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text("utf-8"), "utf-8")
    for name in ["pyproject.toml", "constraints.txt"]:
        (tmp_path / name).touch()
    planned = subprocess.run(["make", "-n", target], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert planned.index("-m venv") < planned.index("install -c constraints.txt")


def test_the_top_level_is_the_agreed_one() -> None:
    fixed = {"notebooks", "pipeline", "catalogs", "dashboards", "environment.yml", "binder", "tests", "README.md"}
    assert fixed <= {path.name for path in ROOT.iterdir()}
