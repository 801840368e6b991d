"""A record becomes one row, and one for each finding; what is no record becomes none."""

import json
from datetime import UTC, date, datetime

import pytest

from lambdas.lake.rows import UnreadableRecordError, record_rows
from lambdas.lake.tables import FINDINGS, RECORDS
from lambdas.shared.records import Source, to_json
from tests.cxr.fakes import MODEL_SET, record_of
from tests.lambdas.lake.cases import KEY, record
from tests.lambdas.report.cases import analysed, film, finding


def test_every_column_of_the_tables_is_filled_from_the_record():
    rows = record_rows(to_json(record()))
    assert list(rows.record) == [column.name for column in RECORDS]
    assert [list(row) for row in rows.findings] == [[column.name for column in FINDINGS]] * 2


def test_a_row_says_what_the_record_says():
    made = record()
    row = record_rows(to_json(made), record_uri="s3://results/record.json").record
    assert (row["image_id"], row["status"], row["label"]) == (
        made["image_id"],
        "analysed",
        "Abnormal",
    )
    assert (row["probability"], row["threshold"], row["positive"]) == (0.9, 0.5, True)
    assert (row["n_findings"], row["detectable"]) == (2, ["Cardiomegaly", "Pleural effusion"])
    assert row["finished_at"] == datetime(2026, 2, 3, 10, tzinfo=UTC)
    assert row["timings_ms"] == {"read_ms": 12.5}
    assert row["record_uri"] == "s3://results/record.json"
    assert row["source_key"] == f"{KEY}0"


def test_findings_are_numbered_and_keep_both_frames_of_their_box():
    made = analysed(film(600, 500), [finding(box=(0.1, 0.2, 0.3, 0.4)), finding("Scoliosis")])
    made |= {"timings": {"finished_at": "2026-02-03T10:00:00+00:00"}}
    first, second = record_rows(to_json(made)).findings
    assert (first["number"], first["finding"], second["number"]) == (1, "Cardiomegaly", 2)
    assert [first[f"{edge}_px"] for edge in ("x_min", "y_min", "x_max", "y_max")] == [
        100.0,
        240.0,
        300.0,
        480.0,
    ]
    assert [first[edge] for edge in ("x_min", "y_min", "x_max", "y_max")] == [0.1, 0.2, 0.3, 0.4]


def test_a_rejected_image_has_a_row_with_its_reason_and_no_numbers():
    rows = record_rows(to_json(record(kind="rejected")))
    assert rows.record["rejection_code"] == "not_an_image"
    assert rows.record["probability"] is None
    assert rows.record["n_findings"] is None
    assert rows.findings == ()


def test_an_image_that_was_not_looked_at_has_no_number_of_findings():
    """Zero would say that nothing was found."""
    assert record_rows(to_json(record(kind="normal"))).record["n_findings"] is None


@pytest.mark.parametrize(
    ("finished_at", "day"),
    [
        ("2026-02-03T23:59:59+00:00", date(2026, 2, 3)),
        ("2026-02-04T00:30:00+01:00", date(2026, 2, 3)),  # still the day before in UTC
        ("2026-02-03T20:00:00-05:00", date(2026, 2, 4)),  # already the day after
        ("2026-02-03T10:00:00Z", date(2026, 2, 3)),
    ],
)
def test_the_day_is_utcs(finished_at, day):
    assert record_rows(to_json(record(finished_at=finished_at))).date == day


def test_a_record_of_a_bucket_belongs_to_the_part_of_its_image_id():
    made = record()
    rows = record_rows(to_json(made))
    assert (rows.model_set, rows.part) == (MODEL_SET, made["image_id"][0])


def test_a_record_of_a_folder_belongs_to_the_folders_part():
    source = Source(bucket=None, key="a.png", version=None, sha256="0" * 64)
    assert record_rows(to_json(record_of(source, "normal"))).part == "folder"


def test_a_record_of_the_first_version_is_read():
    old = record() | {"schema_version": "1.0"}
    del old["source_tags"], old["left_out"], old["triage"]["code"]
    row = record_rows(json.dumps(old).encode()).record
    assert (row["label_code"], row["source_tags"]) == (None, {})


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (b"\xff\xfe", "no text"),
        (b"[]", "no object"),
        (b'{"schema_version": "1.0"}', "KeyError 'timings'"),
        (json.dumps(record() | {"schema_version": "2.0.0"}).encode(), "another major version"),
        (json.dumps(record() | {"model_set": "../../etc"}).encode(), "is not one"),
        (json.dumps(record() | {"image_id": "SMITH^JOHN"}).encode(), "is not one"),
        (json.dumps(record(finished_at="yesterday")).encode(), "ValueError"),
    ],
)
def test_what_is_no_record_is_refused_without_being_quoted(content, why):
    with pytest.raises(UnreadableRecordError) as caught:
        record_rows(content)
    assert why in str(caught.value) or "not a record" in str(caught.value)
    assert "SMITH" not in str(caught.value)
