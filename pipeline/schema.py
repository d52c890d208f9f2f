"""The canonical tables: each field with its type, unit and meaning.

Every other module speaks in these columns; dialects translate into them. A
field's metadata holds ``unit`` and ``about``; the documentation is made from it.
Times are UTC, microseconds (Delta's only resolution); scores run 0-100, low is
bad. ``report_id`` joins a sighting to its report: the number of the log partition
it came through, in the high bits, and its offset there (see `report_id_base`).
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

TIME = pa.timestamp("us", tz="UTC")
HOUR_US = 3_600_000_000

#: Bits of a ``report_id`` that hold the offset: 10**12 reports for each log partition.
OFFSET_BITS = 40

#: A place so near to 0, 0 (about 100 m) is what receivers send that have no fix, and not a place.
_NO_FIX_DEG = 0.001


def has_fix(lat: Any, lon: Any) -> Any:
    """Whether that is a place, of numbers or of arrays of them (degrees): not 0, 0 or nearly, and not NaN."""
    return (abs(lat) > _NO_FIX_DEG) | (abs(lon) > _NO_FIX_DEG)


def report_id_base(source: int) -> int:
    """The ``report_id`` of offset 0 in the log partition that the lake numbered ``source``."""
    return source << OFFSET_BITS


def _field(name: str, kind: pa.DataType, about: str, unit: str = "") -> pa.Field:
    return pa.field(name, kind, metadata={"about": about, "unit": unit})


_DATE = _field("date", pa.string(), "UTC day of the event, YYYY-MM-DD (partition)")
_REPORT_ID = _field("report_id", pa.int64(), "the report: log partition number and offset")
_CITIZEN_KEY = _field("citizen_key", pa.int64(), "keyed hash of the citizen's id, or name if none")
_EVENT_TIME = _field("time", TIME, "event time: when the drone saw it", "UTC")
_LAT = _field("lat", pa.float64(), "latitude, WGS 84", "degree")
_LON = _field("lon", pa.float64(), "longitude, WGS 84", "degree")
_DRONE = _field("drone_id", pa.string(), "the drone that reported")
_SCORE = _field("peacescore", pa.float64(), "peacescore, 0-100, low is bad", "point")
_REPORTED = _field("score", pa.float64(), "the score as the force's drones report it", "force's scale")
_ACTION = _field("action", pa.string(), "what the citizen did, if the drone said")
_WORDS = _field("words", pa.list_(pa.string()), "words heard around")
_ACCEPTED = _field("accepted_at", TIME, "ingest time: when the log took it in", "UTC")

REPORTS = pa.schema(
    [
        _REPORT_ID,
        _DRONE,
        _field("sequence", pa.int64(), "the drone's own count of its reports"),
        _EVENT_TIME,
        _LAT,
        _LON,
        _field("status", pa.string(), "the drone's own word for its state"),
        _field("battery", pa.float64(), "charge left", "percent"),
        _field("temperature", pa.float64(), "temperature of the drone", "degree Celsius"),
        _field("citizens", pa.int32(), "citizens recognised in this report"),
        _WORDS,
        _field("extra", pa.string(), "fields that the dialect does not know, JSON"),
        _ACCEPTED,
        _DATE,
    ]
)

SIGHTINGS = pa.schema(
    [
        _REPORT_ID,
        _field("position", pa.int32(), "place of the citizen in the report, from 0"),
        _CITIZEN_KEY,
        _SCORE,
        _REPORTED,
        _ACTION,
        _DRONE,
        _EVENT_TIME,
        _LAT,
        _LON,
        _DATE,
    ]
)

IDENTITIES = pa.schema(
    [
        _CITIZEN_KEY,
        _field("citizen_id", pa.string(), "the force's id of the citizen (restricted)"),
        _field("citizen_name", pa.string(), "a name that came with that id (restricted)"),
    ]
)

REJECTS = pa.schema(
    [
        _REPORT_ID,
        _field("reason", pa.string(), "why it could not be read, and what would be right"),
        _field("raw", pa.binary(), "the line, byte for byte"),
        _field("dialect", pa.string(), "the dialect it was read with"),
        _ACCEPTED,
        _field("date", pa.string(), "UTC day of acceptance, YYYY-MM-DD (partition)"),
    ]
)

#: What screening finds; made on workers, applied to the desk, never stored as such.
FINDINGS = pa.schema(
    [
        _field("rule", pa.string(), "name of the rule"),
        _field("severity", pa.string(), "high or critical"),
        _field("threshold", pa.float64(), "the threshold that was met", "force's scale"),
        _CITIZEN_KEY,
        _field("citizen_id", pa.string(), "the force's id of the citizen"),
        _field("citizen_name", pa.string(), "the citizen's name"),
        _SCORE,
        _REPORTED,
        _ACTION,
        _REPORT_ID,
        _DRONE,
        _EVENT_TIME,
        _LAT,
        _LON,
        _WORDS,
        _field("others", pa.string(), "the others in that report: JSON list of {id, name, peacescore}"),
        _ACCEPTED,
    ]
)

#: When a finding was where on its way, besides `accepted_at`: added by the driver, kept with the alert that it opens.
STAMPS = pa.schema(
    [
        _field("sliced_at", TIME, "when the driver took it up", "UTC"),
        _field("started_at", TIME, "when a worker began with it", "UTC"),
        _field("decoded_at", TIME, "when it was decoded", "UTC"),
        _field("screened_at", TIME, "when the rules were applied", "UTC"),
    ]
)

#: Sightings of citizens whose score is good again: what can mark an alert as recovered.
RECOVERIES = pa.schema([_CITIZEN_KEY, _SCORE, _EVENT_TIME, _REPORT_ID])

#: The desk's history, one row a change of an alert. No names: see `IDENTITIES`.
ALERTS = pa.schema(
    [
        _field("revision", pa.int64(), "number of the change, rising by one over the whole desk"),
        _field("alert_id", pa.string(), "the alert"),
        _field("rule", pa.string(), "name of the rule"),
        _field("severity", pa.string(), "the worst severity it reached"),
        _field("state", pa.string(), "open, recovered or resolved"),
        _CITIZEN_KEY,
        _SCORE,
        _field("worst_peacescore", pa.float64(), "the lowest score of this alert", "point"),
        _field("findings", pa.int64(), "bad sightings so far"),
        _REPORT_ID,
        _DRONE,
        _EVENT_TIME,
        _LAT,
        _LON,
        _ACCEPTED,
        _field("raised_at", TIME, "when the alert was first stored", "UTC"),
        _DATE,
    ]
)

#: The lake's tables and the schema of each.
TABLES: dict[str, pa.Schema] = {
    "reports": REPORTS,
    "sightings": SIGHTINGS,
    "identities": IDENTITIES,
    "rejects": REJECTS,
    "alerts": ALERTS,
}


def is_partitioned(table: str) -> bool:
    """Whether a lake table is split by ``date``."""
    return "date" in TABLES[table].names
