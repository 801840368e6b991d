"""The demo's DICOM images with the shipped models: command and report function say the same.

What they say is read again by pydicom, highdicom and fhirclient, and held to the record.
"""

import io
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pytest
from fhirclient.models.bundle import Bundle

from cxr.analyser import DEFAULT_MODELS
from lambdas.report.formats import DICOM_FORMATS, FORMAT_FILES, FORMATS
from lambdas.report.report import report
from lambdas.shared.isolated_reader import IsolatedReader
from tests import validators
from tests.lambdas.report.dicom_cases import lasting, parsed
from training.demo_images import DEMO_IMAGES, SEED
from training.phantoms.draw import draw_study
from training.phantoms.plan import plan_study

pytestmark = pytest.mark.slow

SIZE_PX = 600
"""Long side; smaller than the demo's, to be drawn and read sooner."""

SOURCES = [image for image in DEMO_IMAGES if image.path.startswith("dicom/")]


@dataclass(frozen=True)
class Result:
    """One image of the run."""

    data: bytes
    record: dict[str, Any]
    files: dict[str, bytes]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """What `cxr analyze --formats` wrote, by the path of the image."""
    folder, out = tmp_path_factory.mktemp("images"), tmp_path_factory.mktemp("results")
    for image in SOURCES:
        path = folder / image.path
        path.parent.mkdir(exist_ok=True)
        phantom = draw_study(plan_study(seed=SEED, index=image.study), size_px=SIZE_PX)
        path.write_bytes(image.write(phantom))
    command = [Path(sys.executable).with_name("cxr"), "analyze", folder, "--out", out]
    options = ["--models", DEFAULT_MODELS, "--formats", ",".join(sorted(FORMATS)), "--json"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["formats"] == dict.fromkeys(FORMATS, len(SOURCES))
    found = {}
    for image in SOURCES:
        place = out / image.path
        record = json.loads((place / "record.json").read_bytes())
        files = {name: (place / name).read_bytes() for name in record["outputs"].values()}
        found[image.path] = Result((folder / image.path).read_bytes(), record, files)
    assert sum(len(result.record["findings"]) for result in found.values()) >= 5
    return found


@pytest.fixture(params=[image.path for image in SOURCES])
def result(request: pytest.FixtureRequest, results: dict[str, Result]) -> Result:
    return results[request.param]


def outline(box: dict[str, float]) -> list[list[float]]:
    x_min, y_min, x_max, y_max = (box[edge] for edge in ("x_min", "y_min", "x_max", "y_max"))
    return [[x_min, y_min], [x_max, y_min], [x_max, y_max], [x_min, y_max], [x_min, y_min]]


def test_command_and_report_function_give_the_same(result: Result, reader: IsolatedReader) -> None:
    files = report(
        result.record, radiograph=reader.read(result.data), data=result.data, formats=FORMATS
    )
    assert lasting(files) == lasting(result.files)
    assert set(files) == {"report.pdf", "thumbnail.jpg", *FORMAT_FILES.values()}


def test_boxes_are_the_records_to_the_pixel_everywhere(result: Result) -> None:
    wanted = [outline(finding["box"]) for finding in result.record["findings"]]
    report_ = highdicom.sr.srread(io.BytesIO(result.files["dicom/sr.dcm"]))
    groups = report_.content.get_planar_roi_measurement_groups()
    state = parsed(result.files["dicom/gsps.dcm"])
    drawn = {
        graphic.TrackingUID: np.reshape(graphic.GraphicData, (-1, 2))
        for annotation in state.GraphicAnnotationSequence
        for graphic in annotation.get("GraphicObjectSequence", ())
    }
    assert len(groups) == len(drawn) == len(wanted)
    for group, box in zip(groups, wanted, strict=True):
        np.testing.assert_allclose(group.roi.value, box, atol=1e-3)
        np.testing.assert_allclose(drawn[group.tracking_uid], box, atol=1e-3)
    bundle = Bundle(json.loads(result.files["fhir.json"]))
    _, *observations = [
        entry.resource for entry in bundle.entry if entry.resource.resource_type == "Observation"
    ]
    boxes = [
        {part.url: part.valueDecimal for part in observation.extension[0].extension[3:]}
        for observation in observations
    ]
    assert [[box["xMin"], box["yMin"]] for box in boxes] == [corners[0] for corners in wanted]
    assert [[box["xMax"], box["yMax"]] for box in boxes] == [corners[2] for corners in wanted]


def test_findings_have_the_codes_of_the_record(result: Result) -> None:
    report_ = highdicom.sr.srread(io.BytesIO(result.files["dicom/sr.dcm"]))
    for group, finding in zip(
        report_.content.get_planar_roi_measurement_groups(), result.record["findings"], strict=True
    ):
        code = group.finding_type
        if finding["code"]:
            assert (code.scheme_designator, code.value) == (
                finding["code"]["system"],
                finding["code"]["value"],
            )
        else:
            assert (code.scheme_designator, code.meaning) == ("99CXRBATCH", finding["label"])


def test_validators_have_nothing_against_them(result: Result, tmp_path: Path) -> None:
    for name in sorted(DICOM_FORMATS):
        assert validators.dciodvfy(result.files[FORMAT_FILES[name]], tmp_path) == []
    assert validators.dsrdump(result.files["dicom/sr.dcm"], tmp_path)[1] == []


def test_fhir_validator_has_nothing_against_it(result: Result) -> None:
    assert validators.npm_fhir(result.files["fhir.json"]) == []


def test_template_is_kept(results: dict[str, Result], tmp_path: Path) -> None:
    """The one with the most findings: the validator takes seconds for each."""
    most = max(results.values(), key=lambda result: len(result.record["findings"]))
    assert validators.dicom_sr_validator(most.files["dicom/sr.dcm"], tmp_path) == []
