"""Times: from what a sender writes to the moment that is stored, and what a wrong clock may not do."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.clocks import AHEAD_US, BEHIND_US, all_count_from, counts_from, is_believable, is_late
from pipeline.dialects import Decoded, Dialect, check, decode, load_dialect
from pipeline.errors import UsageError
from pipeline.log.sqlite import accepted_now

DOCS = Path(__file__).parents[1] / "docs"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ACCEPTED = datetime(2026, 11, 2, 7, 31, tzinfo=UTC).timestamp()
_MAPPING = """report: {drone_id: {path: d}, time: {path: t%s}, lat: {path: y}, lon: {path: x}}
citizens: {path: c, id: {path: i}, score: {path: s}}
"""


def dialect_with(folder: Path, how: str = "") -> Dialect:
    """A dialect whose time is read in some way, such as ``unit: s``."""
    file = folder / "t.yaml"
    file.write_text(_MAPPING % (f", {how}" if how else ""), "utf-8")
    return load_dialect(str(file))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Dialect:
    return dialect_with(tmp_path_factory.mktemp("plain"))


def lines_of(*values: str) -> bytes:
    """A report for each JSON value of a time."""
    return b"".join(
        f'{{"d":"pw-{i}","t":{value},"y":48.85,"x":2.35,"c":[{{"i":"c","s":50}}]}}\n'.encode()
        for i, value in enumerate(values)
    )


def decoded(dialect: Dialect, data: bytes, accepted_at: float = ACCEPTED) -> Decoded:
    return decode(
        data,
        dialect,
        secret="5e" * 32,
        first_report_id=0,
        accepted_at=[(data.count(b"\n"), accepted_at)],
        max_report_bytes=4000,
    )


def read(dialect: Dialect, *values: str, accepted_at: float = ACCEPTED) -> list[datetime]:
    """The times of reports that are all taken."""
    tables = decoded(dialect, lines_of(*values), accepted_at)
    assert tables.rejects["reason"].to_pylist() == []
    found: list[datetime] = tables.reports["time"].to_pylist()
    return found


# --- what is accepted, as the docs say --------------------------------------------


def documented() -> list[tuple[str, str, str]]:
    """The rows of the tables of docs/dialects.md."""
    page = (DOCS / "dialects.md").read_text("utf-8").partition("\n## Times")[2]
    rows = re.findall(r"^\| `(.+?)` \| (?:`(.+?)`)? ?\| (.+?) \|$", page, re.MULTILINE)
    assert len(rows) > 40
    return rows


@pytest.mark.parametrize(("value", "how", "outcome"), documented())
def test_the_documented_table_is_what_is_accepted(value: str, how: str, outcome: str, tmp_path: Path) -> None:
    dialect = dialect_with(tmp_path, how)
    # On a line in order, and on one that only another reader takes.
    plain, odd = lines_of(value), lines_of(value).replace(b'"y"', b'"deep":' + b"[" * 99 + b"]" * 99 + b',"y"')
    for data in (plain, odd):
        tables = decoded(dialect, data)
        reasons = tables.rejects["reason"].to_pylist()
        assert [reject.reason for reject in check(data, dialect, 4000).rejects] == reasons
        if outcome.startswith("rejected: "):
            [reason] = reasons
            assert outcome.removeprefix("rejected: ") in reason
            assert reason.startswith("t ")
        else:
            assert reasons == []
            assert f"{tables.reports['time'][0].as_py():%Y-%m-%d %H:%M:%S.%f}".removesuffix(".000000") == outcome


_OFFSETS = st.integers(-23 * 60 - 59, 23 * 60 + 59)
_MOMENTS = st.datetimes(datetime(2000, 1, 2), datetime(2099, 12, 30))


@settings(deadline=None, max_examples=300)
@given(_MOMENTS, _OFFSETS, st.integers(0, 9), st.sampled_from("Tt "), st.booleans())
def test_what_strict_rfc_3339_readers_read_is_read_to_the_same_microsecond(
    plain: Dialect, local: datetime, offset_min: int, digits: int, separator: str, zulu: bool
) -> None:
    zone = UTC if zulu else timezone(timedelta(minutes=offset_min))
    fraction = f"{local.microsecond:06}987"[:digits]
    local = local.replace(microsecond=int(f"{fraction:0<6}"[:6] or 0), tzinfo=zone)
    sign, hours, minutes = "-" if offset_min < 0 else "+", *divmod(abs(offset_min), 60)
    tail = "z" if zulu and digits % 2 else "Z" if zulu else f"{sign}{hours:02}:{minutes:02}"
    text = f"{local:%Y-%m-%d}{separator}{local:%H:%M:%S}{'.' * bool(digits)}{fraction}{tail}"
    assert read(plain, json.dumps(text)) == [local]


@settings(deadline=None, max_examples=200)
@given(st.text("0123456789-+:.,TZ eE\\/\u00e9", max_size=40) | st.text(max_size=70) | st.floats() | st.integers())
def test_whatever_stands_there_is_read_or_rejected_alike_by_intake_and_decoding(plain: Dialect, value: object) -> None:
    data = lines_of(json.dumps(value, ensure_ascii=False))
    tables = decoded(plain, data)
    assert tables.reports.num_rows + tables.rejects.num_rows == 1
    assert [reject.reason for reject in check(data, plain, 4000).rejects] == tables.rejects["reason"].to_pylist()


@settings(deadline=None)
@given(st.integers(946_684_800_000_000, 4_102_444_799_999_999), st.sampled_from(["s", "ms", "us"]), st.booleans())
def test_counts_are_exact_to_the_microsecond(
    tmp_path_factory: pytest.TempPathFactory, moment: int, unit: str, quoted: bool
) -> None:
    dialect = dialect_with(tmp_path_factory.getbasetemp(), f"unit: {unit}")
    scale = {"s": 1_000_000, "ms": 1000, "us": 1}[unit]
    text = f"{moment // scale}.{str(moment % scale).zfill(len(str(scale)) - 1)}" if scale > 1 else str(moment)
    value = f'"{text}"' if quoted else text
    assert read(dialect, value) == [EPOCH + timedelta(microseconds=moment)]


def test_of_two_times_nobody_can_tell_which_is_meant_and_escapes_make_no_difference(
    plain: Dialect, tmp_path: Path
) -> None:
    data = b'{"d":"a","t":"2026-11-02T07:30:00Z","y":1,"x":2,"c":[{"i":"c","s":5}],"t":"2026-11-02T07:31:00\\u005a"}\n'
    assert decoded(plain, data).rejects["reason"].to_pylist() == ["t stands twice in one object: send it once"]
    assert read(plain, r'"2026-11-02T07:31:00\u005a"') == [datetime(2026, 11, 2, 7, 31, tzinfo=UTC)]
    slashes = dialect_with(tmp_path, 'format: "%d/%m/%Y %H:%M"')
    assert read(slashes, r'"02\/11\/2026 07:30"') == [datetime(2026, 11, 2, 7, 30, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("members", "minute"),
    [
        ('"meta.t":"2026-11-02T07:31:00Z"', 31),
        ('"meta.t":"2026-11-02T07:31:00Z","meta":{"t":"2026-11-02T07:32:00Z"}', 32),
        ('"meta":{"t":"2026-11-02T07:32:00Z"},"meta.t":"2026-11-02T07:31:00Z"', 32),
        ('"meta":{"t":null},"meta.t":"2026-11-02T07:31:00Z"', 31),
        ('"meta.t":"2026-11-02T07:31:00Z","meta":{"t":null}', 31),
        ('"meta.t":1793604660000,"meta":{"t":1793604720000}', 32),
    ],
)
def test_a_time_may_have_a_name_with_dots(members: str, minute: int, tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_text((_MAPPING % "").replace("path: t", "path: meta.t"), "utf-8")
    tables = decoded(load_dialect(str(file)), lines_of("1").replace(b'"t":1', members.encode()))
    assert tables.rejects["reason"].to_pylist() == []
    assert tables.reports["time"].to_pylist() == [datetime(2026, 11, 2, 7, minute, tzinfo=UTC)]


def test_what_should_hold_the_time_and_is_no_object_is_named(tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_text((_MAPPING % "").replace("path: t", "path: meta.t"), "utf-8")
    reasons = decoded(load_dialect(str(file)), lines_of("1").replace(b'"t":1', b'"meta":5')).rejects["reason"]
    assert "meta" in reasons.to_pylist()[0]


@pytest.mark.parametrize("path", ["meta.t", "rows[1].t", "rows[1]"])
def test_a_time_may_stand_in_objects_and_lists(path: str, tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_text((_MAPPING % "").replace("path: t", f'path: "{path}"'), "utf-8")
    moment = '"2026-11-02T07:30:00Z"'
    value = {"meta.t": f'"meta":{{"t":{moment}}}', "rows[1].t": f'"rows":[{{"t":"x"}},{{"t":{moment}}}]'}
    inside = value.get(path, f'"rows":["x",{moment}]')
    data = lines_of("1").replace(b'"t":1', inside.encode())
    tables = decoded(load_dialect(str(file)), data)
    assert tables.rejects["reason"].to_pylist() == []
    assert tables.reports["time"].to_pylist() == [datetime(2026, 11, 2, 7, 30, tzinfo=UTC)]


# --- zones ------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["zone: Europe/Paris", 'format: "%Y-%m-%dT%H:%M:%S", zone: Europe/Paris'])
def test_both_passes_of_the_repeated_hour_are_read_as_they_come(how: str, tmp_path: Path) -> None:
    dialect = dialect_with(tmp_path, how)
    first, second = (datetime(2026, 10, 25, hour, 30, tzinfo=UTC) for hour in (0, 1))
    for moment in (first, second):
        assert read(dialect, '"2026-10-25T02:30:00"', accepted_at=moment.timestamp() + 2) == [moment]
    assert read(dialect, '"2026-10-25T02:30:00"') == [second], "a report that comes later is of the second pass"
    assert not check(lines_of('"2026-10-25T02:30:00"'), dialect, 4000).rejects


@pytest.mark.parametrize("how", ["zone: Europe/Paris", 'format: "%Y-%m-%dT%H:%M:%S", zone: Europe/Paris'])
def test_the_skipped_hour_is_read_as_if_the_clock_stood(how: str, tmp_path: Path) -> None:
    dialect = dialect_with(tmp_path, how)
    found = read(dialect, *(f'"2026-03-29T{clock}"' for clock in ("01:59:59", "02:00:00", "02:30:00", "03:00:00")))
    assert [f"{moment:%H:%M:%S}" for moment in found] == ["00:59:59", "01:00:00", "01:30:00", "01:00:00"]


@settings(deadline=None, max_examples=200)
@given(
    st.datetimes(datetime(2000, 1, 2), datetime(2099, 12, 30)),
    st.sampled_from(["Europe/Paris", "America/Sao_Paulo", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kolkata"]),
)
def test_a_report_that_comes_at_once_is_read_as_its_clock_meant_it(moment: datetime, name: str) -> None:
    from pipeline.dialects.zones import to_moments

    moment = moment.replace(tzinfo=UTC)
    local = moment.astimezone(ZoneInfo(name)).replace(tzinfo=UTC)
    local_us, now_us = (np.array([(one - EPOCH) // timedelta(microseconds=1)]) for one in (local, moment))
    assert to_moments(local_us, name, now_us + 1_000_000).tolist() == now_us.tolist()


# --- formats ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("%Y-%m-%d", "lacks the hour"),
        ("%H:%M:%S", "lacks the day"),
        ("%F %H", "lacks the minute"),
        ("%F %I:%M", "which half of the day"),
        ("%F %T %Z", "%Z, a name that several zones share"),
        ("%c", "%c, which is not read"),
        ("%F %T%", "%, which is not read"),
    ],
)
def test_a_format_that_cannot_be_read_is_refused_with_the_dialect(text: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=re.escape(reason)) as refused:
        dialect_with(tmp_path, f'format: "{text}"')
    assert "report.time.format" in refused.value.message


@pytest.mark.parametrize("name", ["localtime", "Factory", "Mars/Olympus", "Europe/../localtime"])
def test_a_zone_that_others_do_not_know_is_refused_with_the_dialect(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="IANA"):
        dialect_with(tmp_path, f"zone: {name}")


# --- clocks -----------------------------------------------------------------------

_US = st.integers(946_684_800_000_000, 4_102_444_800_000_000)


@given(_US, _US)
def test_a_report_counts_from_no_later_than_it_came(time_us: int, accepted_us: int) -> None:
    counted = counts_from(time_us, accepted_us)
    assert counted <= accepted_us
    assert counted >= accepted_us - BEHIND_US
    if is_believable(time_us, accepted_us):
        assert -BEHIND_US <= time_us - accepted_us <= AHEAD_US
        assert counted == min(time_us, accepted_us)
    else:
        assert counted == accepted_us
    assert all_count_from(np.array([time_us]), np.array([accepted_us])).tolist() == [counted]


@given(_US, st.integers(0, 10**15), st.integers(0, 10**10))
def test_a_report_is_late_by_its_own_acceptance_alone(accepted_us: int, age_us: int, late_after_us: int) -> None:
    late = is_late(accepted_us - age_us, accepted_us, late_after_us)
    began_again = datetime(2000, 1, 1, tzinfo=UTC) <= EPOCH + timedelta(microseconds=accepted_us - age_us)
    began_again &= EPOCH + timedelta(microseconds=accepted_us - age_us) < datetime(2001, 1, 1, tzinfo=UTC)
    assert late == (age_us > late_after_us and not began_again)


def test_a_clock_that_was_a_day_ahead_makes_nothing_older_that_comes_after_it() -> None:
    assert accepted_now(1000.0, 990.0) == 1000.0
    assert accepted_now(1000.0, 1001.0) == 1001.0, "a small step back does not reorder"
    assert accepted_now(1000.0, 1000.0 + 86_400) == 1000.0
