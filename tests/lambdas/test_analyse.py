import hashlib
import io

import numpy as np
import pypdfium2
import pytest
from PIL import Image

from lambdas.batch.analyse import Models, analyse
from lambdas.shared.errors import ContractError
from lambdas.shared.isolated_reader import IsolatedReader
from lambdas.shared.records import Record, Source, complete, record_validator, to_json
from tests.builders import dicom, film, png

BRIGHT = (film() << 4).astype(np.uint16)
DARK = (np.where(film() > 2200, film(), 300) << 4).astype(np.uint16)


def source(data: bytes, key: str = "ward 3/film.png") -> Source:
    return Source(bucket=None, key=key, version=None, sha256=hashlib.sha256(data).hexdigest())


def without_timings(record: Record) -> Record:
    return {name: value for name, value in record.items() if name != "timings"}


@pytest.fixture
def abnormal(models: Models, reader: IsolatedReader) -> tuple[Record, dict[str, bytes]]:
    data = png(BRIGHT)
    analysis = analyse(data, source=source(data), models=models, reader=reader, detect_all=True)
    return analysis.record, analysis.files


def test_record_is_complete_and_valid(abnormal: tuple[Record, dict[str, bytes]]) -> None:
    record, files = abnormal
    record_validator().validate(record)
    assert record["status"] == "analysed"
    assert record["image"]["width_px"] == 280
    assert record["detection"] == {
        "performed": True,
        "detectable": ["Cardiomegaly", "Pleural effusion"],
    }
    assert record["outputs"] == {"report": "report.pdf", "thumbnail": "thumbnail.jpg"}
    assert set(files) == set(record["outputs"].values())
    assert set(record["timings"]) == {
        "finished_at",
        "read_ms",
        "classify_ms",
        "detect_ms",
        "report_ms",
    }
    assert len(record["warnings"]) == 2


def test_boxes_are_in_pixels_of_the_original(abnormal: tuple[Record, dict[str, bytes]]) -> None:
    record, _ = abnormal
    # 280 x 320 lies in the 32 x 32 input as 28 x 32 from column 2: ten pixels each
    assert record["findings"][0]["box"] == {"x_min": 20, "y_min": 80, "x_max": 140, "y_max": 240}
    normalised = record["findings"][0]["box_normalised"]
    assert normalised == {"x_min": 0.071429, "y_min": 0.25, "x_max": 0.5, "y_max": 0.75}


def test_files_open(abnormal: tuple[Record, dict[str, bytes]]) -> None:
    _, files = abnormal
    document = pypdfium2.PdfDocument(files["report.pdf"])
    assert len(document) == 1
    document.close()
    assert Image.open(io.BytesIO(files["thumbnail.jpg"])).format == "JPEG"


def test_same_bytes_same_record_and_same_files(models: Models, reader: IsolatedReader) -> None:
    data = dicom()
    first, second = (
        analyse(data, source=source(data), models=models, reader=reader) for _ in range(2)
    )
    assert without_timings(first.record) == without_timings(second.record)
    assert first.files == second.files


def test_normal_image_is_not_sent_to_the_detector(models: Models, reader: IsolatedReader) -> None:
    data = png(DARK)
    record = analyse(data, source=source(data), models=models, reader=reader).record
    assert record["triage"]["label"] == "Normal"
    assert record["detection"]["performed"] is False
    assert record["findings"] == []
    assert "detect_ms" not in record["timings"]


def test_detection_of_all_on_request(models: Models, reader: IsolatedReader) -> None:
    data = png(DARK)
    record = analyse(
        data, source=source(data), models=models, reader=reader, detect_all=True
    ).record
    assert record["triage"]["label"] == "Normal"
    assert len(record["findings"]) == 2


def test_bad_image_is_a_result(models: Models, reader: IsolatedReader) -> None:
    data = dicom(Modality="CT")
    analysis = analyse(data, source=source(data), models=models, reader=reader)
    record_validator().validate(analysis.record)
    assert analysis.record["status"] == "rejected"
    assert analysis.record["rejection"]["code"] == "not_a_radiograph"
    assert analysis.record["triage"] is None
    assert analysis.files["report.pdf"].startswith(b"%PDF")


def test_identity_depends_on_key_and_bytes_but_tells_nothing() -> None:
    first = source(b"a", "SMITH^JOHN_1950/IM1")
    assert first.image_id == source(b"a", "SMITH^JOHN_1950/IM1").image_id
    assert first.image_id != source(b"b", "SMITH^JOHN_1950/IM1").image_id
    assert first.image_id != source(b"a", "SMITH^JOHN_1950/IM2").image_id
    in_bucket = Source(bucket="intake", key=first.key, version="v1", sha256=first.sha256)
    assert in_bucket.image_id != first.image_id


def test_record_that_would_break_its_contract_is_not_written(
    abnormal: tuple[Record, dict[str, bytes]],
) -> None:
    record, _ = abnormal
    with pytest.raises(ContractError, match="schema"):
        complete(record | {"status": "maybe"}, outputs={}, timings={"finished_at": "now"})


def test_json_survives_any_name(abnormal: tuple[Record, dict[str, bytes]]) -> None:
    record, _ = abnormal
    for key in ("Röntgen/胸部 1.png", "bytes \udcff.png", 'quote" & <tag>.png'):
        named = record | {"source": record["source"] | {"key": key}}
        assert to_json(named).decode("utf-8")
