"""One file becomes one object, once, whatever goes wrong on the way."""

import base64
import hashlib
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

from cxr.discover import Image
from cxr.upload_object import Outcome, Uploader
from cxr.upload_target import Target
from lambdas.shared.errors import ConfigError
from lambdas.shared.records import image_id_of
from tests.cxr.cloud.conftest import Place
from tests.cxr.cloud.upload_faults import FaultyS3, answered

PNG = b"\x89PNG\r\n\x1a\n"
DICOM = bytes(128) + b"DICM"
BUCKET = "cxr-intake"
KEY = "images/a.png"

Write = Callable[[Mapping[str, bytes]], Path]


@pytest.fixture
def s3(place: Place) -> FaultyS3:
    return FaultyS3(place.client("s3"))


@pytest.fixture
def film(write: Write) -> Image:
    return Image(write({"a.png": PNG + b"film"}) / "a.png", "a.png")


def uploader(s3: Any, **options: Any) -> Uploader:
    return Uploader(s3, Target(BUCKET, "images/"), pause=lambda seconds: None, **options)


def versions(place: Place, key: str = KEY) -> list[bytes]:
    """Content of every version, newest first."""
    found = place.client("s3").list_object_versions(Bucket=BUCKET, Prefix=key)
    return [
        place.client("s3")
        .get_object(Bucket=BUCKET, Key=each["Key"], VersionId=each["VersionId"])["Body"]
        .read()
        for each in found.get("Versions", ())
    ]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"II*\0", "image/tiff"),
        (DICOM, "application/dicom"),
    ],
)
def test_object_is_the_file_and_says_what_it_is(
    place: Place, s3: FaultyS3, write: Write, content: bytes, kind: str
) -> None:
    content += b"pixels"
    path = write({"scan": content}) / "scan"
    outcome = uploader(s3).upload(Image(path, "ward 3/scan"))
    head = place.client("s3").head_object(
        Bucket=BUCKET, Key="images/ward 3/scan", ChecksumMode="ENABLED"
    )
    assert head["ContentType"] == kind
    sha256 = hashlib.sha256(content)
    assert base64.b64decode(head["ChecksumSHA256"]) == sha256.digest()
    assert outcome == Outcome(
        "ward 3/scan",
        "uploaded",
        key="images/ward 3/scan",
        size_bytes=len(content),
        sha256=sha256.hexdigest(),
        version_id=head["VersionId"],
        etag=head["ETag"].strip('"'),
    )
    assert outcome.image_id(BUCKET) == image_id_of(BUCKET, "images/ward 3/scan", head["VersionId"])


def test_again_nothing_is_written(place: Place, s3: FaultyS3, film: Image) -> None:
    first, again = (uploader(s3).upload(film) for _ in range(2))
    assert (first.state, again.state) == ("uploaded", "there")
    assert again.version_id == first.version_id
    assert (s3.count("put_object"), s3.count("get_object")) == (1, 0)


@pytest.mark.parametrize("how", ["plain", "in parts"])
def test_object_of_another_program_is_compared_by_reading(
    place: Place, s3: FaultyS3, write: Write, how: str
) -> None:
    content = PNG + os.urandom(6 * 1024 * 1024)
    path = write({"a.png": content}) / "a.png"
    if how == "plain":
        place.client("s3").put_object(Bucket=BUCKET, Key=KEY, Body=content)
    else:
        made = place.client("s3").create_multipart_upload(
            Bucket=BUCKET, Key=KEY, ChecksumAlgorithm="SHA256"
        )
        parts = []
        for number, start in enumerate((0, 5 * 1024 * 1024), start=1):
            part = content[start : 5 * 1024 * 1024 if number == 1 else None]
            answer = place.client("s3").upload_part(
                Bucket=BUCKET,
                Key=KEY,
                UploadId=made["UploadId"],
                PartNumber=number,
                Body=part,
                ChecksumAlgorithm="SHA256",
            )
            parts.append({"PartNumber": number, "ETag": answer["ETag"]})
        place.client("s3").complete_multipart_upload(
            Bucket=BUCKET, Key=KEY, UploadId=made["UploadId"], MultipartUpload={"Parts": parts}
        )
    assert uploader(s3).upload(Image(path, "a.png")).state == "there"
    assert s3.count("get_object") == 1
    changed = write({"b.png": content[:-1] + bytes([content[-1] ^ 1])}) / "b.png"
    assert uploader(s3).upload(Image(changed, "a.png")).state == "failed"
    assert len(versions(place)) == 1


