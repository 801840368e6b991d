"""The shipped bundles on one film in every encoding, and on the real films where they are at hand.

What is measured here is the whole way: file, reader, models, record.
"""

import hashlib
from collections.abc import Iterator
from csv import DictReader
from pathlib import Path

import numpy as np
import pytest
from pydicom import uid

from lambdas.batch.analyse import Models, analyse, load_models
from lambdas.shared.boxes import UnitBox, intersection_over_union
from lambdas.shared.isolated_reader import IsolatedReader
from lambdas.shared.records import Record, Source, record_validator
from tests.builders import dicom, jpeg, png
from tests.conftest import REPOSITORY
from training.phantoms.draw import draw_study
from training.phantoms.plan import plan_study

pytestmark = pytest.mark.slow

MAX_SPREAD = 0.03
"""Most that the number may differ between encodings of one film."""

DEMO = REPOSITORY / "models" / "demo"

MAX_DEMO_BYTES = 70 * 1024 * 1024


@pytest.fixture(scope="module")
def demo_models() -> Models:
    return load_models(DEMO)


def record_of(data: bytes, models: Models, reader: IsolatedReader) -> Record:
    source = Source(None, "film", None, hashlib.sha256(data).hexdigest())
    record = analyse(data, source=source, models=models, reader=reader, detect_all=True).record
    record_validator().validate(record)
    return record


def films(*indices: int) -> Iterator[np.ndarray]:
    """12-bit phantoms."""
    for index in indices:
        yield draw_study(plan_study(seed=7, index=index), size_px=1024).pixels >> 4


def encodings(film: np.ndarray) -> dict[str, bytes]:
    """One 12-bit film as hospitals and researchers have it."""
    sixteen, eight = (film << 4).astype(np.uint16), (film >> 4).astype(np.uint8)
    return {
        "8-bit PNG": png(eight),
        "16-bit PNG": png(sixteen),
        "JPEG": jpeg(eight),
        "MONOCHROME2": dicom(film),
        "MONOCHROME1": dicom(
            (4095 - film).astype(np.uint16), PhotometricInterpretation="MONOCHROME1"
        ),
        "rescale and window": dicom(
            film,
            RescaleSlope="2",
            RescaleIntercept="-1024",
            RescaleType="US",
            WindowCenter="3071",
            WindowWidth="8192",
        ),
        "JPEG 2000": dicom(film, syntax=uid.JPEG2000Lossless),
        "signed": dicom(film.astype(np.int16) - 2048),
    }


def boxes(record: Record) -> list[tuple[str, UnitBox]]:
    return [(item["label"], UnitBox(**item["box_normalised"])) for item in record["findings"]]


@pytest.mark.parametrize("study", [3, 9, 14])
def test_one_film_in_any_encoding_gives_one_answer(
    study: int, demo_models: Models, reader: IsolatedReader
) -> None:
    (film,) = films(study)
    records = {name: record_of(data, demo_models, reader) for name, data in encodings(film).items()}
    numbers = [record["triage"]["probability"] for record in records.values()]
    assert max(numbers) - min(numbers) <= MAX_SPREAD, dict(zip(records, numbers, strict=True))
    reference = records["16-bit PNG"]
    for name, record in records.items():
        clear = [item for item in boxes(reference) if is_clear(item, reference)]
        for label, box in clear:
            best = max(
                (
                    intersection_over_union(box, other)
                    for found, other in boxes(record)
                    if found == label
                ),
                default=0.0,
            )
            assert best > 0.9, f"{name}: {label} is at another place or missing"


def is_clear(item: tuple[str, UnitBox], record: Record) -> bool:
    """Whether a finding is not just at its threshold, where rounding of grey levels may tip it."""
    (score, threshold) = next(
        (found["score"], found["threshold"])
        for found in record["findings"]
        if found["label"] == item[0] and UnitBox(**found["box_normalised"]) == item[1]
    )
    return bool(score - threshold > 0.03)


def test_different_films_give_different_answers(
    demo_models: Models, reader: IsolatedReader
) -> None:
    numbers = {
        record_of(png((film << 4).astype(np.uint16)), demo_models, reader)["triage"]["probability"]
        for film in films(0, 3, 5, 9, 14)
    }
    assert len(numbers) == 5
    assert max(numbers) - min(numbers) > MAX_SPREAD


def test_bundles_fit_their_size() -> None:
    total = sum(path.stat().st_size for path in DEMO.rglob("*") if path.is_file())
    assert total <= MAX_DEMO_BYTES


def test_real_films_are_all_analysed(
    demo_models: Models, reader: IsolatedReader, shared_data: Path
) -> None:
    paths = sorted(
        path for path in (shared_data / "radiographs").iterdir() if path.suffix != ".csv"
    )
    records = [record_of(path.read_bytes(), demo_models, reader) for path in paths]
    assert [record["status"] for record in records] == ["analysed"] * 25
    assert len({record["triage"]["probability"] for record in records}) > 20


def test_real_dicom_files_end_as_their_manifest_says(
    models: Models, reader: IsolatedReader, shared_data: Path
) -> None:
    folder = shared_data / "dicom"
    with (folder / "manifest.csv").open() as manifest:
        expected = {row["file"]: row["expected"] for row in DictReader(manifest)}
    found = {
        name: "ok"
        if record_of((folder / name).read_bytes(), models, reader)["triage"]
        else "reject"
        for name in expected
    }
    assert found == expected
