"""Rows into Parquet files; the one module that imports pyarrow.

Files are compressed with Zstandard, which Athena, DuckDB and Spark read.
"""

from collections.abc import Sequence
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from lambdas.lake.rows import Row
from lambdas.lake.tables import Column, Kind

ROW_GROUP_ROWS: Final = 50_000
"""Rows written at once: memory while writing against what a query can skip."""

_TYPES: Final[dict[Kind, pa.DataType]] = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "time": pa.timestamp("ms", tz="UTC"),
    "texts": pa.list_(pa.string()),
    "numbers_by_name": pa.map_(pa.string(), pa.float64()),
    "texts_by_name": pa.map_(pa.string(), pa.string()),
}


def arrow_schema(columns: Sequence[Column]) -> pa.Schema:
    """Columns as Arrow and Parquet have them."""
    return pa.schema(pa.field(column.name, _TYPES[column.kind]) for column in columns)


class TableWriter:
    """One Parquet file that grows by rows.

    Args:
        file: Open for writing; stays the caller's to close.
        columns: Of the table.
    """

    def __init__(self, file: BinaryIO, columns: Sequence[Column]) -> None:
        self._schema = arrow_schema(columns)
        # Arrow's own copy of the schema would add 5 kB to each of many small files
        self._writer = pq.ParquetWriter(file, self._schema, compression="zstd", store_schema=False)
        self._columns: list[list[Any]] = [[] for _ in columns]
        self._names = [column.name for column in columns]
        self._maps = {
            position
            for position, column in enumerate(columns)
            if column.kind in ("numbers_by_name", "texts_by_name")
        }

    def __len__(self) -> int:
        """Rows that wait in memory."""
        return len(self._columns[0])

    def add(self, row: Row) -> None:
        """Add a row; names that are no column's are left out."""
        for name, values in zip(self._names, self._columns, strict=True):
            values.append(row[name])
        if len(self) >= ROW_GROUP_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write the waiting rows."""
        if not len(self):
            return
        arrays = [
            pa.array(
                [list(value.items()) for value in values] if position in self._maps else values,
                type=field.type,
            )
            for position, (values, field) in enumerate(
                zip(self._columns, self._schema, strict=True)
            )
        ]
        self._writer.write_table(
            pa.Table.from_arrays(arrays, schema=self._schema), row_group_size=ROW_GROUP_ROWS
        )
        for values in self._columns:
            values.clear()

    def close(self) -> None:
        """Write what waits, then the file's end."""
        self.flush()
        self._writer.close()