def test_other_content_is_left_alone_unless_told(
    place: Place, s3: FaultyS3, film: Image, write: Write
) -> None:
    uploader(s3).upload(film)
    corrected = Image(write({"b.png": PNG + b"corrected"}) / "b.png", "a.png")
    outcome = uploader(s3).upload(corrected)
    assert (outcome.state, outcome.key) == ("failed", "")
    assert outcome.reason == "another image has this name there: rename it, or use --replace"
    assert versions(place) == [PNG + b"film"]
    assert uploader(s3, replace_others=True).upload(corrected).state == "replaced"
    assert versions(place) == [PNG + b"corrected", PNG + b"film"]
    assert uploader(s3, replace_others=True).upload(corrected).state == "there"


@pytest.mark.parametrize("fault", ["SlowDown", "InternalError", "RequestTimeout"])
def test_throttling_and_faults_are_tried_again(
    place: Place, s3: FaultyS3, film: Image, fault: str
) -> None:
    s3.before["put_object"] = [answered(fault, 503)] * 3
    s3.before["head_object"] = [None, answered(fault, 503)]
    pauses: list[float] = []
    careful = Uploader(s3, Target(BUCKET, "images/"), pause=pauses.append)
    careful_outcome = careful.upload(film)
    assert careful_outcome.state == "failed", "four attempts, and each met a fault"
    assert careful_outcome.outside
    assert pauses == [1, 5, 20]
    assert uploader(s3).upload(film).state == "uploaded"
    assert len(versions(place)) == 1


@pytest.mark.parametrize(
    "lost",
    [
        ConnectionClosedError(endpoint_url="https://s3"),
        ReadTimeoutError(endpoint_url="https://s3"),
        answered("InternalError", 500),
    ],
    ids=["connection", "time", "server"],
)
def test_answer_that_is_lost_makes_no_second_version(
    place: Place, s3: FaultyS3, film: Image, lost: Exception
) -> None:
    s3.after["put_object"] = [lost]
    assert uploader(s3).upload(film).state == "there"
    assert versions(place) == [PNG + b"film"]


def test_put_that_finds_its_own_object_counts_as_uploaded(
    place: Place, s3: FaultyS3, film: Image
) -> None:
    """As after a retry within botocore: the answer to the first attempt got lost."""
    real = s3._s3.put_object

    def twice(**options: Any) -> Any:
        real(**options)
        options["Body"].seek(0)
        return real(**options)

    s3.put_object = twice  # type: ignore[method-assign]
    outcome = uploader(s3).upload(film)
    assert (outcome.state, len(versions(place))) == ("uploaded", 1)
    assert outcome.version_id is not None


def test_two_at_once_make_one_version(place: Place, s3: FaultyS3, film: Image) -> None:
    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(uploader(s3).upload, [film] * 8))
    assert {outcome.state for outcome in outcomes} <= {"uploaded", "there"}
    assert len({outcome.version_id for outcome in outcomes}) == 1
    assert len(versions(place)) == 1


def test_object_that_somebody_else_keeps_changing_is_given_up(
    place: Place, s3: FaultyS3, film: Image
) -> None:
    s3.before["put_object"] = [answered("PreconditionFailed", 412)] * 9
    outcome = uploader(s3).upload(film)
    assert outcome.reason.startswith("somebody else writes this object")
    assert s3.count("put_object") < 9


def test_whoever_may_only_put_uploads_once(place: Place, s3: FaultyS3, film: Image) -> None:
    s3.before["head_object"] = [answered("403", 403, "HeadObject")] * 9
    assert uploader(s3).upload(film).state == "uploaded"
    again = uploader(s3).upload(film)
    assert again.state == "failed"
    assert "you may not read it to compare; your role needs s3:GetObject" in again.reason
    assert len(versions(place)) == 1


