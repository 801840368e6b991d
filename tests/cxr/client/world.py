"""What stands behind the clients in the tests: a pipeline, an analysis, images that they obey."""

import contextlib
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from cxr.cli import main
from cxr.client import Client
from cxr.client_types import ImageResult
from cxr.cloud_client import CloudClient
from cxr.keys import result_folder
from cxr.output_folder import OutputFolder
from cxr.submitted_files import find_images
from lambdas.shared.records import RECORD_FILE, Source, result_key, to_json
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


def submitted(client: Client, scans: Path) -> tuple[ImageResult, ...]:
    return client.submit(scans).wait(timeout_s=60)
