"""The second view: list, filter, open, export; in a folder and in a bucket."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxr.results import Result
from cxr.reviews import to_json
from cxr.stored_results import StoredResult
from cxr.web.result_filters import Filters, filtered
from tests.cxr.results_bucket import BUCKET, put
from tests.cxr.review_examples import record, review
from tests.cxr.web.conftest import (
    KEYS,
    Open,
    bright,
    opened,
    record_in,
    results_page,
    save_result,
    words,
)


def row(kind: str, *, key: str = "1.dcm", reviewed: bool = False) -> StoredResult:
    return StoredResult(Result.from_record(record(kind, key=key), folder=key), reviewed)


ROWS = [
    row("abnormal", key="a/1.dcm", reviewed=True),
    row("normal", key="a/2.dcm"),
    row("rejected", key="b/3.dcm"),
]


@pytest.mark.parametrize(
    ("filters", "keys"),
    [
        (Filters(), ["a/1.dcm", "a/2.dcm", "b/3.dcm"]),
        (Filters(words="A/"), ["a/1.dcm", "a/2.dcm"]),
        (Filters(words="no image"), ["b/3.dcm"]),  # in the reason of the rejection
        (Filters(words="a/ nowhere"), []),
        (Filters(kinds=("normal", "rejected")), ["a/2.dcm", "b/3.dcm"]),
        (Filters(findings=("Cardiomegaly", "Scoliosis")), ["a/1.dcm"]),
        (Filters(reviewed=True), ["a/1.dcm"]),
        (Filters(reviewed=False), ["a/2.dcm", "b/3.dcm"]),
        (Filters(numbers=(0.5, 1.0)), ["a/1.dcm"]),
        (Filters(numbers=(0.0, 0.99)), ["a/1.dcm", "a/2.dcm"]),  # a rejected one has no number
    ],
)
def test_filters(filters: Filters, keys: list[str]) -> None:
    assert [each.result.key for each in filtered(ROWS, filters)] == keys


def test_page_without_results_says_how_to_name_them(page: Open) -> None:
    assert "cxr web --results DIR" in words(results_page(page))


def test_list_shows_what_needs_a_look_first(page: Open, results: Path) -> None:
    at = results_page(page, f"--results={results}")
    assert not at.exception
    table = at.dataframe[0].value
    assert list(table["Image"]) == [KEYS[0], KEYS[2], KEYS[1]]
    assert list(table["Result"]) == ["▲ Abnormal", "✕ Rejected", "● Normal"]
    assert "Score" in table.columns  # not calibrated
    assert "3 results: 1 abnormal, 1 normal, 1 rejected." in words(at)
    assert "Thresholds not valid on patients" in words(at)


def test_search_narrows_the_list(page: Open, results: Path) -> None:
    at = results_page(page, f"--results={results}")
    at.text_input(key="filter-words").set_value("smith").run()
    assert list(at.dataframe[0].value["Image"]) == [KEYS[0]]
    assert "1 of 3 results" in words(at)
    at.text_input(key="filter-words").set_value("nobody").run()
    assert "No result passes the filters" in words(at)


def test_opened_result_shows_the_film_of_its_report(page: Open, results: Path) -> None:
    at = opened(results_page(page, f"--results={results}"), results, KEYS[0])
    assert not at.exception
    assert "<h1>SMITH^JOHN/1.dcm</h1>" in words(at)
    assert "Cardiomegaly" in words(at)
    assert "Shown as in the report: 8 bits, JPEG." in words(at)
    name, film = at.session_state["report_film"]
    assert name[0] == KEYS[0]
    assert isinstance(film, np.ndarray)
    assert film.shape == (300, 300)


def test_neighbours_and_the_way_back(page: Open, results: Path) -> None:
    at = opened(results_page(page, f"--results={results}"), results, KEYS[0])
    assert "1 of 3" in words(at)
    at.button(key="next").click().run()
    assert "Rejected: not assessed" in words(at)
    at.button(key="next").click().run()
    assert "<h1>2.dcm</h1>" in words(at)
    assert at.button(key="next").disabled
    at.button(key="back").click().run()
    assert len(at.dataframe) == 1


def test_stored_result_does_not_pretend_to_know_lower_scores(page: Open, results: Path) -> None:
    at = opened(results_page(page, f"--results={results}"), results, KEYS[0])
    modes = next(group for group in at.button_group if group.label == "Boxes from")
    modes.set_value("Own threshold").run()
    slider = next(each for each in at.slider if each.label.startswith("Show boxes"))
    slider.set_value(0.05).run()
    assert "not in a stored result; analyse the image again" in words(at)


def test_result_of_other_models_has_no_figures(page: Open, tmp_path: Path) -> None:
    of = record()
    save_result(tmp_path / "results", of)
    at = results_page(page, f"--results={tmp_path / 'results'}")
    at = opened(at, tmp_path / "results", str(of["source"]["key"]))
    assert "made by other models than those loaded here" in words(at)
    assert "This result has no report" in words(at)


def test_damaged_record_is_counted_and_not_opened(page: Open, results: Path) -> None:
    at = results_page(page, f"--results={results}")
    (results / KEYS[1] / "record.json").write_bytes(b'{"schema_version": "1.0"}')
    at.run()
    assert "Called record.json, but no record: 1." in words(at)
    at = opened(at, results, KEYS[1])
    assert "this record.json breaks its schema" in words(at)
    at.button(key="back-from-error").click().run()
    assert len(at.dataframe) == 1


def test_errors_do_not_say_the_name(page: Open, results: Path) -> None:
    at = results_page(page, f"--results={results}")
    (results / KEYS[0] / "record.json").unlink()
    at = opened(at, results, KEYS[0])
    errors = " ".join(error.value for error in at.error)
    assert "cannot be used" in errors
    assert "SMITH" not in errors


def test_export_needs_the_images(page: Open, results: Path, tmp_path: Path) -> None:
    of = record_in(results / KEYS[0])
    (results / KEYS[0] / "review.json").write_bytes(to_json(review(of)))
    images = tmp_path / "images"
    at = results_page(page, f"--results={results}", f"--images={images}")
    at.button(key="prepare-export").click().run()
    assert "name its folder with --images" in words(at)
    assert "No review could be exported" in words(at)
    (images / "SMITH^JOHN").mkdir(parents=True)
    (images / KEYS[0]).write_bytes(bright())
    at.button(key="prepare-export").click().run()
    _, summary, content = at.session_state["export"]
    assert summary.exported == 1
    assert content.startswith(b"PK")


def test_places_can_be_chosen(page: Open, results: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    save_result(other, record("normal", key="x.dcm"))
    at = results_page(page, f"--results={results}", f"--results={other}")
    at.selectbox(key="place").set_value(str(other)).run()
    assert list(at.dataframe[0].value["Image"]) == ["x.dcm"]


def test_place_that_is_gone(page: Open, tmp_path: Path) -> None:
    at = results_page(page, f"--results={tmp_path / 'none'}")
    assert "there are no results at" in words(at)


def test_bucket_that_cannot_be_read_is_said(page: Open, s3: Any) -> None:
    at = results_page(page, "--results=s3://no-such-bucket")
    assert "listing the results: the bucket does not exist" in words(at)


def test_bucket_is_listed(page: Open, s3: Any) -> None:
    put(s3, record(key="x.dcm"))
    at = results_page(page, f"--results=s3://{BUCKET}")
    assert list(at.dataframe[0].value["Image"]) == ["x.dcm"]
