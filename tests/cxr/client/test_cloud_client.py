"""What is particular to a cloud: versions, uploads, events, and finding a deployment."""

import json

import boto3
import pytest

from cxr.client import connect
from cxr.cloud_client import CloudClient
from cxr.fake_client import FakeClient, abnormal
from cxr.folder_client import FolderClient
from lambdas.shared.errors import ContractError, InvalidRequestError
from lambdas.shared.records import image_id_of
from tests.cxr.client.world import (
    INTAKE,
    RESULTS,
    Pipeline,
    cloud_client,
    image,
    submitted,
)
from tests.cxr.fakes import MODEL_SET


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
