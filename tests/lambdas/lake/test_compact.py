"""Each record has one place in the lake: compacting again replaces, and never doubles."""

from datetime import date, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lambdas.lake import compact as compact_module
from lambdas.lake import parquet
from lambdas.lake.compact import compact
from lambdas.lake.folder import FolderLake, record_files
from lambdas.lake.layout import Part, Scope
from lambdas.lake.tables import FINDINGS, RECORDS
from tests.cxr.fakes import MODEL_SET
from tests.lambdas.lake.cases import OTHER_MODEL_SET, ask, record, rows

ALL = Scope()
COUNTS = "SELECT (SELECT count(*) FROM records), (SELECT count(*) FROM findings)"


def files(lake: Path) -> dict[str, bytes]:
    return {
        path.relative_to(lake).as_posix(): path.read_bytes() for path in lake.rglob("*.parquet")
    }


def test_files_are_named_after_table_model_set_day_and_part(tmp_path):
    made = record()
    compact(rows(made), lake=FolderLake(tmp_path), scope=ALL)
    place = f"model_set={MODEL_SET}/date=2026-02-03/part-{made['image_id'][0]}.parquet"
    assert set(files(tmp_path)) == {f"records/{place}", f"findings/{place}"}


def test_what_was_written_is_counted(tmp_path):
    kinds = ["abnormal", "normal", "rejected"]
    made = [record(number, kind) for number, kind in enumerate(kinds)]
    done = compact(rows(*made), lake=FolderLake(tmp_path), scope=ALL)
    written = files(tmp_path)
    assert (done.records, done.findings, done.removed) == (3, 2, 0)
    assert (done.written, done.size_bytes) == (len(written), sum(map(len, written.values())))
    assert done.partitions == ((MODEL_SET, date(2026, 2, 3)),)
    assert ask(tmp_path, COUNTS) == [(3, 2)]


def test_compacting_again_changes_no_byte(tmp_path):
    made = rows(*(record(number) for number in range(40)))
    compact(made, lake=FolderLake(tmp_path), scope=ALL)
    before = files(tmp_path)
    compact(made, lake=FolderLake(tmp_path), scope=ALL)
    assert files(tmp_path) == before
    assert ask(tmp_path, COUNTS) == [(40, 80)]


def test_new_records_join_the_old_ones(tmp_path):
    made = rows(*(record(number) for number in range(40)))
    compact(made[:25], lake=FolderLake(tmp_path), scope=ALL)
    compact(made, lake=FolderLake(tmp_path), scope=ALL)
    assert ask(tmp_path, "SELECT count(*), count(DISTINCT image_id) FROM records") == [(40, 40)]


def test_a_record_made_anew_on_another_day_leaves_the_old_day(tmp_path):
    compact(rows(record()), lake=FolderLake(tmp_path), scope=ALL)
    later = record(finished_at="2026-02-09T00:00:00+00:00")
    done = compact(rows(later), lake=FolderLake(tmp_path), scope=ALL)
    assert done.removed == 2
    assert ask(tmp_path, 'SELECT "date" FROM records') == [(date(2026, 2, 9),)]
    assert not (tmp_path / "records" / f"model_set={MODEL_SET}" / "date=2026-02-03").exists()


@pytest.mark.parametrize(
    ("scope", "left"),
    [
        (Scope(), 0),
        (Scope(model_set=OTHER_MODEL_SET), 1),  # of another model set
        (Scope(since=date(2026, 2, 4)), 1),  # before the days in question
        (Scope(until=date(2026, 2, 2)), 1),  # after them
        (Scope(part="g"), 1),  # in a part that no image has
        (Scope(model_set=MODEL_SET, since=date(2026, 2, 3), until=date(2026, 2, 3)), 0),
    ],
)
def test_only_files_within_the_scope_are_removed(tmp_path, scope, left):
    compact(rows(record()), lake=FolderLake(tmp_path), scope=ALL)
    compact([], lake=FolderLake(tmp_path), scope=scope)
    assert len(files(tmp_path)) == 2 * left


def test_records_outside_the_scope_are_not_written(tmp_path):
    late = record(1, finished_at="2026-03-01T00:00:00+00:00")
    done = compact(
        rows(record(0), late), lake=FolderLake(tmp_path), scope=Scope(since=date(2026, 2, 20))
    )
    assert done.records == 1


