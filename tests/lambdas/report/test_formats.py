"""Which formats there are, what they are called in a record, and who cannot have them."""

import importlib.util
import re
from pathlib import Path

import pytest

from cxr.analyze_command import _NOTES
from lambdas.batch.analyse import Models
from lambdas.report import formats
from lambdas.report.formats import (
    FORMAT_FILES,
    FORMATS,
    LIBRARIES,
    check_libraries,
    left_out,
    output_roles,
    parse_formats,
)
from lambdas.report.report import report
from lambdas.shared.errors import ConfigError, InvalidRequestError
from lambdas.shared.isolated_reader import IsolatedReader
from tests.builders import dicom, png, to_8_bit
from tests.lambdas.report import cases
from tests.lambdas.report.dicom_cases import BRIGHT, result, study_dicom

DICOM = {"dicom-sr", "dicom-gsps", "dicom-pdf"}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", set()),
        (" , ", set()),
        ("fhir", {"fhir"}),
        (" dicom-sr , fhir,fhir ", {"dicom-sr", "fhir"}),
        (",".join(sorted(FORMATS)), FORMATS),
    ],
)
def test_list_of_formats(text: str, names: set[str]) -> None:
    assert parse_formats(text) == names


@pytest.mark.parametrize("text", ["pdf", "fhir,DICOM-SR", "fhir;dicom-sr"])
def test_unknown_format_names_the_known_ones(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="dicom-gsps, dicom-pdf, dicom-sr, fhir"):
        parse_formats(text)


def test_roles_are_the_names_that_people_ask_for() -> None:
    files = ["record.json", "report.pdf", "thumbnail.jpg", *FORMAT_FILES.values()]
    assert output_roles(files) == {
        "report": "report.pdf",
        "thumbnail": "thumbnail.jpg",
        "dicom-sr": "dicom/sr.dcm",
        "dicom-gsps": "dicom/gsps.dcm",
        "dicom-pdf": "dicom/pdf.dcm",
        "fhir": "fhir.json",
    }


def test_help_names_every_format_and_its_file() -> None:
    for name, file in FORMAT_FILES.items():
        assert re.search(rf"^  {name} +{file} ", _NOTES, re.MULTILINE)


@pytest.mark.parametrize(("name", "library"), LIBRARIES.items())
def test_missing_library_is_one_sentence_with_the_command(
    name: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        formats.importlib.util,
        "find_spec",
        lambda wanted: None if wanted == library else real(wanted),
    )
    message = rf"^format {name} needs the package {library}, .* pip install -e '\.\[formats\]'$"
    with pytest.raises(ConfigError, match=message):
        check_libraries({name})
    with pytest.raises(ConfigError, match=message):
        report(cases.rejected(), radiograph=None, formats=frozenset({name}))
    assert set(report(cases.rejected(), radiograph=None)) == {"report.pdf", "thumbnail.jpg"}


def test_missing_name_space_is_a_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_spec(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(formats.importlib.util, "find_spec", find_spec)
    with pytest.raises(ConfigError, match=r"fhir\.resources"):
        check_libraries({"fhir"})


def test_the_command_of_the_message_installs_what_is_missing() -> None:
    pyproject = (Path(__file__).parents[3] / "pyproject.toml").read_text()
    extra = re.search(r"^formats = \[\n(.*?)^\]", pyproject, re.MULTILINE | re.DOTALL)
    assert extra
    assert all(f'"{library}>=' in extra[1] for library in LIBRARIES.values())


def test_image_that_is_not_dicom_has_fhir_alone(models: Models, reader: IsolatedReader) -> None:
    analysis = result(png(to_8_bit(BRIGHT)), models, reader, *FORMATS)
    assert set(analysis.record["outputs"]) == {"report", "thumbnail", "fhir"}
    assert set(analysis.files) == {"report.pdf", "thumbnail.jpg", "fhir.json"}
    assert {entry["format"] for entry in analysis.record["left_out"]} == DICOM
    assert {entry["reason"] for entry in analysis.record["left_out"]} == {
        "the source is PNG, and a DICOM output joins the study of a DICOM source"
    }


def test_rejected_image_has_fhir_alone(models: Models, reader: IsolatedReader) -> None:
    analysis = result(study_dicom(Modality="CT"), models, reader, *FORMATS)
    assert analysis.record["status"] == "rejected"
    assert set(analysis.record["outputs"]) == {"report", "thumbnail", "fhir"}
    assert {entry["format"] for entry in analysis.record["left_out"]} == DICOM
    assert "rejected" in analysis.record["left_out"][0]["reason"]


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID"])
@pytest.mark.parametrize("value", [None, "", "1.02.3", "not a uid", "1." * 40 + "1"])
def test_source_of_no_study_goes_without_and_says_so(
    models: Models, reader: IsolatedReader, keyword: str, value: str | None
) -> None:
    import pydicom

    with pydicom.config.disable_value_validation():
        data = study_dicom(**{keyword: value})
    analysis = result(data, models, reader, "dicom-sr", "fhir")
    assert analysis.record["status"] == "analysed"
    assert set(analysis.record["outputs"]) == {"report", "thumbnail", "fhir"}
    (entry,) = analysis.record["left_out"]
    assert entry["format"] == "dicom-sr"
    assert entry["reason"].startswith(f"the source has no valid {keyword}")
    assert "not a uid" not in entry["reason"]


def test_only_what_was_asked_for_is_made_or_left_out(
    models: Models, reader: IsolatedReader
) -> None:
    analysis = result(study_dicom(), models, reader, "dicom-pdf")
    assert set(analysis.record["outputs"]) == {"report", "thumbnail", "dicom-pdf"}
    assert analysis.record["left_out"] == []
    assert result(dicom(), models, reader).record["left_out"] == []


def test_dicom_image_without_its_file_is_a_mistake_of_the_caller() -> None:
    record = cases.analysed(cases.film())
    with pytest.raises(ValueError, match="file itself"):
        left_out(record, data=None, formats={"dicom-sr"})
