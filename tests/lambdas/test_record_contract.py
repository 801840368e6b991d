"""The contract of record.json: its page, its versions, and records that were written long ago."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cxr.index_page import index_page
from cxr.results import Result, parse_record
from cxr.summary_csv import summary_csv
from lambdas.report.formats import FORMATS
from lambdas.shared import records
from lambdas.shared.records import SCHEMA_VERSION, Record, Source, record_validator
from tests.cxr.fakes import record_of

PAGE = Path(records.__file__).with_name("RECORD.md")
SCHEMA: dict[str, Any] = json.loads(PAGE.with_name("record.schema.json").read_text())
OLD_RECORDS = sorted(Path(__file__).with_name("records").glob("*/*.json"))


def example() -> Record:
    (block,) = re.findall(r"```jsonc\n(.*?)```", PAGE.read_text(), re.DOTALL)
    record: Record = json.loads(re.sub(r" +// .*$", "", block, flags=re.MULTILINE))
    return record


def released_versions() -> list[str]:
    """From the changelog, newest first."""
    return re.findall(r"^### (\d\S*), \d{4}-\d\d-\d\d$", PAGE.read_text(), re.MULTILINE)


def fields(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Every field that the schema names, with the fields around it."""
    if reference := schema.get("$ref"):
        schema = SCHEMA["$defs"][reference.rpartition("/")[2]]
    for name, inner in schema.get("properties", {}).items():
        yield f"{path}/{name}"
        yield from fields(inner, f"{path}/{name}")
    for inner in (*schema.get("oneOf", ()), *filter(None, [schema.get("items")])):
        yield from fields(inner, path)


def used(value: Any, path: str = "") -> Iterator[str]:
    """Every field of a record."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield f"{path}/{name}"
            yield from used(inner, f"{path}/{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from used(inner, path)


def test_example_keeps_the_contract() -> None:
    record_validator().validate(example())
    assert example()["schema_version"] == SCHEMA_VERSION


def test_example_shows_every_field_in_the_order_of_the_schema() -> None:
    optional = {
        "/rejection/code",
        "/rejection/message",
        *(path for path in fields(SCHEMA) if path.startswith("/source_tags/")),
    }
    assert set(fields(SCHEMA)) - optional <= set(used(example()))
    assert list(example()) == list(SCHEMA["properties"])


def test_records_have_their_fields_in_the_order_of_the_schema() -> None:
    for kind in ("abnormal", "rejected"):
        source = Source(bucket=None, key="1.png", version=None, sha256="a" * 64)
        assert list(record_of(source, kind)) == list(SCHEMA["properties"])


def test_page_names_every_optional_output() -> None:
    assert [name for name in FORMATS if name not in PAGE.read_text()] == []


def test_versions_agree() -> None:
    accepted = SCHEMA["properties"]["schema_version"]["enum"]
    assert released_versions() == accepted[::-1]
    assert accepted[-1] == SCHEMA_VERSION
    assert SCHEMA["$id"] == f"urn:cxr-batch:record:{SCHEMA_VERSION}"
    assert re.fullmatch(r"\d+\.\d+\.\d+", SCHEMA_VERSION)


def test_records_of_every_earlier_version_are_kept() -> None:
    kept = {path.parent.name for path in OLD_RECORDS}
    assert kept >= set(released_versions()[1:])


@pytest.mark.parametrize("path", OLD_RECORDS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_old_record_stays_readable(path: Path) -> None:
    record = parse_record(path.read_bytes())
    assert record is not None
    assert record["schema_version"] == path.parent.name
    result = Result.from_record(record, folder=record["source"]["key"])
    assert result.kind == path.stem
    assert (result.formats, result.left_out) == (frozenset(), ())
    assert record["image_id"] in summary_csv([result]).decode()
    page = index_page([result], warnings=result.warnings, model_set=result.model_set)
    assert record["source"]["key"] in page.decode()


def test_old_records_are_those_that_were_written() -> None:
    assert len(OLD_RECORDS) >= 3
    abnormal = json.loads((OLD_RECORDS[0].parent / "abnormal.json").read_bytes())
    assert len(abnormal["findings"]) == 4
    assert "left_out" not in abnormal
    assert "code" not in abnormal["triage"]


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": "1.2.0"},
        {"schema_version": "2.0.0"},
        {"left_out": [{"format": "fhir"}]},
        {"findngs": []},
        {"status": "rejected"},
    ],
)
def test_record_that_breaks_the_contract_is_told(change: Record) -> None:
    assert not record_validator().is_valid(example() | change)


def test_rejected_record_of_this_version() -> None:
    rejection = {"code": "not_frontal", "message": "the view is lateral; send the frontal image"}
    nothing = {"image": None, "triage": None, "detection": None, "findings": []}
    record_validator().validate(
        example() | nothing | {"status": "rejected", "rejection": rejection}
    )
