"""One contract for every client: the fake's consumers are promised what the real ones do."""

import contextlib
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import IO, Any

import boto3
import pypdfium2 as pdfium
import pytest
from moto import mock_aws

from cxr.cli import main
from cxr.client import Client, StillPendingError, connect
from cxr.client_types import ImageResult, LocalisedFinding, Rejection
from cxr.cloud_client import CloudClient
from cxr.fake_client import FakeClient, abnormal, normal, pending, rejected
from cxr.folder_client import FolderClient
from cxr.keys import result_folder
from cxr.output_folder import OutputFolder
from cxr.submitted_files import find_images
from lambdas.shared.errors import ContractError, CxrError, InvalidRequestError
from lambdas.shared.records import RECORD_FILE, Source, image_id_of, result_key, to_json
from tests.conftest import REPOSITORY
from tests.cxr.fakes import MODEL_SET, FakeAnalyser, make_fake

INTAKE, RESULTS = "the-intake", "the-results"
BEHAVIOURS = {"a.png": "normal", "b.png": "abnormal", "c.png": "rejected"}
SCORES = (("Cardiomegaly", 0.91), ("Pleural effusion", 0.42))


def image(behaviour: str) -> bytes:
    """What the fake models obey, and what looks like a DICOM file before it is uploaded."""
    return b"\0" + f"{behaviour} ".encode().ljust(127) + b"DICM"


@dataclass
class Finished:
    """A process that has ended."""

    code: int

    def poll(self) -> int:
        return self.code


class Pipeline:
    """What stands behind the buckets: works whenever somebody waits."""

    def __init__(self, s3: Any, *, stuck: frozenset[str] = frozenset()) -> None:
        self._s3, self._stuck = s3, stuck
        self.waited: list[float] = []

    def patience(self, seconds: float | None) -> "Pipeline":
        self._left = float("inf") if seconds is None else seconds
        return self

    def wait(self, seconds: float) -> bool:
        self.run()
        self.waited.append(seconds)
        self._left -= seconds
        return self._left > 0

    def run(self) -> None:
        for item in self._s3.list_object_versions(Bucket=INTAKE).get("Versions", ()):
            key, version = item["Key"], item["VersionId"]
            if key.rpartition("/")[2] in self._stuck:
                continue
            data = self._s3.get_object(Bucket=INTAKE, Key=key, VersionId=version)["Body"].read()
            version = item["ETag"].strip('"') if version == "null" else version
            source = Source(bucket=INTAKE, key=key, version=version, sha256="0" * 64)
            analysis = FakeAnalyser().analyse(data, source)
            for name, content in analysis.files.items():
                place = result_key(MODEL_SET, source.image_id, name)
                self._s3.put_object(Bucket=RESULTS, Key=place, Body=content)
            place = result_key(MODEL_SET, source.image_id, RECORD_FILE)
            self._s3.put_object(Bucket=RESULTS, Key=place, Body=to_json(analysis.record))


@pytest.fixture(scope="module")
def aws() -> Iterator[Any]:
    """One client for all: making one takes longer than most tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        with mock_aws():
            yield boto3.client("s3")


@pytest.fixture
def s3(aws: Any) -> Iterator[Any]:
    for bucket in (INTAKE, RESULTS):
        aws.create_bucket(Bucket=bucket)
    aws.put_bucket_versioning(Bucket=INTAKE, VersioningConfiguration={"Status": "Enabled"})
    yield aws
    for bucket in aws.list_buckets()["Buckets"]:
        for item in aws.list_object_versions(Bucket=bucket["Name"]).get("Versions", ()):
            aws.delete_object(Bucket=bucket["Name"], Key=item["Key"], VersionId=item["VersionId"])
        aws.delete_bucket(Bucket=bucket["Name"])


def cloud_client(s3: Any, **settings: Any) -> CloudClient:
    pipeline = Pipeline(s3, **settings)
    return CloudClient(
        s3,
        results_bucket=RESULTS,
        model_set=MODEL_SET,
        intake=(INTAKE, "images/"),
        patience=pipeline.patience,
    )


def analyse_here(arguments: Sequence[str], errors: IO[bytes]) -> Finished:
    """What `cxr analyze` with fake models leaves, without its processes."""
    out = arguments.index("--out")
    place = Path(arguments[out + 1])
    code = 0
    with OutputFolder(place) as folder:
        for found in find_images(arguments[:out], out=place):
            data = found.path.read_bytes()
            digest = hashlib.sha256(data).hexdigest()
            try:
                analysis = FakeAnalyser().analyse(data, Source(None, found.key, None, digest))
            except RuntimeError as error:
                errors.write(f"{found.key}: {error}".encode())
                code = 1
                continue
            record = to_json(analysis.record)
            folder.save_result(result_folder(found.key), record=record, files=analysis.files)
    return Finished(code)


def analyse_for_real(arguments: Sequence[str], errors: IO[bytes]) -> Finished:
    """`cxr analyze` with fake models, to its end."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        code = main(["analyze", *arguments, "--workers", "1"], make_analyser=make_fake)
    errors.write(said.getvalue().encode())
    return Finished(code)


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    for name, behaviour in BEHAVIOURS.items():
        (folder / name).write_bytes(image(behaviour))
    return folder


