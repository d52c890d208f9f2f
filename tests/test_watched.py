"""Which recoveries can matter: those of citizens who are watched, or found in the same slice."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipeline.recoveries import relevant
from pipeline.schema import FINDINGS, RECOVERIES

_CITIZENS = st.integers(-4, 4) | st.sampled_from([-(2**63), 2**63 - 1])


def rows(schema: pa.Schema, citizens: list[int]) -> pa.Table:
    """Rows of these citizens, of which nothing else is known."""
    nothing = {one.name: pa.nulls(len(citizens), one.type) for one in schema}
    return pa.table(nothing | {"citizen_key": pa.array(citizens, pa.int64())}, schema=schema)


@given(st.lists(_CITIZENS, max_size=12), st.lists(_CITIZENS, max_size=4), st.sets(_CITIZENS, max_size=5))
def test_recoveries_of_those_who_are_watched_or_found_matter_in_their_order(
    recovered: list[int], found: list[int], watched: set[int]
) -> None:
    left = relevant(rows(RECOVERIES, recovered), rows(FINDINGS, found), np.array(sorted(watched), np.int64))
    assert left["citizen_key"].to_pylist() == [one for one in recovered if one in watched or one in found]
    assert left.schema == RECOVERIES
