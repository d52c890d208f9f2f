"""The archive as Dask frames, for the catalogue and for notebooks.

A frame holds the committed files of one version and nothing that is only staged;
columns have Arrow types, so lists stay lists.
"""

from __future__ import annotations

import os
from typing import Any

import dask.dataframe as dd
import pandas as pd
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError
from intake.readers.datatypes import DeltalakeTable
from intake.readers.readers import DaskDF

from pipeline.errors import UsageError


def read_table(path: str, version: int | None = None, **options: Any) -> dd.DataFrame:
    """A Delta table of the archive as a Dask frame, one partition a file.

    ``version`` goes back in time; ``options`` are those of `dask.dataframe.read_parquet`,
    such as ``columns`` and ``filters``, which skip what is not asked for. Environment
    variables in ``path`` are filled in. Raises `UsageError` if there is no such table.
    """
    place = os.path.expandvars(path)
    try:
        table = DeltaTable(place, version=version)
    except TableNotFoundError:
        raise UsageError(
            f"there is no table at {place}: name a workspace that `peacewatch run` has worked on, "
            "in PEACEWATCH_WORKSPACE or as workspace=DIR"
        ) from None
    files = table.file_uris()
    if files:
        frame: dd.DataFrame = dd.read_parquet(files, dtype_backend="pyarrow", **options)
        return frame
    empty = table.to_pyarrow_table(columns=options.get("columns")).to_pandas(types_mapper=pd.ArrowDtype)
    nothing: dd.DataFrame = dd.from_pandas(empty, npartitions=1)
    return nothing


class DeltaFrame(DaskDF):  # type: ignore[misc]
    """The intake reader of `read_table`."""

    implements = {DeltalakeTable}  # noqa: RUF012 - intake's own way to say so
    func = "pipeline.lake.frames:read_table"
    url_arg = "path"