Make = Callable[[], Client]


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


def submitted(client: Client, scans: Path) -> tuple[ImageResult, ...]:
    return client.submit(scans).wait(timeout_s=60)


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


# what is particular to a cloud


def test_the_same_file_is_not_processed_twice(s3, scans) -> None:
    batches = [cloud_client(s3).submit(scans) for _ in range(2)]
    assert batches[0].images == batches[1].images
    assert len(s3.list_object_versions(Bucket=INTAKE)["Versions"]) == 3
    assert batches[0].wait(timeout_s=60) == batches[1].wait(timeout_s=60)


def test_what_is_no_image_is_left_out(s3, scans) -> None:
    (scans / "notes.txt").write_text("notes")
    (scans / "archive.zip").write_bytes(b"PK\x03\x04" + bytes(100))
    assert len(cloud_client(s3).submit(scans).images) == 3
    with pytest.raises(InvalidRequestError, match="no images in"):
        cloud_client(s3).submit(scans / "archive.zip")


def test_a_file_that_cannot_be_uploaded_is_named(s3, scans, monkeypatch) -> None:
    monkeypatch.setattr("cxr.upload_object.MAX_FILE_BYTES", 10)
    with pytest.raises(InvalidRequestError, match=r"a\.png was not uploaded: 0 MiB, the limit"):
        cloud_client(s3).submit(scans / "a.png")


def test_an_image_is_known_by_the_version_that_was_uploaded(s3, scans) -> None:
    (first,) = cloud_client(s3).submit(scans / "a.png").images
    (scans / "a.png").write_bytes(image("abnormal"))
    (second,) = cloud_client(s3).submit(scans / "a.png").images
    assert first.image_id != second.image_id
    versions = s3.list_object_versions(Bucket=INTAKE)["Versions"]
    assert {first.image_id, second.image_id} == {
        image_id_of(INTAKE, "images/a.png", each["VersionId"]) for each in versions
    }


def test_without_versions_an_image_is_known_by_its_etag(s3, scans) -> None:
    s3.create_bucket(Bucket="plain")
    intake = ("plain", "images/")
    client = CloudClient(s3, results_bucket=RESULTS, model_set=MODEL_SET, intake=intake)
    (found,) = client.submit(scans / "a.png").images
    etag = s3.head_object(Bucket="plain", Key="images/a.png")["ETag"].strip('"')
    assert found.image_id == image_id_of("plain", "images/a.png", etag)


def test_uploads_carry_a_checksum_and_keep_their_path(s3, scans) -> None:
    (scans / "deep").mkdir()
    (scans / "deep" / "é +.png").write_bytes(image("normal"))
    cloud_client(s3).submit(scans)
    keys = {each["Key"] for each in s3.list_objects_v2(Bucket=INTAKE)["Contents"]}
    assert keys == {"images/a.png", "images/b.png", "images/c.png", "images/deep/é +.png"}
    head = s3.head_object(Bucket=INTAKE, Key="images/a.png", ChecksumMode="ENABLED")
    assert head["ChecksumSHA256"]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda event: event,
        lambda event: event["detail"],
        lambda event: {"Type": "Notification", "Message": json.dumps(event)},  # SNS by HTTP
        lambda event: {"Records": [{"Sns": {"Message": json.dumps(event)}}]},  # SNS to Lambda
        lambda event: {"MessageId": "1", "Body": json.dumps(event)},  # SQS by its API
        lambda event: {"Records": [{"messageId": "1", "body": json.dumps(event)}]},  # to Lambda
        lambda event: {"body": json.dumps({"Message": json.dumps(event)})},  # SNS by SQS
    ],
    ids=["event", "detail", "sns", "sns-lambda", "sqs", "sqs-lambda", "sns-sqs"],
)
def test_an_event_leads_to_its_result_however_it_was_wrapped(s3, scans, wrap) -> None:
    expected = submitted(cloud_client(s3), scans)[1]
    detail = {"schema_version": "1.7.0", "record": expected.address, "new_field": 1}
    event = {"detail-type": "Radiograph Processed", "source": "cxr-batch", "detail": detail}
    assert cloud_client(s3).result_of(wrap(event)).record == expected.record


