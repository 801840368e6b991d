"""`cxr upload` as a stranger reads it."""

import csv
import json
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from cxr import upload as upload_module
from cxr.aws import Cloud
from cxr.upload_object import Uploader
from cxr.upload_progress import UploadProgress, size_text
from cxr.upload_target import Target, parse_target
from lambdas.batch.sources import LIST_COLUMNS
from lambdas.shared.records import image_id_of
from tests.cxr.cloud.conftest import Place
from tests.cxr.cloud.upload_faults import FaultyS3, answered

PNG = b"\x89PNG\r\n\x1a\n"
DICOM = bytes(128) + b"DICM"
INTAKE = "s3://cxr-intake/images/"

Write = Callable[[Mapping[str, bytes]], Path]


@pytest.fixture
def scans(write: Write) -> Path:
    return write(
        {
            "ward 3/SMITH^JOHN/IM1": DICOM + b"1",
            "ward 3/é.png": PNG + b"2",
            "10.png": PNG + b"3" * 999_984,
            "notes.txt": b"patients of ward 3\n",
            "old/scans.zip": b"PK\x03\x04",
            ".hidden": PNG,
        }
    )


def keys(place: Place, bucket: str = "cxr-intake") -> list[str]:
    found = place.client("s3").list_objects_v2(Bucket=bucket)
    return [each["Key"] for each in found.get("Contents", ())]


def versions(place: Place) -> int:
    return len(place.client("s3").list_object_versions(Bucket="cxr-intake").get("Versions", ()))


def lines_of(text: str) -> list[str]:
    """With the figures that differ from run to run left out."""
    return [
        re.sub(r"in \d+\.\d s, [\d.]+ .?B/s$", "in TIME, RATE", line) for line in text.splitlines()
    ]


def test_folder_is_uploaded_once(place: Place, scans: Path) -> None:
    code, out, err = place.run("upload", str(scans), INTAKE)
    assert code == 0
    assert lines_of(out) == [
        f"3 images are in {INTAKE}: 3 uploaded; 1.0 MB in TIME, RATE",
        "Skipped: 2",
        "  notes.txt: text, not an image",
        "  old/scans.zip: zip, not an image",
        "How they fare: cxr status; what became of one: cxr logs KEY",
    ]
    assert err == ""
    assert keys(place) == [
        "images/10.png",
        "images/ward 3/SMITH^JOHN/IM1",
        "images/ward 3/é.png",
    ]
    code, out, _ = place.run("upload", str(scans), INTAKE)
    assert (code, lines_of(out)[0]) == (0, f"3 images are in {INTAKE}: 3 already there")
    assert versions(place) == 3


def test_without_a_url_it_is_the_deployments_bucket(place: Place, scans: Path) -> None:
    assert place.run("upload", str(scans / "10.png"))[0] == 0
    assert keys(place) == ["images/10.png"]


def test_several_places_and_patterns(place: Place, scans: Path) -> None:
    code, _, _ = place.run(
        "upload", str(scans / "ward 3"), str(scans / "*.png"), "s3://cxr-intake/images/2026"
    )
    assert code == 0
    assert keys(place) == [
        "images/2026/scans/10.png",
        "images/2026/ward 3/SMITH^JOHN/IM1",
        "images/2026/ward 3/é.png",
    ]


def test_dry_run_says_what_would_be(place: Place, scans: Path) -> None:
    place.run("upload", str(scans / "10.png"))
    code, out, _ = place.run("upload", str(scans), "--dry-run")
    assert code == 0
    assert out.splitlines()[0] == f"Would upload 2 images (142 B) to {INTAKE}; 1 already there"
    assert versions(place) == 1


def test_what_needs_attention_is_listed_and_the_rest_uploaded(
    place: Place, scans: Path, write: Write
) -> None:
    place.run("upload", str(scans))
    write({"10.png": PNG + b"corrected", "new.png": PNG + b"new"})
    (scans / "gone.png").symlink_to(scans / "nowhere")
    (scans / "round").symlink_to(scans)
    os.mkfifo(scans / "pipe")
    code, out, _ = place.run("upload", str(scans))
    assert code == 1
    lines = lines_of(out)
    assert lines[0] == f"3 images are in {INTAKE}: 1 uploaded, 2 already there; 11 B in TIME, RATE"
    assert lines[1:-1] == [
        "Skipped: 4",
        "  notes.txt: text, not an image",
        "  old/scans.zip: zip, not an image",
        "  pipe: not a regular file",
        "  round/: link to a folder that is already included",
        "Failed: 2",
        "  10.png: another image has this name there: rename it, or use --replace",
        "  gone.png: a link to a file that does not exist",
    ]
    assert versions(place) == 4
    (scans / "gone.png").unlink()
    code, out, _ = place.run("upload", str(scans), "--replace")
    assert (code, lines_of(out)[0]) == (
        0,
        f"4 images are in {INTAKE}: 1 replaced, 3 already there; 17 B in TIME, RATE",
    )
    assert versions(place) == 5


