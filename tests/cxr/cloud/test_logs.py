"""`cxr logs`: the story of an image, as a stranger reads it."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from cxr import image_logs, image_versions
from cxr.image_logs import ImageLogs, parse_line
from lambdas.shared.messages import ImageRef
from lambdas.shared.records import Record, Source, image_id_of, result_key, to_json
from tests.cxr.cloud.conftest import MODEL_SET, Place
from tests.cxr.fakes import record_of

KEY = "images/ward 3/SMITH^JOHN é.dcm"


def id_of(image: ImageRef) -> str:
    return image_id_of(image.bucket, image.key, image.version)


def put_record(place: Place, image: ImageRef, kind: str, model_set: str = MODEL_SET) -> Record:
    source = Source(image.bucket, image.key, image.version, "b" * 64)
    record = record_of(source, kind) | {"model_set": model_set}
    bucket = place.deployment.results_bucket
    for name in (*record["outputs"].values(), "record.json"):
        place.client("s3").put_object(
            Bucket=bucket, Key=result_key(model_set, id_of(image), name), Body=to_json(record)
        )
    return record


def line(image: ImageRef, message: str, **details: Any) -> dict[str, Any]:
    """As Powertools writes it."""
    return {
        "level": details.pop("level", "INFO"),
        "message": message,
        "timestamp": "2026-11-23 10:00:00,000+0000",
        "service": "classify",
        "image_id": id_of(image),
        "request_id": details.pop("request_id", "request-1"),
        **details,
    }


def test_image_that_is_done(place: Place) -> None:
    image = place.upload(KEY, b"film")
    put_record(place, image, "abnormal")
    other = place.upload("images/other.dcm")
    place.log("classify", line(image, "classify begun"), line(other, "classify begun"))
    place.log("classify", line(image, "classify done", milliseconds=1234))
    place.log("report", line(image, "report done", milliseconds=56), '{"_aws": {"Timestamp": 1}}')
    code, out, err = place.run("logs", KEY)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    folder = f"results/{MODEL_SET}/{id_of(image)}/"
    assert lines[0] == f"s3://cxr-intake/{KEY}"
    assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC, 4 bytes, newest version", lines[2])
    assert lines[3] == f"Image id {id_of(image)}"
    assert lines[4].startswith("Abnormal 0.")
    assert lines[-6] == f"Report {place.endpoint}/cxr-results/{folder}report.pdf"
    assert lines[-5] == f"Files  s3://cxr-results/{folder}"
    assert lines[-4] == "       record.json, report.pdf, thumbnail.jpg"
    assert [re.sub(r"^  \S+ \S+  ", "", each) for each in lines[-3:]] == [
        "classify  begun",
        "classify  done, 1,234 ms",
        "report    done, 56 ms",
    ]


@pytest.mark.parametrize("name", [KEY, KEY.removeprefix("images/"), f"s3://cxr-intake/{KEY}"])
def test_image_may_be_named_in_three_ways(place: Place, name: str) -> None:
    image = place.upload(KEY)
    found = place.json("logs", name)
    assert (found["bucket"], found["key"]) == ("cxr-intake", KEY)
    assert [each["image_id"] for each in found["versions"]] == [id_of(image)]


def test_image_id_alone_is_enough_and_shows_no_key(place: Place) -> None:
    image = place.upload(KEY)
    put_record(place, image, "rejected")
    place.log("report", line(image, "report rejected (broken_file)"))
    code, out, _ = place.run("logs", id_of(image))
    assert code == 0
    assert "SMITH" not in out
    assert out.splitlines()[0] == f"Image id {id_of(image)}"
    assert "Rejected: " in out
    assert out.splitlines()[-1].endswith("report    rejected (broken_file)")
    assert f"Key {KEY}" in place.run("logs", id_of(image), "--show-keys")[1]
    assert place.json("logs", id_of(image))["key"] is None


def test_every_version_has_its_own_story(place: Place) -> None:
    versions = [place.upload(KEY, b"film %d" % number) for number in range(7)]
    put_record(place, versions[0], "normal")
    put_record(place, versions[6], "abnormal")
    place.upload(KEY + ".copy")  # a longer key that starts alike
    found = place.json("logs", KEY)
    assert [each["image_id"] for each in found["versions"]] == [
        id_of(image) for image in reversed(versions[2:])
    ]
    assert found["older_versions"] == 2
    assert [each["newest"] for each in found["versions"]] == [True] + [False] * 4
    assert "and 2 older versions; --versions N tells of more" in place.run("logs", KEY)[1]
    everything = place.json("logs", KEY, "--versions", "10")["versions"]
    assert [each["records"][0]["label"] for each in everything if each["records"]] == [
        "Abnormal",
        "Normal",
    ]


def test_results_of_earlier_models_are_told_apart(place: Place) -> None:
    image = place.upload(KEY)
    put_record(place, image, "normal", model_set="0" * 16)
    put_record(place, image, "abnormal")
    (version,) = place.json("logs", KEY)["versions"]
    assert [(each["model_set"], each["deployed_models"]) for each in version["records"]] == [
        (MODEL_SET, True),
        ("0" * 16, False),
    ]
    assert f"(earlier models, {'0' * 16})" in place.run("logs", KEY)[1]


def test_image_that_was_given_up(place: Place) -> None:
    image = place.upload(KEY)
    place.give_up("detect", place.upload("images/other.dcm"))
    place.give_up("detect", image)
    reason = "reading an image: AWS answered InternalError"
    details = {"level": "WARNING", "error": "StorageUnavailableError", "reason": reason}
    place.log("detect", line(image, "image failed; its message stays", **details))
    code, out, _ = place.run("logs", KEY)
    assert code == 0
    assert "Given up by detect, received once; sends it back: cxr redrive" in out
    assert out.splitlines()[-1].endswith(
        f"detect    WARNING image failed; its message stays: StorageUnavailableError: {reason}"
    )
    (version,) = place.json("logs", KEY)["versions"]
    assert [(each["by"], each["received"]) for each in version["given_up"]] == [("detect", 2)]
    (unasked,) = place.json("logs", KEY, "--no-queues")["versions"]
    assert unasked["given_up"] == []
    assert place.count(place.dead_letters("detect")) == 2


def test_image_that_took_all_memory(place: Place) -> None:
    """The function says nothing any more: Lambda does, and names the invocation alone."""
    image, neighbour = place.upload(KEY), place.upload("images/neighbour.dcm")
    request = "2f6ae0a2-7f6c-4d4a-9b55-0ad7d1b1b6f5"
    place.log(
        "classify",
        f"START RequestId: {request} Version: $LATEST",
        line(neighbour, "classify begun", request_id=request),
        line(image, "classify begun", request_id=request),
        f"END RequestId: {request}",
        f"REPORT RequestId: {request}\tDuration: 9000.00 ms\tBilled Duration: 9001 ms\t"
        "Memory Size: 3008 MB\tMax Memory Used: 3008 MB\tStatus: error\t"
        "Error Type: Runtime.OutOfMemory",
    )
    lines = place.run("logs", KEY)[1].splitlines()
    assert lines[4] == (
        "No record yet, and not given up: on its way, or to be tried again (cxr status)"
    )
    assert [re.sub(r"^  \S+ \S+  ", "", each) for each in lines[-2:]] == [
        "classify  begun",
        "classify  LAMBDA out of memory: used all 3008 MB",
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("2026-11-23T10:00:00Z r-1 Task timed out after 310.00 seconds", "Task timed out after"),
        (
            "RequestId: r-1 Error: Runtime exited with error: signal: killed",
            "Error: Runtime exited",
        ),
        (
            "RequestId: r-1 Error: Sandbox.Timedout: Task timed out after 3.00 seconds",
            "Error: Sandbox.Timedout",
        ),
        (
            "REPORT RequestId: r-1\tMemory Size: 512 MB\tMax Memory Used: 90 MB\tStatus: timeout",
            "ended with status timeout",
        ),
    ],
    ids=["time", "killed", "embedded cloud", "report"],
)
def test_bad_ends_in_lambdas_words(text: str, sentence: str) -> None:
    found = parse_line({"timestamp": 0, "message": text}, "detect", "r-1")
    assert found is not None
    assert found.sentence.startswith(sentence)
    assert found.fault == found.sentence


@pytest.mark.parametrize(
    "text",
    [
        "START RequestId: r-1 Version: $LATEST",
        "REPORT RequestId: r-1\tDuration: 3.00 ms\tMemory Size: 512 MB\tMax Memory Used: 90 MB",
        '{"_aws": {"Timestamp": 1}, "Probability": [0.4]}',
        "[1, 2]",
    ],
    ids=["start", "good end", "metrics", "some list"],
)
def test_lines_that_tell_nothing_are_left_out(text: str) -> None:
    assert parse_line({"timestamp": 0, "message": text}, "detect", "r-1") is None


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        (
            "images/scan.dcm",
            "No stage has seen it: it waits in the first queue (cxr status), or its",
        ),
        ("elsewhere/scan.dcm", "No record: the upload rule does not take keys outside of its"),
    ],
)
def test_image_that_no_stage_has_seen(place: Place, key: str, sentence: str) -> None:
    place.upload(key)
    code, out, _ = place.run("logs", key)
    assert code == 0
    assert sentence in out


def test_image_that_was_deleted(place: Place) -> None:
    image = place.upload(KEY)
    put_record(place, image, "normal")
    place.client("s3").delete_object(Bucket=image.bucket, Key=KEY)
    code, out, _ = place.run("logs", KEY)
    assert code == 0
    assert out.splitlines()[1].startswith("Deleted 20")
    assert "Normal 0." in out


def test_what_is_not_there_is_said(place: Place) -> None:
    code, out, _ = place.run("logs", "images/SMITH.dcm")
    assert (code, out) == (
        1,
        "s3://cxr-intake/images/SMITH.dcm\n"
        "There is no such object; check bucket, key and its spelling\n",
    )
    code, out, _ = place.run("logs", "0" * 32)
    assert code == 1
    assert "Nothing is known of it" in out
    assert place.run("logs", "s3://bucket-alone")[0] == 2


def test_bucket_without_versioning_tells_images_by_etag(place: Place) -> None:
    s3 = place.client("s3")
    s3.create_bucket(Bucket="plain")
    etag = s3.put_object(Bucket="plain", Key="scan.dcm", Body=b"x")["ETag"].strip('"')
    (version,) = place.json("logs", "s3://plain/scan.dcm")["versions"]
    assert version["image_id"] == image_id_of("plain", "scan.dcm", etag)


def test_search_for_a_key_does_not_list_the_whole_bucket() -> None:
    """`images/` is no object here, but what thousands of keys start with."""
    pages: list[int] = []

    class Endless:
        def paginate(self, **_: Any) -> Iterator[dict[str, Any]]:
            while True:
                pages.append(1)
                yield {"Versions": [{"Key": "images/other"}]}

    class S3:
        def get_paginator(self, _: str) -> Endless:
            return Endless()

    assert list(image_versions._listed(S3(), "bucket", "images/")) == []
    assert len(pages) == 1


def denied(*_: Any, **__: Any) -> Any:
    raise ClientError(
        {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}},
        "Something",
    )


def test_what_one_may_not_ask_is_said_and_the_rest_told(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = place.upload(KEY)
    put_record(place, image, "normal")
    place.give_up("detect", image)
    for service, call in (("logs", "get_paginator"), ("sqs", "receive_message")):
        monkeypatch.setattr(place.client(service), call, denied)
    paginator = place.client("s3").get_paginator

    def no_versions(name: str) -> Any:
        return denied() if name == "list_object_versions" else paginator(name)

    monkeypatch.setattr(place.client("s3"), "get_paginator", no_versions)
    code, out, _ = place.run("logs", KEY)
    assert code == 0
    assert f"Image id {id_of(image)}" in out
    assert "Normal 0." in out
    problems = [each for each in out.splitlines() if each.startswith("Not known: ")]
    assert len(problems) == 2
    assert "sqs:ReceiveMessage" in problems[0]
    assert "logs:FilterLogEvents" in problems[1]


def test_since_bounds_the_search(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    image = place.upload(KEY)
    asked: list[datetime] = []
    search = ImageLogs.of_image

    def noting(self: ImageLogs, image_id: str, *, since: datetime) -> Any:
        asked.append(since)
        return search(self, image_id, since=since)

    monkeypatch.setattr(image_logs.ImageLogs, "of_image", noting)
    now = datetime.now(UTC)
    for arguments in ((KEY,), (KEY, "--since", "2h"), (id_of(image),)):
        place.run("logs", *arguments)
    expected = (timedelta(minutes=1), timedelta(hours=2), timedelta(days=14))
    for since, ago in zip(asked, expected, strict=True):
        assert abs(now - ago - since) < timedelta(minutes=1)
    assert place.run("logs", KEY, "--since", "soon")[0] == 2


def test_log_group_that_is_not_there_is_an_empty_one(place: Place) -> None:
    for stage in place.deployment.stages:
        place.client("logs").delete_log_group(logGroupName=stage.log_group)
    place.upload(KEY)
    code, out, _ = place.run("logs", KEY)
    assert code == 0
    assert "Not known" not in out


def test_archive_job_that_could_not_analyse_an_image(place: Place) -> None:
    image, other = place.upload(KEY), place.upload("images/other.dcm")
    failed = {"level": "ERROR", "error": "ValueError", "trace": ["analyse.py:7 analyse"]}
    request = "2f6ae0a2-7f6c-4d4a-9b55-0ad7d1b1b6f5"
    place.log(
        "batch",
        line(other, image_logs.FAILED, service="batch", **failed),
        line(image, image_logs.FAILED, service="batch", request_id=request, **failed),
        f"2026-11-23T10:00:00.000Z {request} Task timed out after 300.00 seconds",
    )
    code, out, _ = place.run("logs", KEY)
    assert code == 0
    told = [re.sub(r"^  \S+ \S+  ", "", each) for each in out.splitlines()[-2:]]
    assert told == [
        "batch     ERROR image failed in a batch: ValueError at analyse.py:7 analyse",
        "batch     LAMBDA Task timed out after 300.00 seconds",
    ]
    (version,) = place.json("logs", KEY)["versions"]
    assert [each["stage"] for each in version["lines"]] == ["batch", "batch"]
