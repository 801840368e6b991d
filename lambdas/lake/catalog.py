"""Tell Glue's catalogue which partitions there are, so that Athena finds them.

Glue could guess partitions from a pattern, but a model set is no date or number, and one that it
was not told of would silently be missing from every answer.
"""

from collections.abc import Iterable
from datetime import date
from typing import Any, Final

from lambdas.lake.tables import Kind, Table

INPUT_FORMAT: Final = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat"
OUTPUT_FORMAT: Final = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat"
SERIALIZATION: Final = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
"""How Glue names Parquet."""

TYPES: Final[dict[Kind, str]] = {
    "string": "string",
    "integer": "bigint",
    "number": "double",
    "boolean": "boolean",
    "date": "date",
    "time": "timestamp",
    "texts": "array<string>",
    "numbers_by_name": "map<string,double>",
    "texts_by_name": "map<string,string>",
}
"""How Glue names a column's kind."""

MOST_AT_ONCE: Final = 100
"""Partitions of one BatchCreatePartition call (Glue API)."""


class PartitionsRefusedError(Exception):
    """Glue took some partitions and not others."""


def register_partitions(
    glue: Any,
    *,
    database: str,
    table: Table,
    location: str,
    partitions: Iterable[tuple[str, date]],
) -> None:
    """Make partitions known; those that are known already stay as they are.

    Args:
        glue: boto3's client.
        database: Name.
        table: Name.
        location: `s3://…` of the table, with a slash at its end.
        partitions: Model set and day of each.

    Raises:
        PartitionsRefusedError: Glue refused one for another reason than that it knows it.
    """
    entries = [
        {
            "Values": [model_set, day.isoformat()],
            "StorageDescriptor": {
                "Location": f"{location}model_set={model_set}/date={day.isoformat()}/",
                "InputFormat": INPUT_FORMAT,
                "OutputFormat": OUTPUT_FORMAT,
                "SerdeInfo": {"SerializationLibrary": SERIALIZATION},
            },
        }
        for model_set, day in partitions
    ]
    for start in range(0, len(entries), MOST_AT_ONCE):
        answer = glue.batch_create_partition(
            DatabaseName=database,
            TableName=table,
            PartitionInputList=entries[start : start + MOST_AT_ONCE],
        )
        refused = {
            error["ErrorDetail"]["ErrorCode"]
            for error in answer.get("Errors", ())
            if error["ErrorDetail"]["ErrorCode"] != "AlreadyExistsException"
        }
        if refused:
            raise PartitionsRefusedError(f"{table}: {', '.join(sorted(refused))}")