def test_files_that_would_share_a_key_are_not_guessed_about(place: Place, write: Write) -> None:
    root = write({"a/x/1.png": PNG + b"1", "b/x/1.png": PNG + b"2", "b/x/2.png": PNG})
    code, out, _ = place.run("upload", str(root / "a/x"), str(root / "b/x"))
    assert code == 1
    assert "  x/1.png: several files would have this key; name their folder instead" in out
    assert keys(place) == ["images/x/2.png"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("SCANS", "s3://cxr-intake/other/"), "lies outside of images/, so nothing uploaded there"),
        (("SCANS", "s3://cxr-intake"), "upload to s3://cxr-intake/images/, or add --anyway"),
        (("SCANS", "s3:///images/"), "names no bucket, expected such as s3://bucket/images/"),
        (("SCANS", "s3://nowhere/images/"), "there is no bucket nowhere; check its name"),
        (("SCANS", "s3://a/images/", "s3://b/images/"), "name one place to upload to"),
        (("s3://cxr-intake/images/",), "name a folder or a file to upload"),
        (("SCANS/nothing", "s3://cxr-intake/images/"), "does not exist; check the path"),
        (("SCANS/notes.txt",), "(1 skipped, such as notes.txt: text, not an image)"),
        (("SCANS", "s3://cxr-results/images/", "--wait"), "is not the intake bucket of cxr-batch"),
        (("SCANS", "--jobs", "0"), "'0' is not a whole number from 1"),
    ],
    ids=lambda value: "" if isinstance(value, tuple) else value[:20],
)
def test_what_cannot_be_followed_is_one_sentence(
    place: Place, scans: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    code, out, err = place.run("upload", *(each.replace("SCANS", str(scans)) for each in arguments))
    assert (code, out) == (2, "")
    assert sentence in err
    assert versions(place) == 0


def test_anyway_uploads_where_nothing_is_processed(place: Place, scans: Path) -> None:
    target = "s3://cxr-intake/archive/"
    assert place.run("upload", str(scans / "10.png"), target, "--anyway")[0] == 0
    assert keys(place) == ["archive/10.png"]


def test_manifest_is_a_list_for_an_archive_job(place: Place, scans: Path, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("an older one")
    assert place.run("upload", str(scans), "--manifest", str(path))[0] == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert set(LIST_COLUMNS) < set(rows[0])
    assert [row["key"] for row in rows] == sorted(keys(place))
    for row in rows:
        head = place.client("s3").head_object(
            Bucket=row["bucket"], Key=row["key"], VersionId=row["version_id"]
        )
        assert head["VersionId"] == row["version_id"]
        assert row["image_id"] == image_id_of(row["bucket"], row["key"], row["version_id"])
    assert not list(tmp_path.glob(".list.csv*"))


def test_json_has_everything(place: Place, scans: Path) -> None:
    found = place.json("upload", str(scans), INTAKE)
    assert (found["bucket"], found["prefix"]) == ("cxr-intake", "images/")
    assert (found["uploaded"], found["there"], found["pending"]) == (3, 0, 0)
    assert (found["exit_code"], found["problem"], found["failed"]) == (0, None, [])
    assert {each["name"] for each in found["skipped"]} == {"notes.txt", "old/scans.zip"}
    (film, *_) = found["images"]
    assert (film["name"], film["state"], film["key"]) == ("10.png", "uploaded", "images/10.png")
    assert film["image_id"] == image_id_of("cxr-intake", film["key"], film["version_id"])


@pytest.fixture
def faulty(place: Place, monkeypatch: pytest.MonkeyPatch) -> FaultyS3:
    """What the command gets for S3, without pauses between attempts."""
    s3 = FaultyS3(place.client("s3"))
    make = Cloud.client

    def client(self: Cloud, service: str, **options: Any) -> Any:
        return s3 if service == "s3" else make(self, service, **options)

    def start(self: Uploader, *arguments: Any, **options: Any) -> None:
        initialise(self, *arguments, **options, pause=lambda seconds: None)

    initialise = Uploader.__init__
    monkeypatch.setattr(Cloud, "client", client)
    monkeypatch.setattr(Uploader, "__init__", start)
    return s3


def test_throttling_does_not_lose_an_image(place: Place, write: Write, faulty: FaultyS3) -> None:
    root = write({f"{number:02}.png": PNG + b"%d" % number for number in range(30)})
    attempts: Counter[str] = Counter()
    put = faulty.put_object

    def throttled(**options: Any) -> Any:
        attempts[options["Key"]] += 1
        if attempts[options["Key"]] < 4:
            raise answered("SlowDown", 503)
        return put(**options)

    faulty.put_object = throttled  # type: ignore[method-assign]
    found = place.json("upload", str(root), INTAKE, "--jobs", "4")
    assert (found["uploaded"], found["exit_code"]) == (30, 0)
    assert versions(place) == 30
    assert set(attempts.values()) == {4}


def test_network_that_is_gone_ends_the_run(
    place: Place, write: Write, faulty: FaultyS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_module, "MOST_IN_A_ROW", 5)
    root = write({f"{number:02}.png": PNG + b"%d" % number for number in range(40)})
    faulty.before["head_object"] = [None] * 10 + [answered("InternalError", 500)] * 1_000
    code, out, _ = place.run("upload", str(root), INTAKE, "--jobs", "2")
    assert code == 1
    assert "Broken off: 5 images in a row failed (looking whether an image is there: AWS" in out
    assert re.search(r"\d\d left\. Run the same command again to go on: what is there is not", out)
    faulty.before.clear()
    found = place.json("upload", str(root), INTAKE)
    assert (found["uploaded"] + found["there"], found["exit_code"]) == (40, 0)
    assert versions(place) == 40


def test_permission_that_is_missing_ends_the_run(
    place: Place, write: Write, faulty: FaultyS3
) -> None:
    root = write({f"{number:02}.png": PNG + b"%d" % number for number in range(40)})
    faulty.before["put_object"] = [answered("AccessDenied", 403)] * 40
    code, out, _ = place.run("upload", str(root), INTAKE, "--jobs", "1")
    assert code == 1
    assert "Broken off: uploading: access denied (PutObject); your role needs s3:PutObject" in out
    assert "40 left." in out
    assert faulty.count("put_object") == 1


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("s3://b", Target("b", "")),
        ("s3://b/", Target("b", "")),
        ("s3://b/images", Target("b", "images/")),
        ("s3://b/images/ward 3/", Target("b", "images/ward 3/")),
    ],
)
def test_prefix_is_a_folder(url: str, target: Target) -> None:
    assert parse_target(url) == target


