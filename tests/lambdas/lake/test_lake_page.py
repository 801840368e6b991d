"""LAKE.md lists the tables as they are."""

import re
from pathlib import Path

import pytest

from lambdas.lake import tables
from lambdas.lake.tables import FINDINGS, PARTITION_COLUMNS, RECORDS, Column, Kind

PAGE = Path(tables.__file__).with_name("LAKE.md")

WORDS: dict[Kind, str] = {
    "string": "text",
    "integer": "integer",
    "number": "number",
    "boolean": "true, false",
    "date": "date",
    "time": "time",
    "texts": "list of texts",
    "numbers_by_name": "map of numbers",
    "texts_by_name": "map of texts",
}


def line(column: Column) -> str:
    note = " Only with keys." if column.key else ""
    return f"| {column.name} | {WORDS[column.kind]} | {column.meaning}{note} |"


@pytest.mark.parametrize(("table", "columns"), [("records", RECORDS), ("findings", FINDINGS)])
def test_the_page_lists_every_column_with_type_and_meaning(table, columns):
    section = re.split(r"^##+ ", PAGE.read_text(), flags=re.MULTILINE)
    (found,) = [part for part in section if part.startswith(f"{table}\n")]
    listed = [row for row in found.splitlines() if row.startswith("| ")][1:]
    assert listed == [line(column) for column in (*PARTITION_COLUMNS, *columns)]


def test_units_stand_in_names_or_meanings():
    """A number without its unit is worth nothing."""
    for column in (*RECORDS, *FINDINGS):
        if column.kind in ("integer", "number") and column.name not in ("n_findings", "number"):
            words = column.name + " " + column.meaning
            assert re.search(r"_px|_mm|_bytes|bits|0 to 1|fraction", words), column.name
