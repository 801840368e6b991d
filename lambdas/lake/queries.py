"""The queries that come with the lake: SQL that Athena and DuckDB understand alike.

Each lies in `sql/<name>.sql`; its first line says what it answers.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from lambdas.lake.tables import PARTITION_COLUMNS, Kind, Table, columns

_FOLDER: Final = Path(__file__).with_name("sql")
_DUCKDB_TYPES: Final[dict[Kind, str]] = {
    "string": "VARCHAR",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "time": "TIMESTAMPTZ",
    "texts": "VARCHAR[]",
    "numbers_by_name": "MAP(VARCHAR, DOUBLE)",
    "texts_by_name": "MAP(VARCHAR, VARCHAR)",
}


@dataclass(frozen=True, slots=True)
class Query:
    """One query over the tables `records` and `findings`.

    Attributes:
        name: As the engine lists it.
        description: What it answers, one sentence.
        sql: The text.
    """

    name: str
    description: str
    sql: str


@cache
def queries() -> tuple[Query, ...]:
    """All of them, by name."""
    found = []
    for path in sorted(_FOLDER.glob("*.sql")):
        sql = path.read_text(encoding="utf-8")
        first = sql.partition("\n")[0]
        found.append(Query(path.stem, first.removeprefix("-- "), sql))
    return tuple(found)


def duckdb_view(table: Table, lake: str) -> str:
    """The statement that gives DuckDB a table of a lake.

    Args:
        table: Name.
        lake: Folder, or `s3://…` with DuckDB's httpfs; no slash at its end. A folder may have no
            file of this table: no image, or none with a finding.
    """
    if "://" not in lake and not any(Path(lake, table).glob("*/*/*.parquet")):
        nothing = ", ".join(
            f'CAST(NULL AS {_DUCKDB_TYPES[column.kind]}) AS "{column.name}"'
            for column in columns(table, partitioned=False)
        )
        return f"CREATE VIEW {table} AS SELECT {nothing} WHERE false"
    place = f"{lake}/{table}/*/*/*.parquet".replace("'", "''")
    types = ", ".join(
        f"'{column.name}': {_DUCKDB_TYPES[column.kind]}" for column in PARTITION_COLUMNS
    )
    return (
        f"CREATE VIEW {table} AS SELECT * FROM read_parquet('{place}', "
        f"hive_partitioning = true, hive_types = {{{types}}}, union_by_name = true)"
    )