def test_lines_of_progress_for_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    from rich.console import Console

    from cxr import upload_progress
    from cxr.upload_object import Outcome

    now = 100.0
    monkeypatch.setattr(upload_progress.time, "monotonic", lambda: now)
    text = io.StringIO()
    with UploadProgress(
        Console(file=text), files=10, size_bytes=10_000_000, quiet=False
    ) as display:
        for state in ("uploaded", "there", "failed"):
            now += 4
            display.count(Outcome("x", state, size_bytes=1_000_000))
    assert text.getvalue().splitlines() == [
        "3/10 1 uploaded, 1 already there, 1 failed; 83.3 kB/s, 28.0 s left"
    ]


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    from rich.console import Console

    from cxr.upload_object import Outcome

    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=80)
    with UploadProgress(console, files=2, size_bytes=2_000_000, quiet=False) as display:
        display.count(Outcome("x", "uploaded", size_bytes=1_000_000))
        assert display._bar is not None
        display._bar.refresh()
    assert "1 uploaded" in text.getvalue()
    assert "1/2" in text.getvalue()


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (18_512_000, "18.5 MB"), (2.5e12, "2.5 TB")],
)
def test_sizes_read_well(size: float, text: str) -> None:
    assert size_text(size) == text


def test_json_of_an_error(place: Place, scans: Path) -> None:
    code, out, _ = place.run("upload", str(scans), "s3://nowhere/images/", "--json")
    assert code == json.loads(out)["exit_code"] == 2