def test_a_fakes_events_are_those_of_the_pipeline() -> None:
    client = FakeClient(otherwise=abnormal(("Scoliosis", 0.8)))
    (result,) = client.submit("a.png").wait()
    event = client.event_of(result.image_id)
    assert client.result_of(event) == result
    assert (event["detail-type"], event["detail"]["label"]) == ("Radiograph Processed", "Abnormal")


def test_several_messages_are_to_be_given_one_by_one() -> None:
    with pytest.raises(InvalidRequestError, match="2 messages in one event"):
        FakeClient().result_of({"Records": [{"body": "{}"}, {"body": "{}"}]})


def test_a_bucket_alone_is_read_but_not_submitted_to(s3, scans) -> None:
    expected = {each.image_id for each in submitted(cloud_client(s3), scans)}
    client = connect(f"s3://{RESULTS}")
    assert {result.image_id for result in client.results()} == expected
    with pytest.raises(InvalidRequestError, match="reads a bucket of results"):
        client.submit(scans)
    with pytest.raises(InvalidRequestError, match="name the model_set"):
        client.result("0" * 32)
    assert client.result(expected.pop(), model_set=MODEL_SET) is not None


@pytest.mark.slow
def test_a_deployment_is_found_by_its_outputs(s3, scans, monkeypatch) -> None:
    """As `make deploy` leaves it: buckets and model set are the stack's outputs."""
    from infra.config import load_settings
    from infra.pipeline import output_names

    values = {"IntakeBucket": INTAKE, "ResultsBucket": RESULTS, "IntakePrefix": "images/"}
    values |= {"ModelSet": MODEL_SET}
    template = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {name: {"Value": values.get(name, "x")} for name in output_names()},
    }
    boto3.client("cloudformation").create_stack(
        StackName=load_settings().stack_name, TemplateBody=json.dumps(template)
    )
    batch = connect().submit(scans)
    Pipeline(s3).run()
    assert [result.label for result in batch.wait(timeout_s=5)] == ["Normal", "Abnormal", None]


def test_a_name_that_leads_outside_is_not_read(s3, scans, tmp_path) -> None:
    result = submitted(cloud_client(s3), scans)[0]
    for name in ("../../../secret", "/etc/passwd"):
        result.record["outputs"]["report"] = name
        with pytest.raises(InvalidRequestError, match="lies outside"):
            result.save(tmp_path / "kept")


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"schema_version": "2.0.0"}'])
def test_what_is_no_record_of_ours_is_said(tmp_path, content) -> None:
    (tmp_path / "record.json").write_bytes(content)
    with pytest.raises(ContractError, match="record"):
        list(FolderClient(tmp_path).results())


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


@pytest.mark.slow
def test_the_embedded_cloud_answers_as_a_deployment_does(tmp_path, tiny_models_folder) -> None:
    from infra.local import EmbeddedCloud, LocalSettings
    from tests.builders import dicom, film, png

    (tmp_path / "SMITH^JOHN").mkdir()
    (tmp_path / "SMITH^JOHN" / "film.dcm").write_bytes(dicom())
    (tmp_path / "SMITH^JOHN" / "film é+.png").write_bytes(png(film()))
    with EmbeddedCloud(LocalSettings(models=tiny_models_folder)) as cloud:
        client = connect(endpoint_url=cloud.endpoint)
        results = client.submit(tmp_path / "SMITH^JOHN").wait(timeout_s=120)
        assert [result.status for result in results] == ["analysed", "analysed"]
        assert {result.image_id for result in client.results()} == {
            result.image_id for result in results
        }
        assert results[0].report().startswith(b"%PDF")
        assert "SMITH" not in results[0].address
