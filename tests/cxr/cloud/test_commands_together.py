"""An operator's day with the real functions: upload and wait, look, find out why, redrive, look."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from infra.local_server import make_client
from lambdas.shared.messages import ImageMessage, ImageRef
from lambdas.shared.records import image_id_of
from tests.builders import film, png
from tests.conftest import REPOSITORY
from tests.infra.waiting import wait_for

pytestmark = pytest.mark.slow

Write = Callable[[Mapping[str, bytes]], Path]
Command = Callable[..., tuple[int, str]]


CXR = [sys.executable, "-c", "import sys; from cxr.cli import main; sys.exit(main())"]


@pytest.fixture(scope="module")
def endpoint(tiny_models_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`cxr local` as a person starts it, on any port."""
    printed = tmp_path_factory.mktemp("local") / "printed"
    with printed.open("w") as file:
        process = subprocess.Popen(
            [
                *(*CXR, "local", "--port", "0", "--workers", "1", "--visibility", "5"),
                *("--models", str(tiny_models_folder)),
            ],
            cwd=REPOSITORY,
            env=os.environ | {"OMP_WAIT_POLICY": "PASSIVE"},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    url = re.compile(r"It runs at (http://127\.0\.0\.1:\d+)")
    wait_for(lambda: url.search(printed.read_text()) or process.poll() is not None, 120)
    found = url.search(printed.read_text())
    assert found, printed.read_text()
    yield found[1]
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0


@pytest.fixture
def cxr(endpoint: str, no_aws: None) -> Command:
    def run(*arguments: str) -> tuple[int, str]:
        process = subprocess.run(
            [*CXR, *arguments],
            cwd=REPOSITORY,
            env=os.environ | {"AWS_ENDPOINT_URL": endpoint, "COLUMNS": "80"},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        return process.returncode, process.stdout

    return run


def test_upload_and_wait(cxr: Command, write: Write) -> None:
    root = write(
        {f"ward 3/{number}.png": png(film(seed=number)) for number in range(4)}
        | {"broken.png": png(film())[:9_000], "notes.txt": b"text"}
    )
    code, out = cxr("upload", str(root), "--wait", "--json")
    found = json.loads(out)
    assert (code, found["uploaded"], found["without_record"]) == (0, 5, [])
    statuses = sorted(each["status"] for each in found["records"])
    assert statuses == ["analysed"] * 4 + ["rejected"]
    again = json.loads(cxr("upload", str(root), "--wait", "--json")[1])
    assert (again["uploaded"], again["there"], len(again["records"])) == (0, 5, 5)
    code, out = cxr("status", "--json")
    status = json.loads(out)
    assert (code, status["dead"], status["moving"]) == (0, 0, 0)
    assert (status["analysed_last_hour"], status["rejected_last_hour"]) == (4, 1)
    code, out = cxr("logs", "broken.png")
    assert code == 0
    assert "Rejected: " in out
    assert re.search(r"classify  begun\n", out)
    assert re.search(r"report    rejected \(broken_file\), [\d,]+ ms\n$", out)


def test_what_was_given_up_is_finished_by_a_redrive(cxr: Command, endpoint: str) -> None:
    """One that its stage gave up, one whose event found no queue, and one that is none of ours."""
    s3, sqs = make_client("s3", endpoint), make_client("sqs", endpoint)
    outputs = make_client("cloudformation", endpoint).describe_stacks(StackName="cxr-batch-local")[
        "Stacks"
    ][0]["Outputs"]
    urls = {each["OutputKey"]: each["OutputValue"] for each in outputs}
    images: list[ImageRef] = []
    for number in range(2):  # outside of the prefix, so that no event starts them
        key = f"aside/SMITH^JOHN {number}.png"
        answer = s3.put_object(Bucket="cxr-intake", Key=key, Body=png(film(seed=number)))
        images.append(ImageRef("cxr-intake", key, answer["VersionId"], answer["ETag"].strip('"')))
    event = {
        "detail-type": "Object Created",
        "source": "aws.s3",
        "detail": {
            "bucket": {"name": "cxr-intake"},
            "object": {"key": images[1].key, "version-id": images[1].version_id, "size": 1},
        },
    }
    for queue, body in (
        ("ClassifyDeadLetterQueue", ImageMessage(images[0]).to_body()),
        ("UploadRuleDeadLetterQueue", json.dumps(event)),
        ("ReportDeadLetterQueue", "none of ours"),
    ):
        sqs.send_message(QueueUrl=urls[queue], MessageBody=body)
    ids = [image_id_of(each.bucket, each.key, each.version) for each in images]

    code, out = cxr("status")
    assert code == 1
    assert "3 messages were given up" in out
    code, out = cxr("redrive", "--dry-run")
    assert code == 0
    assert "none of our messages" in out
    assert all(image_id in out for image_id in ids)
    assert "SMITH" not in out
    code, out = cxr("redrive", "--yes", "--json")
    assert (code, json.loads(out)["moved"]) == (0, 3)

    def records() -> list[Any]:
        answers = [json.loads(cxr("logs", image_id, "--json")[1]) for image_id in ids]
        return [answer["versions"][0]["records"] for answer in answers]

    wait_for(lambda: all(records()), 120)
    assert [found[0]["status"] for found in records()] == ["analysed"] * 2
    wait_for(lambda: json.loads(cxr("status", "--json")[1])["dead"] == 1, 120)
    failures = json.loads(cxr("redrive", "--dry-run", "--json")[1])["queues"][-1]["looked_at"]
    assert [each["image_id"] for each in failures] == [None], (
        "given up again: nothing can finish it"
    )