@pytest.mark.parametrize("code", ["AccessDenied", "ExpiredToken", "InvalidAccessKeyId"])
def test_what_fails_for_all_is_raised(s3: FaultyS3, film: Image, code: str) -> None:
    s3.before["put_object"] = [answered(code, 403)]
    with pytest.raises(ConfigError):
        uploader(s3).upload(film)


def test_what_s3_refuses_of_one_file_is_that_files_failure(s3: FaultyS3, film: Image) -> None:
    s3.before["put_object"] = [answered("KeyTooLongError", 400)]
    outcome = uploader(s3).upload(film)
    assert outcome.reason == "uploading: AWS answers KeyTooLongError to PutObject"
    assert outcome.outside


def test_dry_run_writes_nothing(place: Place, s3: FaultyS3, film: Image) -> None:
    outcome = uploader(s3, dry_run=True).upload(film)
    assert (outcome.state, outcome.version_id) == ("uploaded", None)
    assert outcome.image_id(BUCKET) is None
    uploader(s3).upload(film)
    assert uploader(s3, dry_run=True).upload(film).state == "there"
    assert s3.count("put_object") == 1


def test_file_that_changes_on_its_way_is_not_kept(s3: FaultyS3, film: Image) -> None:
    s3.before["put_object"] = [answered("BadDigest", 400)]
    outcome = uploader(s3).upload(film)
    assert outcome.reason == "it changed while it was uploaded; run the same command again"


def test_checksum_that_is_not_ours_is_a_failure(s3: FaultyS3, film: Image) -> None:
    real = s3._s3.put_object

    def lying(**options: Any) -> Any:
        return real(**options) | {"ChecksumSHA256": "other"}

    s3.put_object = lying  # type: ignore[method-assign]
    assert (
        uploader(s3).upload(film).reason == "S3 tells another checksum than that of what was sent"
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"patient,age\n", "text, not an image"),
        (b"PK\x03\x04", "zip, not an image"),
        (b"%PDF-1.7", "pdf, not an image"),
        (b"\0\1\2", "not an image"),
    ],
)
def test_what_is_no_image_is_skipped(
    s3: FaultyS3, write: Write, content: bytes, reason: str
) -> None:
    outcome = uploader(s3).upload(Image(write({"x.dcm": content}) / "x.dcm", "x.dcm"))
    assert (outcome.state, outcome.reason) == ("skipped", reason)
    assert s3.calls == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ü" * 509, "its key would have 1,025 bytes, S3 takes 1,024; shorten its path"),
        (os.fsdecode(b"scan\xff.png"), "its name is not UTF-8, as keys must be; rename it"),
    ],
    ids=["long", "no text"],
)
def test_name_that_is_no_key(s3: FaultyS3, film: Image, name: str, reason: str) -> None:
    outcome = uploader(s3).upload(Image(film.path, name))
    assert (outcome.state, outcome.reason) == ("failed", reason)
    assert s3.calls == []


@pytest.mark.parametrize("name", ["ü" * 508, "a b+c%20d&é日本.png", "..a/b"])
def test_any_other_name_is_kept_as_it_is(
    place: Place, s3: FaultyS3, film: Image, name: str
) -> None:
    assert uploader(s3).upload(Image(film.path, name)).state == "uploaded"
    (found,) = place.client("s3").list_objects_v2(Bucket=BUCKET)["Contents"]
    assert found["Key"] == f"images/{name}"


def test_file_that_no_reader_takes_is_refused(s3: FaultyS3, film: Image) -> None:
    with film.path.open("ab") as file:
        file.truncate(257 * 1024 * 1024)
    outcome = uploader(s3).upload(film)
    assert outcome.reason == "257 MiB, the limit of an image is 256"
    assert s3.calls == []


def test_file_that_is_gone_says_so(s3: FaultyS3, film: Image) -> None:
    film.path.unlink()
    outcome = uploader(s3).upload(film)
    assert (outcome.state, outcome.reason) == (
        "failed",
        "cannot be read: No such file or directory",
    )
