"""What a reviewer says is saved as a version beside the record, and overwrites nobody's."""

from pathlib import Path
from typing import Any

from streamlit.testing.v1 import AppTest

from cxr.bucket_results import BucketResults
from cxr.reviews import last_revision, parse_review, version_of
from tests.cxr.results_bucket import BUCKET, put
from tests.cxr.review_examples import record
from tests.cxr.web.conftest import KEYS, Open, opened, record_in, results_page, words


def verdicts(at: AppTest) -> list[str]:
    return [group.label for group in at.button_group if group.options == ["Agree", "Disagree"]]


def choose(at: AppTest, label: str, value: str) -> None:
    next(group for group in at.button_group if group.label == label).set_value(value)


def reviewing(page: Open, results: Path, *arguments: str) -> AppTest:
    at = opened(results_page(page, f"--results={results}", *arguments), results, KEYS[0])
    next(group for group in at.button_group if group.label == "Mode").set_value("Review").run()
    assert not at.exception
    return at


def save_button(at: AppTest) -> Any:
    return next(button for button in at.button if button.label.startswith("Save as version"))


def test_review_is_saved_as_a_version_beside_the_record(page: Open, results: Path) -> None:
    place = results / KEYS[0]
    before = (place / "record.json").read_bytes()
    at = reviewing(page, results)
    assert verdicts(at) == ["Triage: Abnormal", "1 Cardiomegaly", "2 Pleural effusion"]
    assert save_button(at).disabled
    for label, value in zip(verdicts(at), ("Agree", "Agree", "Disagree"), strict=True):
        choose(at, label, value)
    at.text_area[0].set_value("seen before")
    at.text_input[0].set_value("Reader 1")
    at.run()
    save_button(at).click().run()
    assert not at.exception
    assert (place / "record.json").read_bytes() == before
    of = record_in(place)
    found = parse_review((place / "review.json").read_bytes(), record=of)
    assert found is not None
    last = last_revision(found)
    assert (last.triage, [each.verdict for each in last.findings]) == (
        "agree",
        ["agree", "disagree"],
    )
    assert (last.note, last.reviewer) == ("seen before", "Reader 1")
    assert "Version 1" in words(at)
    assert save_button(at).label == "Save as version 2"
    at.text_area[0].set_value("seen again").run()
    save_button(at).click().run()
    found = parse_review((place / "review.json").read_bytes(), record=of)
    assert found is not None
    assert [each["note"] for each in found["revisions"]] == ["seen before", "seen again"]


def test_contradiction_cannot_be_saved(page: Open, results: Path) -> None:
    at = reviewing(page, results)
    choose(at, "Triage: Abnormal", "Disagree")
    choose(at, "1 Cardiomegaly", "Agree")
    at.run()
    assert "disagree with the findings, or change the triage" in words(at)
    assert save_button(at).disabled


def test_second_reviewer_is_told_and_overwrites_nothing(page: Open, results: Path) -> None:
    first, second = reviewing(page, results), reviewing(page, results)
    choose(first, "Triage: Abnormal", "Agree")
    choose(second, "Triage: Abnormal", "Disagree")
    first.run()
    save_button(first).click().run()
    kept = (results / KEYS[0] / "review.json").read_bytes()
    second.run()
    save_button(second).click().run()
    assert "somebody saved another review of this result meanwhile" in words(second)
    assert (results / KEYS[0] / "review.json").read_bytes() == kept
    next(b for b in second.button if b.label == "Load what is stored").click().run()
    group = next(each for each in second.button_group if each.label == "Triage: Abnormal")
    assert group.value == "Agree"


def test_review_in_a_bucket(page: Open, s3: Any) -> None:
    folder = put(s3, record())
    at = opened(results_page(page, f"--results=s3://{BUCKET}"), f"s3://{BUCKET}", folder)
    assert "<h1>a/1.dcm</h1>" in words(at)
    next(group for group in at.button_group if group.label == "Mode").set_value("Review").run()
    choose(at, "Triage: Abnormal", "Agree")
    at.run()
    save_button(at).click().run()
    assert not at.exception
    store = BucketResults(f"s3://{BUCKET}")
    of = store.record(folder)
    assert of == record()
    assert version_of(store.review(folder, record=of).review) == 1
    at.button(key="back").click().run()
    assert list(at.dataframe[0].value["Reviewed"]) == ["yes"]
