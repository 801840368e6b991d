"""An archive job on images full of identifiers: results, what is logged, what is answered.

Its own files below jobs/ are left out: like queues they are encrypted, and say which images are to
be read.
"""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto import mock_aws

from lambdas.shared import telemetry
from tests.deidentification.allowed import assert_clean, assert_result_is_clean, carries_birth_date
from tests.deidentification.harvest import found_in
from tests.deidentification.planted import ALL, KEY, planted_images
from tests.lambdas.batch.test_batch_handlers import RESULTS, Archive

pytestmark = pytest.mark.slow


@pytest.fixture
def archive(tiny_models_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        made = Archive(tiny_models_folder, monkeypatch)
        yield made
        made.close()


def test_nothing_of_a_job_that_others_see_holds_an_identifier(archive, capfd) -> None:
    images = planted_images()
    for name, content in images.items():
        archive.put(f"2019/{KEY}^JOHN/{name}", content)
    archive.order(formats="dicom-sr,dicom-gsps,dicom-pdf,fhir")
    stream = io.StringIO()
    telemetry.logger.handlers[0].setStream(stream)  # it holds the stdout of its import
    answers = []
    planned = archive.plan(0)
    while planned["status"] == "running":
        answers.append(planned)
        archive.run_wave(planned)
        planned = archive.plan(planned["wave"])
    assert planned["status"] == "done"
    printed = capfd.readouterr()
    logged = stream.getvalue() + printed.out + printed.err
    assert "image_id" in logged or "batch" in logged
    for line in logged.splitlines():
        assert_clean("log", line)
    assert_clean("answers", json.dumps([*answers, planned]))
    found = archive.s3.list_objects_v2(Bucket=RESULTS, Prefix="results/")["Contents"]
    files = {
        item["Key"]: archive.s3.get_object(Bucket=RESULTS, Key=item["Key"])["Body"].read()
        for item in found
    }
    assert sum(name.endswith("/record.json") for name in files) == len(images)
    for name, content in files.items():
        assert found_in(name, ALL) == set()
        assert_result_is_clean(name, content)
    assert carries_birth_date(files)
