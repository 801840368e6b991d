"""An operator may carry chosen DICOM attributes into the record; nothing is carried unasked."""

import json
from pathlib import Path

import pytest

from lambdas.batch.analyse import Models, analyse
from lambdas.shared.config import StageSettings
from lambdas.shared.errors import ConfigError, InvalidRequestError
from lambdas.shared.isolated_reader import IsolatedReader
from lambdas.shared.passthrough import PASSTHROUGH_TAGS, parse_passthrough, read_tags
from lambdas.shared.records import Source, record_validator
from tests.builders import chest_dataset, dicom, film, png, saved, to_8_bit

TAGS = {
    "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.1",
    "AccessionNumber": "ACC-77",
    "PatientID": "MRN-0042",
    "StudyDate": "20260214",
}
ALL = frozenset(PASSTHROUGH_TAGS)
SOURCE = Source(bucket=None, key="a.dcm", version=None, sha256="0" * 64)


def test_values_are_read_as_they_are_written():
    assert read_tags(dicom(**TAGS), set(TAGS)) == TAGS
    assert read_tags(dicom(**TAGS), {"AccessionNumber"}) == {"AccessionNumber": "ACC-77"}


@pytest.mark.parametrize(
    ("attributes", "why"),
    [
        ({"AccessionNumber": ""}, "blank"),
        ({"AccessionNumber": "A\\B"}, "two values"),
        ({"PatientID": "x" * 65}, "longer than its representation allows"),
        ({"PatientID": "MRN\x1b[31m"}, "control characters"),
        ({"StudyDate": "2026-02-14T10:00"}, "no date, and kept as it is written"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*:UserWarning")  # of pydicom, while the file is made
def test_what_is_out_of_form_is_left_out(attributes, why):
    (keyword,) = attributes
    expected = attributes if keyword == "StudyDate" else {}
    data = dicom(**{"PatientID": None} | attributes)
    assert read_tags(data, {keyword}) == expected, why


@pytest.mark.parametrize(
    "data",
    [png(to_8_bit(film())), b"", b"text", dicom()[:200], dicom()[:128] + b"DICM" + b"\xff" * 99],
    ids=["png", "empty", "text", "truncated", "damaged"],
)
def test_what_cannot_be_read_has_no_tags(data, reader):
    assert read_tags(data, {"StudyInstanceUID"}) == {}
    assert reader.read_tags(data, {"StudyInstanceUID"}) == {}


def test_the_isolated_reader_reads_them_too_and_goes_on_with_pixels(reader):
    data = dicom(**TAGS)
    assert reader.read_tags(data, ALL) == read_tags(data, ALL)
    assert reader.read_tags(data, {"StudyDate"}) == {"StudyDate": "20260214"}
    assert reader.read(data).facts.format == "dicom"


def test_a_reader_that_dies_leaves_no_tags(tmp_path):
    script = tmp_path / "child.py"
    script.write_text(
        "import os, sys\n"
        "sys.stdout.buffer.write(b'\\0\\0\\0\\x02{}'); sys.stdout.flush()\n"
        "sys.stdin.buffer.read(8); os._exit(1)\n"
    )
    import sys

    with IsolatedReader(command=(sys.executable, str(script))) as reader:
        assert reader.read_tags(dicom(**TAGS), ALL) == {}


def test_nothing_is_carried_unasked(models: Models, reader: IsolatedReader):
    analysis = analyse(dicom(**TAGS), source=SOURCE, models=models, reader=reader)
    assert analysis.record["source_tags"] == {}
    assert not [value for value in TAGS.values() if value in json.dumps(analysis.record)]


@pytest.mark.parametrize(
    ("attributes", "status"),
    [({}, "analysed"), ({"ViewPosition": "LL"}, "rejected")],
)
def test_chosen_attributes_stand_in_the_record_and_in_no_other_file(
    models, reader, attributes, status
):
    """Also of a rejected image: somebody must find the study it belongs to."""
    analysis = analyse(
        dicom(**TAGS | attributes),
        source=SOURCE,
        models=models,
        reader=reader,
        passthrough=frozenset({"AccessionNumber", "StudyInstanceUID"}),
    )
    record = analysis.record
    assert record["status"] == status
    assert record["source_tags"] == {
        name: TAGS[name] for name in ("StudyInstanceUID", "AccessionNumber")
    }
    assert "MRN-0042" not in json.dumps(record)
    assert not [name for name, data in analysis.files.items() if b"ACC-77" in data]


def test_the_schema_admits_what_may_be_chosen_and_nothing_else():
    properties = record_validator().schema["properties"]["source_tags"]["properties"]
    assert tuple(properties) == tuple(PASSTHROUGH_TAGS)


@pytest.mark.parametrize(
    ("text", "keywords"),
    [
        ("", set()),
        (" , ", set()),
        ("AccessionNumber, StudyDate", {"AccessionNumber", "StudyDate"}),
    ],
)
def test_the_list_is_read(text, keywords):
    assert parse_passthrough(text) == keywords


@pytest.mark.parametrize("name", ["PatientName", "PatientBirthDate", "accessionnumber", "Rows"])
def test_other_attributes_are_refused_by_name(name):
    with pytest.raises(InvalidRequestError, match=f"'{name}'.*StudyInstanceUID"):
        parse_passthrough(f"StudyDate,{name}")


ENVIRONMENT = {
    "CXR_STAGE": "report",
    "CXR_MODELS": "/models",
    "CXR_RESULTS_BUCKET": "results",
    "CXR_EVENT_BUS": "default",
    "CXR_IMAGE_SECONDS": "75",
    **{f"CXR_{stage}_QUEUE": "https://queue" for stage in ("CLASSIFY", "DETECT", "REPORT")},
}


def test_functions_take_the_list_from_their_settings():
    assert StageSettings.from_env(ENVIRONMENT).passthrough == frozenset()
    chosen = StageSettings.from_env(ENVIRONMENT | {"CXR_PASSTHROUGH": "PatientID"})
    assert chosen.passthrough == {"PatientID"}
    with pytest.raises(ConfigError, match="CXR_PASSTHROUGH: cannot pass 'PatientName'"):
        StageSettings.from_env(ENVIRONMENT | {"CXR_PASSTHROUGH": "PatientName"})
    assert StageSettings.from_env(ENVIRONMENT).models == Path("/models")


def test_an_attribute_of_another_type_is_no_text():
    dataset = chest_dataset()
    dataset.add_new("PatientID", "SQ", [])
    assert read_tags(saved(dataset), {"PatientID"}) == {}
