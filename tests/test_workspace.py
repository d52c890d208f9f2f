"""A workspace: made once, opened with checked settings, each wrong one named."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.workspace import FILE, Settings, Workspace, default_toml, load_settings, parse_comparison


def test_a_new_workspace_opens_with_the_defaults(tmp_path: Path) -> None:
    made = Workspace.create(tmp_path / "lyon", "Police of Lyon")
    opened = Workspace.open(tmp_path / "lyon", environ={})
    assert opened.settings.force.name == "Police of Lyon"
    assert opened.settings.model_copy(update={"force": Settings().force}) == Settings()
    assert opened.secret == made.secret
    assert len(opened.secret) == 64


def test_the_secret_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    Workspace.create(tmp_path)
    [secret] = [path for path in tmp_path.iterdir() if path.name != FILE]
    assert secret.stat().st_mode & 0o077 == 0


def test_a_workspace_is_made_once(tmp_path: Path) -> None:
    secret = Workspace.create(tmp_path).secret
    with pytest.raises(UsageError, match="is a workspace already"):
        Workspace.create(tmp_path)
    assert Workspace.open(tmp_path, environ={}).secret == secret


def test_an_empty_directory_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is not a workspace: run `peacewatch --workspace .* init`"):
        Workspace.open(tmp_path, environ={})


def test_a_lost_secret_is_named(tmp_path: Path) -> None:
    made = Workspace.create(tmp_path)
    (tmp_path / "secret.key").unlink()
    with pytest.raises(UsageError, match=r"secret\.key is missing"):
        _ = Workspace.open(made.root, environ={}).secret


def test_the_commented_file_names_every_setting_with_its_meaning() -> None:
    text = default_toml("X")
    values = tomllib.loads(text)
    for section, model in Settings.model_fields.items():
        kind = type(model.default)
        assert list(values[section]) == list(kind.model_fields)
        for field in kind.model_fields.values():
            assert field.description
            assert field.description in text


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_force_name_survives_the_file(name: str) -> None:
    assert load_settings(default_toml(name), {}).force.name == name


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[rules]\nhigh = 'ten'", r"rules\.high = 'ten' is wrong: write a comparison"),
        ("[force]\ntimezone = 'Mars'", r"force\.timezone = 'Mars' is wrong: use an IANA name"),
        ("[cluster]\nscheduler = 'host:8786'", r"cluster\.scheduler = 'host:8786' is wrong: use \"tcp://HOST:PORT\""),
        ("[log]\npartitions = 0", r"log\.partitions = 0 is wrong: .*greater than or equal to 1"),
        ("[log]\nrentention_h = 2", r"log\.rentention_h is not a setting"),
        ("[lo]\nurl = 'x'", r"lo is not a setting"),
        ("[log\n", r"is not valid TOML"),
        ("[area]\nsouth = nan", r"area\.south = nan is wrong"),
    ],
)
def test_a_wrong_setting_is_named_with_what_would_be_right(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        load_settings(text, {})


def test_the_environment_overrides_the_file() -> None:
    settings = load_settings("[gateway]\nport = 1", {"PEACEWATCH_GATEWAY_PORT": "2", "PEACEWATCH_GATEWAY_OPEN": "true"})
    assert (settings.gateway.port, settings.gateway.open) == (2, True)


def test_a_wrong_value_in_the_environment_is_named() -> None:
    with pytest.raises(UsageError, match=r"gateway\.port = 'many' is wrong"):
        load_settings("", {"PEACEWATCH_GATEWAY_PORT": "many"})


def test_relative_places_are_in_the_workspace_and_absolute_ones_are_kept(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path)
    assert workspace.log_url == f"sqlite:///{tmp_path}/log.sqlite"
    assert workspace.lake_path == tmp_path / "lake"
    assert workspace.resolve("sqlite:////var/x.sqlite") == "sqlite:////var/x.sqlite"
    assert workspace.resolve("postgresql+psycopg://host/db") == "postgresql+psycopg://host/db"


@pytest.mark.parametrize(("text", "parsed"), [("<= 10", ("<=", 10.0)), (" >-1.5e2 ", (">", -150.0))])
def test_comparisons_are_read_as_written(text: str, parsed: tuple[str, float]) -> None:
    assert parse_comparison(text) == parsed


@given(st.sampled_from(["<=", "<", ">=", ">"]), st.floats(allow_nan=False, allow_infinity=False))
def test_every_comparison_with_a_number_is_read(operator: str, number: float) -> None:
    assert parse_comparison(f"{operator} {number!r}") == (operator, number)


@pytest.mark.parametrize("text", ["10", "= 10", "<= ten", "<= 10 points", "", "<= nan", "<= inf"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write a comparison"):
        parse_comparison(text)


def test_an_old_key_is_kept_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    key = Workspace.create(tmp_path / "force").secret
    (tmp_path / "force" / "peacewatch.toml").unlink()
    assert Workspace.create(tmp_path / "force").secret == key
    (tmp_path / "force" / "secret.key").write_text("")
    with pytest.raises(UsageError, match="missing or damaged"):
        _ = Workspace.open(tmp_path / "force").secret