def test_other_files_below_the_lake_are_left_alone(tmp_path):
    stranger = tmp_path / "records" / f"model_set={MODEL_SET}" / "date=2026-02-03" / "notes.txt"
    stranger.parent.mkdir(parents=True)
    stranger.write_text("mine")
    compact([], lake=FolderLake(tmp_path), scope=ALL)
    assert stranger.read_text() == "mine"


@pytest.mark.parametrize(
    "path",
    [
        "records/model_set=a/date=2026-02-03",
        "records/model_set=a/date=2026-02-03/part-0.csv",
        "records/model_set=a/date=2026-2-3/part-0.parquet",
        "elsewhere/model_set=a/date=2026-02-03/part-0.parquet",
        "records/a/2026-02-03/part-0.parquet",
    ],
)
def test_what_is_not_named_as_a_part_is_none(path):
    assert Part.from_path(path) is None


def test_a_parts_path_reads_back_as_the_part():
    part = Part("findings", MODEL_SET, date(2026, 2, 3), "folder")
    assert Part.from_path(part.path) == part


def test_few_rows_wait_in_memory_and_none_is_lost(tmp_path, monkeypatch):
    """The same content, written in many small groups."""
    made = rows(
        *(
            record(number, finished_at=f"2026-02-{number % 5 + 1:02}T00:00:00Z")
            for number in range(90)
        )
    )
    monkeypatch.setattr(compact_module, "MAX_WAITING_ROWS", 7)
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", 3)
    compact(made, lake=FolderLake(tmp_path), scope=ALL)
    assert ask(tmp_path, COUNTS) == [(90, 180)]
    assert ask(tmp_path, "SELECT count(DISTINCT image_id) FROM records") == [(90,)]
    largest = max(tmp_path.rglob("records/**/*.parquet"), key=lambda path: path.stat().st_size)
    described = pq.ParquetFile(largest).metadata
    assert described.num_row_groups >= described.num_rows / 3


def test_nothing_that_identifies_is_written_unasked(tmp_path):
    tagged = record(source_tags={"AccessionNumber": "ACC-77"})
    compact(rows(tagged), lake=FolderLake(tmp_path), scope=ALL)
    assert all(b"SMITH" not in data and b"ACC-77" not in data for data in files(tmp_path).values())
    columns = [name for name, *_ in ask(tmp_path, "DESCRIBE records")]
    assert not [name for name in columns if name.startswith("source_")]


def test_keys_are_there_if_asked_for(tmp_path):
    tagged = record(source_tags={"AccessionNumber": "ACC-77"})
    compact(rows(tagged), lake=FolderLake(tmp_path), scope=ALL, with_keys=True)
    found = ask(
        tmp_path, "SELECT source_bucket, source_key, source_version, source_tags FROM records"
    )
    assert found == [
        ("intake", tagged["source"]["key"], "v0", {"AccessionNumber": "ACC-77"}),
    ]


def test_values_and_types_survive(tmp_path):
    made = rows(record(0), record(1, "normal"), record(2, "rejected"))
    compact(made, lake=FolderLake(tmp_path), scope=ALL)
    names = [column.name for column in RECORDS if not column.key]
    # DuckDB gives Python a time with its zone only through another package
    wanted = ", ".join(names).replace("finished_at", "finished_at AT TIME ZONE 'UTC'")
    found = ask(tmp_path, f"SELECT {wanted} FROM records ORDER BY status, label")
    expected = sorted(made, key=lambda each: (each.record["status"], each.record["label"] or ""))
    moment = datetime(2026, 2, 3, 10)  # in UTC
    assert [dict(zip(names, row, strict=True)) for row in found] == [
        {name: each.record[name] for name in names} | {"finished_at": moment} for each in expected
    ]
    names = [column.name for column in FINDINGS]
    found = ask(tmp_path, f"SELECT {', '.join(names)} FROM findings ORDER BY number")
    assert [dict(zip(names, row, strict=True)) for row in found] == list(made[0].findings)


def test_records_are_found_at_all_levels_in_order_and_not_through_links(tmp_path):
    for name in ("b", "a/x", "a/w"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "record.json").write_text("{}")
    (tmp_path / "linked").symlink_to(tmp_path / "a", target_is_directory=True)
    (tmp_path / "b" / "report.pdf").write_text("")
    found = [path.relative_to(tmp_path).as_posix() for path in record_files(tmp_path)]
    assert found == ["a/w/record.json", "a/x/record.json", "b/record.json"]
