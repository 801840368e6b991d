"""Uploads that end before they are done, and the ones that follow: no image twice, none lost."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSHTTPConnection

from cxr import upload_object
from tests.conftest import REPOSITORY
from tests.cxr.cloud.conftest import Place
from tests.infra.waiting import wait_for

pytestmark = pytest.mark.slow

PNG = b"\x89PNG\r\n\x1a\n"
FILES = 120

Write = Callable[[Mapping[str, bytes]], Path]

SCRIPT = """
import os, signal, sys
from cxr import upload_object
from cxr.cli import main

point, number = sys.argv.pop(1), int(sys.argv.pop(1))
put, puts = upload_object.Uploader._put, []

def deadly(self, *arguments):
    puts.append(1)
    if point == "before" and len(puts) == number:
        os.kill(os.getpid(), signal.SIGKILL)
    answer = put(self, *arguments)
    if point == "after" and len(puts) >= number:
        os.kill(os.getpid(), signal.SIGKILL)
    return answer

upload_object.Uploader._put = deadly
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def root(write: Write) -> Path:
    return write({f"{n // 10}/{n:03}.png": PNG + b"%d" % n * 5_000 for n in range(FILES)})


def start(place: Place, root: Path, *arguments: str, script: str = SCRIPT) -> Any:
    command = ["upload", str(root), "s3://cxr-intake/images/", "--jobs", "4", *arguments]
    return subprocess.Popen(
        [sys.executable, "-c", script, *command, "--endpoint-url", place.endpoint],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def versions(place: Place) -> Counter[str]:
    pages = place.client("s3").get_paginator("list_object_versions").paginate(Bucket="cxr-intake")
    return Counter(each["Key"] for page in pages for each in page.get("Versions", ()))


def check_whole(place: Place, root: Path, count: int = FILES) -> None:
    """Every file is one object with its bytes."""
    found = versions(place)
    assert set(found.values()) == {1}, "no image is there twice"
    assert len(found) == count
    for key in found:
        body = place.client("s3").get_object(Bucket="cxr-intake", Key=key)["Body"].read()
        assert body == (root / key.removeprefix("images/")).read_bytes()


@pytest.mark.parametrize(("point", "number"), [("before", 1), ("after", 1), ("after", 50)])
def test_killed_it_goes_on_where_it_was(place: Place, root: Path, point: str, number: int) -> None:
    command = ["upload", str(root), "s3://cxr-intake/images/", "--jobs", "4"]
    here = ["--endpoint-url", place.endpoint]
    for _ in range(2):  # the second is killed as well, further on
        process = subprocess.run(
            [sys.executable, "-c", SCRIPT, point, str(number), *command, *here],
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == -signal.SIGKILL, process.stderr
    before = versions(place)
    assert len(before) < FILES
    found = place.json(*command)
    assert (found["exit_code"], found["failed"]) == (0, [])
    assert found["there"] == len(before)
    assert found["uploaded"] == FILES - len(before)
    check_whole(place, root)


def test_ctrl_c_finishes_what_is_in_hand(place: Place, root: Path) -> None:
    slow = """
import sys, time
from cxr import upload_object
from cxr.cli import main
put = upload_object.Uploader._put
def slowly(self, *arguments):
    time.sleep(0.1)
    return put(self, *arguments)
upload_object.Uploader._put = slowly
sys.exit(main(sys.argv[1:]))
"""
    process = start(place, root, script=slow)
    wait_for(lambda: len(versions(place)) >= 5, 60)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Finishing the images in hand; Ctrl-C again to stop at once" in err
    assert "Traceback" not in err
    done = len(versions(place))
    assert 5 <= done < FILES
    assert f"{done} images are in s3://cxr-intake/images/: {done} uploaded" in out
    assert f"{FILES - done} left. Run the same command again to go on" in out
    found = place.json("upload", str(root), "s3://cxr-intake/images/")
    assert (found["there"], found["uploaded"]) == (done, FILES - done)
    check_whole(place, root)


def test_a_second_ctrl_c_waits_for_nothing(place: Place, root: Path) -> None:
    stuck = """
import sys, time
from cxr import upload_object
from cxr.cli import main
def stuck(self, *arguments):
    sys.stderr.write("stuck\\n")
    sys.stderr.flush()
    time.sleep(600)
upload_object.Uploader._put = stuck
sys.exit(main(sys.argv[1:]))
"""
    process = start(place, root, "--json", script=stuck)
    assert process.stderr.readline() == "stuck\n"
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert json.loads(out)["pending"] == FILES
    assert "Traceback" not in err


def test_two_runs_at_once_share_the_work(place: Place, root: Path) -> None:
    plain = "import sys\nfrom cxr.cli import main\nsys.exit(main(sys.argv[1:]))"
    processes = [start(place, root, "--json", script=plain) for _ in range(2)]
    answers = [json.loads(process.communicate(timeout=120)[0]) for process in processes]
    assert [answer["exit_code"] for answer in answers] == [0, 0]
    for answer in answers:
        assert answer["uploaded"] + answer["there"] == FILES
    check_whole(place, root)


def test_connections_that_break_lose_and_double_nothing(
    place: Place, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every third answer of S3 to a put gets lost on its way, below botocore."""
    root = write({f"{number}.png": PNG + b"%d" % number * 5_000 for number in range(30)})
    puts, lock = [0], threading.Lock()
    request, answer = AWSHTTPConnection.request, AWSHTTPConnection.getresponse

    def noting(self: Any, method: str, *arguments: Any, **options: Any) -> Any:
        self.cxr_method = method
        return request(self, method, *arguments, **options)

    def losing(self: Any, *arguments: Any, **options: Any) -> Any:
        response = answer(self, *arguments, **options)
        if self.cxr_method != "PUT":
            return response
        with lock:
            puts[0] += 1
            lost = puts[0] % 3 == 0
        if lost:
            response.read()
            response.close()
            self.close()
            raise ConnectionResetError("lost")
        return response

    monkeypatch.setattr(AWSHTTPConnection, "request", noting)
    monkeypatch.setattr(AWSHTTPConnection, "getresponse", losing)
    monkeypatch.setattr(upload_object, "PAUSES_S", (0.0, 0.0, 0.0))
    found = place.json("upload", str(root), "s3://cxr-intake/images/", "--jobs", "8")
    monkeypatch.undo()
    assert (found["exit_code"], found["failed"]) == (0, [])
    assert puts[0] >= 40
    check_whole(place, root, 30)
