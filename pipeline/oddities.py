"""What is odd about reports that are taken all the same, counted by drone and kind. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dialects import Decoded
from pipeline.fingerprints import Hashes, same_moment
from pipeline.schema import has_fix

#: Rows say how many ``reports`` of a drone are odd in one way.
ODDITIES = pa.schema([("drone_id", pa.string()), ("kind", pa.string()), ("reports", pa.int64())])

NO_FIX = "no fix: the place is 0, 0"
SAME_MOMENT = "the time and sequence of another report, but other content"


def oddities(tables: Decoded, fingerprints: Hashes) -> pa.Table:
    """What is odd in a slice, with schema `ODDITIES`: a row for each drone and kind; ``fingerprints`` of its reports.

    Reports that share a moment come together, so those of other slices are not looked at.
    """
    reports, left_out = tables.reports, tables.left_out
    drones = reports["drone_id"]
    found: list[tuple[pa.ChunkedArray, Any]] = []
    if left_out.num_rows:
        rows = np.searchsorted(reports["report_id"].to_numpy(), left_out["report_id"].to_numpy())
        kinds = pc.binary_join_element_wise(left_out["field"], "not read, kept as it came", ": ")
        found.append((drones.take(rows), kinds))
    no_fix = ~has_fix(reports["lat"].to_numpy(), reports["lon"].to_numpy())
    if no_fix.any():
        found.append((drones.filter(pa.array(no_fix)), pa.repeat(NO_FIX, int(no_fix.sum()))))
    _, distinct = np.unique(fingerprints, return_index=True)
    _, first = np.unique(same_moment(reports)[distinct], return_index=True)
    if len(first) < len(distinct):
        others = np.delete(distinct, first)
        found.append((drones.take(others), pa.repeat(SAME_MOMENT, len(others))))
    if not found:
        return ODDITIES.empty_table()
    rows = pa.concat_tables([pa.table({"drone_id": whose, "kind": kinds}) for whose, kinds in found])
    counted = rows.group_by(["drone_id", "kind"]).aggregate([([], "count_all")])
    return pa.table([counted[name] for name in ("drone_id", "kind", "count_all")], schema=ODDITIES)
