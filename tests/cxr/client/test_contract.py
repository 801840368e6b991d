"""One contract for every client: the fake's consumers are promised what the real ones do."""

import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pypdfium2 as pdfium
import pytest

from cxr.client import Client, StillPendingError, connect
from cxr.client_types import LocalisedFinding, Rejection
from cxr.cloud_client import CloudClient
from cxr.fake_client import FakeClient, abnormal, normal, pending, rejected
from cxr.folder_client import FolderClient
from lambdas.shared.errors import CxrError, InvalidRequestError
from tests.conftest import REPOSITORY
from tests.cxr.client.world import (
    BEHAVIOURS,
    INTAKE,
    RESULTS,
    SCORES,
    Pipeline,
    analyse_for_real,
    analyse_here,
    cloud_client,
    image,
    submitted,
)
from tests.cxr.fakes import MODEL_SET


@pytest.fixture(
    params=["fake", "cloud", "folder", pytest.param("analysis", marks=pytest.mark.slow)]
)
def client(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Client:
    if request.param == "fake":
        answers = {"b.png": abnormal(*SCORES), "c.png": rejected("not_an_image", "no image")}
        return FakeClient(answers)
    if request.param == "cloud":
        return cloud_client(request.getfixturevalue("s3"))
    if request.param == "folder":
        return FolderClient(tmp_path / "results", start=analyse_here)
    monkeypatch.syspath_prepend(str(REPOSITORY))  # workers import the fake by its module's name
    return FolderClient(tmp_path / "results", start=analyse_for_real)


def test_three_lines_are_enough(client: Client, scans: Path) -> None:
    batch = client.submit(scans)
    for result in batch.results(timeout_s=60):
        assert result.status in ("analysed", "rejected")
    assert batch.pending == ()


def test_results_come_in_the_order_of_the_images(client: Client, scans: Path) -> None:
    batch = client.submit(scans)
    assert [each.path.name for each in batch.images] == sorted(BEHAVIOURS)
    results = batch.wait(timeout_s=60)
    assert [result.image_id for result in results] == [each.image_id for each in batch.images]
    assert [result.label for result in results] == ["Normal", "Abnormal", None]


def test_a_result_says_what_its_record_says_with_types(client: Client, scans: Path) -> None:
    _, positive, _ = submitted(client, scans)
    assert (positive.status, positive.positive, positive.probability) == ("analysed", True, 0.9)
    assert positive.threshold == 0.5
    assert positive.calibrated in (True, False)
    assert positive.rejection is None
    assert positive.findings is not None
    assert [(each.label, each.score) for each in positive.findings] == list(SCORES)
    first = positive.findings[0]
    assert isinstance(first, LocalisedFinding)
    assert first.number == 1
    width, height = positive.size_px or (0, 0)
    assert first.box.x_max == pytest.approx(first.box_normalised.x_max * width, abs=0.06)
    assert first.box.y_min == pytest.approx(first.box_normalised.y_min * height, abs=0.06)
    assert set(positive.detectable) >= {label for label, _ in SCORES}
    assert positive.finished_at.tzinfo is not None
    assert positive.record["image_id"] == positive.image_id
    assert positive.record["model_set"] == positive.model_set
    assert positive.warnings
    assert positive.source_tags == {}


def test_nothing_looked_for_is_not_nothing_found(client: Client, scans: Path) -> None:
    negative, _, _ = submitted(client, scans)
    assert negative.findings is None
    assert (negative.positive, negative.probability) == (False, 0.1)


def test_a_rejected_image_is_a_result_with_its_reason(client: Client, scans: Path) -> None:
    *_, refused = submitted(client, scans)
    assert refused.status == "rejected"
    assert isinstance(refused.rejection, Rejection)
    assert refused.rejection.code == "not_an_image"
    assert refused.rejection.message
    assert (refused.label, refused.probability, refused.findings) == (None, None, None)
    assert refused.size_px is None


def test_reports_are_read_and_saved(client: Client, scans: Path, tmp_path: Path) -> None:
    result = submitted(client, scans)[1]
    assert result.report().startswith(b"%PDF")
    folder = result.save(tmp_path / "kept")
    assert folder == tmp_path / "kept" / result.image_id
    assert json.loads((folder / "record.json").read_bytes()) == result.record
    assert (folder / "report.pdf").read_bytes()[:4] == b"%PDF"
    with pytest.raises(InvalidRequestError, match="no output 'fhir'; it has report"):
        result.read("fhir")


def test_all_results_can_be_iterated(client: Client, scans: Path) -> None:
    assert list(client.results()) == []
    expected = {result.image_id for result in submitted(client, scans)}
    assert {result.image_id for result in client.results()} == expected


def test_results_are_chosen_by_day_and_models(client: Client, scans: Path) -> None:
    results = submitted(client, scans)
    day, models = results[0].finished_at.date(), results[0].model_set

    def count(**chosen: Any) -> int:
        return len(list(client.results(**chosen)))

    assert count(since=day, until=day) == 3
    assert count(since=date(day.year + 1, 1, 1)) == 0
    assert count(until=date(day.year - 1, 1, 1)) == 0
    assert (count(model_set=models), count(model_set="0" * 16)) == (3, 0)


def test_one_result_is_found_by_its_id(client: Client, scans: Path) -> None:
    expected = submitted(client, scans)[1]
    found = client.result(expected.image_id)
    assert found is not None
    assert found.record == expected.record
    assert client.result("0" * 32) is None
    assert client.result(expected.image_id, model_set="0" * 16) is None


def test_files_are_submitted_one_by_one_as_well(client: Client, scans: Path) -> None:
    batch = client.submit(scans / "b.png", str(scans / "a.png"))
    assert {each.path.name for each in batch.images} == {"a.png", "b.png"}
    assert len(batch.wait(timeout_s=60)) == 2


def test_no_image_is_an_error_that_says_so(client: Client, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InvalidRequestError, match="no images in"):
        client.submit(empty)


def test_what_is_no_event_is_refused(client: Client) -> None:
    with pytest.raises(CxrError):
        client.result_of({"detail-type": "Object Created", "detail": {"object": {}}})


# what stays pending


def test_a_fake_image_can_stay_pending() -> None:
    client = FakeClient({"a.png": pending()})
    batch = client.submit("a.png", "b.png")
    with pytest.raises(StillPendingError, match="1 of 2 images have no result") as caught:
        batch.wait(timeout_s=60)
    assert [each.path.name for each in caught.value.pending] == ["a.png"]
    assert batch.pending == caught.value.pending


def test_in_a_cloud_waiting_ends_with_the_time_and_can_be_taken_up_again(s3, scans) -> None:
    client = cloud_client(s3, stuck=frozenset({"b.png"}))
    batch = client.submit(scans)
    seen = []
    with pytest.raises(StillPendingError, match=r"1 of 3 images have no result after 30 s"):
        seen.extend(batch.results(timeout_s=30))
    assert len(seen) == 2
    assert [each.path.name for each in batch.pending] == ["b.png"]
    Pipeline(s3).run()
    assert [result.label for result in batch.wait(timeout_s=30)] == ["Abnormal"]


def test_a_cloud_is_asked_ever_less_often(s3, scans) -> None:
    pipeline = Pipeline(s3, stuck=frozenset(BEHAVIOURS))
    client = CloudClient(
        s3,
        results_bucket=RESULTS,
        model_set=MODEL_SET,
        intake=(INTAKE, "images/"),
        patience=pipeline.patience,
    )
    with pytest.raises(StillPendingError):
        client.submit(scans).wait(timeout_s=100)
    assert pipeline.waited[0] == 1.0
    assert pipeline.waited == sorted(pipeline.waited)
    assert max(pipeline.waited) == 10.0


def test_in_a_folder_waiting_ends_with_the_analysis_and_says_why(tmp_path, scans) -> None:
    (scans / "d.png").write_bytes(image("raise"))
    batch = FolderClient(tmp_path / "results", start=analyse_here).submit(scans)
    with pytest.raises(StillPendingError) as caught:
        batch.wait()
    assert [each.path.name for each in caught.value.pending] == ["d.png"]
    assert "ended with exit code 1" in str(caught.value)
    assert "the graph met something new" in str(caught.value)


# what is particular to the fake


def test_a_fakes_report_is_a_page_that_says_what_the_result_says() -> None:
    client = FakeClient({"a.png": abnormal(("Cardiomegaly", 0.9))}, otherwise=rejected())
    shown, refused = client.submit("a.png", "b.png").wait()
    for result, word in ((shown, "Cardiomegaly"), (refused, "frontal")):
        document = pdfium.PdfDocument(result.report())
        text = "".join(page.get_textpage().get_text_range() for page in document)
        document.close()
        assert word in text


def test_a_fakes_answers_are_what_was_asked_for() -> None:
    client = FakeClient({"a.png": normal(probability=0.49)}, otherwise=abnormal())
    first, second = client.submit("a.png", "b.png").wait()
    assert (first.probability, first.positive) == (0.49, False)
    assert second.findings == ()
    assert first.finished_at == datetime.fromisoformat("2026-01-02T03:04:05+00:00")


def test_a_folder_belongs_to_no_deployment(tmp_path) -> None:
    with pytest.raises(InvalidRequestError, match="name one of them"):
        connect(tmp_path, environment="dev")


@pytest.mark.slow
def test_a_folders_images_are_analysed_by_the_real_models(tmp_path, tiny_models_folder) -> None:
    from tests.builders import dicom

    (tmp_path / "scan.dcm").write_bytes(dicom())
    client = connect(tmp_path / "results", models=tiny_models_folder)
    (result,) = client.submit(tmp_path / "scan.dcm").wait(timeout_s=120)
    assert result.status == "analysed"
    assert (tmp_path / "results" / "index.html").exists()
    assert result.report().startswith(b"%PDF")
