"""The named queries, in the words that Athena gets, answered by DuckDB, against plain counts."""

from collections import Counter
from datetime import date
from pathlib import Path

import pytest

from lambdas.lake.compact import compact
from lambdas.lake.folder import FolderLake
from lambdas.lake.layout import Scope
from lambdas.lake.queries import queries
from lambdas.shared.records import Record
from tests.cxr.fakes import FINDINGS, MODEL_SET
from tests.lambdas.lake.cases import OTHER_MODEL_SET, ask, record, rows

DAYS = ("2026-02-03T10:00:00Z", "2026-02-04T10:00:00Z")
KINDS = ("abnormal", "abnormal", "normal", "rejected", "abnormal", "normal", "normal")


def probability_of(made: Record, value: float) -> Record:
    return made | {"triage": made["triage"] | {"probability": value}}


def drawn() -> list[Record]:
    """Seven images on two days; three of them also by another model set, which disagrees once."""
    made = [record(n, kind, finished_at=DAYS[n % 2]) for n, kind in enumerate(KINDS)]
    made[2] = probability_of(made[2], 0.49)  # by a hair
    made.append(record(0, "normal", model_set=OTHER_MODEL_SET))
    made.append(record(2, "normal", model_set=OTHER_MODEL_SET))
    made.append(record(3, "rejected", model_set=OTHER_MODEL_SET))
    copy = record(8, "normal")
    copy["source"] |= {"sha256": made[0]["source"]["sha256"]}
    too_large = [record(n, "rejected") for n in (9, 10)]
    for each in too_large:  # without a digest they are copies of nothing
        each["source"] |= {"sha256": None}
    return [*made, copy, *too_large]


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return drawn()


@pytest.fixture(scope="module")
def lake(records: list[Record], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lake")
    compact(rows(*records), lake=FolderLake(folder), scope=Scope())
    return folder


def answer(lake: Path, name: str) -> list[tuple[object, ...]]:
    return ask(lake, next(query.sql for query in queries() if query.name == name))


def test_images_per_day(records, lake):
    expected = Counter(
        (
            date.fromisoformat(each["timings"]["finished_at"][:10]),
            each["model_set"],
            each["status"],
            each["triage"]["label"] if each["triage"] else None,
        )
        for each in records
    )
    found = answer(lake, "images_per_day")
    assert {row[:4]: row[4] for row in found} == expected


def test_probability_histogram(records, lake):
    expected = Counter(
        (each["model_set"], int(each["triage"]["probability"] * 10))
        for each in records
        if each["triage"]
    )
    found = answer(lake, "probability_histogram")
    assert {(row[0], round(row[1] * 10)): row[2] for row in found} == expected
    assert {round(row[1], 1): row[3] for row in found if row[3]} == {0.9: 3}


def test_finding_shares_count_only_images_that_were_looked_at(lake):
    """Three abnormal images were looked at, and each has both findings; normal ones were not."""
    assert answer(lake, "finding_shares") == [
        (MODEL_SET, "Cardiomegaly", 3, 3, 3, 1.0, pytest.approx(0.91)),
        (MODEL_SET, "Pleural effusion", 3, 3, 3, 1.0, pytest.approx(0.42)),
    ]


def test_a_finding_that_was_never_found_has_the_share_zero(tmp_path):
    made = record()
    compact(
        rows(made | {"findings": made["findings"][:1]}), lake=FolderLake(tmp_path), scope=Scope()
    )
    found = answer(tmp_path, "finding_shares")
    assert [(row[1], row[2], row[3], row[5]) for row in found] == [
        (FINDINGS[0], 1, 1, 1.0),
        (FINDINGS[1], 1, 0, 0.0),
    ]


def test_rejections(records, lake):
    message = records[3]["rejection"]["message"]
    assert answer(lake, "rejections") == [
        (MODEL_SET, "not_an_image", 3, date(2026, 2, 4), message),
        (OTHER_MODEL_SET, "not_an_image", 1, date(2026, 2, 3), message),
    ]


def test_near_threshold(records, lake):
    (row,) = answer(lake, "near_threshold")
    assert row[:3] == (records[2]["image_id"], MODEL_SET, date(2026, 2, 3))
    assert row[4:6] == (0.49, 0.5)


def test_model_set_changes_compare_what_both_have_analysed(lake):
    (row,) = answer(lake, "model_set_changes")
    assert row[:5] == (MODEL_SET, OTHER_MODEL_SET, 2, 1, 0)
    assert row[5] == pytest.approx(((0.1 - 0.9) + (0.1 - 0.49)) / 2)


def test_copies(records, lake):
    assert answer(lake, "copies") == [
        (MODEL_SET, records[0]["source"]["sha256"], 2, date(2026, 2, 3), date(2026, 2, 3))
    ]


def test_every_query_answers_where_nothing_was_found_or_nothing_is_there(tmp_path):
    for query in queries():
        assert ask(tmp_path, query.sql) == []
    compact(rows(record(kind="normal")), lake=FolderLake(tmp_path), scope=Scope())
    assert answer(tmp_path, "finding_shares") == []
    assert len(answer(tmp_path, "images_per_day")) == 1


def test_every_query_says_what_it_answers_and_is_tested_here():
    names = {query.name for query in queries()}
    assert names
    assert names == {name for name in names if any(k.startswith(f"test_{name}") for k in globals())}
    for query in queries():
        assert query.sql.startswith(f"-- {query.description}\n")
        assert query.description[0].isupper()
        assert query.description.endswith(".")
