"""--formats: what is made, what is kept, what is made later; with fake models."""

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from cxr.cli import main
from tests.cxr.conftest import Run
from tests.cxr.fakes import image, make_fake
from tests.cxr.test_analyze import files_below, read_record, times

Write = Callable[[Mapping[str, bytes]], None]

DICOM, OTHER = image("abnormal dicom"), image("abnormal")
PLAIN_FILES = {"record.json", "report.pdf", "thumbnail.jpg"}


def files_of(name: str) -> set[str]:
    return files_below(f"out/{name}")


def patient_of(name: str) -> Any:
    report = json.loads(Path(f"out/{name}/fhir.json").read_bytes())["entry"][0]["resource"]
    return report.get("subject", {}).get("reference")


def write_table(*rows: str, header: str = "key,patient,imaging_study") -> str:
    Path("table.csv").write_text("\n".join((header, *rows, "")))
    return "table.csv"


def test_formats_stand_beside_the_record_in_their_places(run: Run, write: Write) -> None:
    write({"s/1.dcm": DICOM, "s/2.png": OTHER})
    code, summary = run("s", "--out", "out", "--formats", "dicom-sr,dicom-pdf,fhir")
    assert code == 0
    assert files_of("1.dcm") == PLAIN_FILES | {"dicom/sr.dcm", "dicom/pdf.dcm", "fhir.json"}
    assert files_of("2.png") == PLAIN_FILES | {"fhir.json"}
    assert summary["formats"] == {"dicom-pdf": 1, "dicom-sr": 1, "fhir": 2}
    first, second = summary["results"]
    assert (first["formats"], first["left_out"]) == (["dicom-pdf", "dicom-sr", "fhir"], [])
    assert second["left_out"] == [
        {"format": "dicom-pdf", "reason": "no study to join"},
        {"format": "dicom-sr", "reason": "no study to join"},
    ]


def test_summary_for_a_person_says_what_was_made_and_what_not(
    run: Run, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    write({"s/1.dcm": DICOM, "s/2.png": OTHER, "s/3.png": OTHER})
    arguments = ["analyze", "s", "--out", "out", "--formats", "dicom-sr,dicom-gsps,fhir"]
    assert main([*arguments, "--workers", "1"], make_analyser=make_fake) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "Formats: dicom-gsps 1, dicom-sr 1, fhir 3" in lines
    assert "  2 without dicom-gsps, dicom-sr: no study to join" in lines


def test_without_formats_nothing_is_said_of_them(
    run: Run, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    write({"s/1.dcm": DICOM})
    assert main(["analyze", "s", "--out", "out"], make_analyser=make_fake) == 0
    assert "Formats" not in capsys.readouterr().out
    assert files_of("1.dcm") == PLAIN_FILES


def test_what_is_missing_is_made_later_and_what_was_there_is_kept(run: Run, write: Write) -> None:
    write({"s/1.dcm": DICOM, "s/2.dcm": DICOM})
    run("s", "--out", "out", "--formats", "dicom-sr")
    code, summary = run("s/1.dcm", "--out", "out", "--formats", "fhir")
    assert (code, summary["already_done"]) == (0, 0)
    assert files_of("1.dcm") == PLAIN_FILES | {"dicom/sr.dcm", "fhir.json"}
    assert set(read_record("out/1.dcm/record.json")["outputs"]) == {
        "report",
        "thumbnail",
        "dicom-sr",
        "fhir",
    }
    assert files_of("2.dcm") == PLAIN_FILES | {"dicom/sr.dcm"}


@pytest.mark.parametrize("later", ["dicom-sr,fhir", "fhir", ""])
def test_what_was_asked_for_before_is_done(run: Run, write: Write, later: str) -> None:
    write({"s/1.dcm": DICOM, "s/2.png": OTHER, "s/3.png": image("rejected")})
    run("s", "--out", "out", "--formats", "dicom-sr,fhir")
    before = times("out")
    _, summary = run("s", "--out", "out", "--formats", later)
    assert summary["already_done"] == 3
    assert times("out") == before


def test_what_is_impossible_stays_known_when_more_is_asked_for(run: Run, write: Write) -> None:
    write({"s/2.png": OTHER})
    run("s", "--out", "out", "--formats", "dicom-sr")
    assert run("s", "--out", "out", "--formats", "fhir")[1]["already_done"] == 0
    assert run("s", "--out", "out", "--formats", "dicom-sr,fhir")[1]["already_done"] == 1


def test_a_missing_output_is_made_again(run: Run, write: Write) -> None:
    write({"s/1.dcm": DICOM})
    run("s", "--out", "out", "--formats", "dicom-sr")
    Path("out/1.dcm/dicom/sr.dcm").unlink()
    assert run("s", "--out", "out")[1]["already_done"] == 0
    assert files_of("1.dcm") == PLAIN_FILES | {"dicom/sr.dcm"}


def test_forced_again_keeps_the_formats(run: Run, write: Write) -> None:
    write({"s/1.dcm": DICOM})
    run("s", "--out", "out", "--formats", "dicom-sr,fhir")
    run("s", "--out", "out", "--force")
    assert files_of("1.dcm") == PLAIN_FILES | {"dicom/sr.dcm", "fhir.json"}


def test_outputs_of_other_content_or_other_models_do_not_stay(run: Run, write: Write) -> None:
    write({"s/1.dcm": DICOM, "s/2.dcm": DICOM})
    run("s", "--out", "out", "--formats", "dicom-sr,fhir")
    write({"s/1.dcm": image("normal dicom")})
    assert run("s", "--out", "out")[1]["replaced"] == 1
    assert files_of("1.dcm") == PLAIN_FILES
    run("s", "--out", "out", "--force", "--models", "other")
    assert files_of("2.dcm") == PLAIN_FILES


def test_findings_of_a_normal_image_are_kept_when_formats_are_added(run: Run, write: Write) -> None:
    write({"s/1.dcm": image("normal dicom")})
    run("s", "--out", "out", "--detect-all")
    run("s", "--out", "out", "--formats", "dicom-sr")
    assert read_record("out/1.dcm/record.json")["detection"]["performed"]


def test_unknown_format_stops_before_any_work(run: Run, write: Write) -> None:
    write({"s/1.dcm": DICOM})
    code, summary = run("s", "--out", "out", "--formats", "pdf")
    assert code == 2
    assert "unknown format 'pdf'" in summary["error"]
    assert not Path("out").exists()


def test_an_image_named_like_an_output_folder_is_refused(run: Run, write: Write) -> None:
    write({"s1/x": DICOM, "s2/x/dicom/y": DICOM})
    code, summary = run("s1/x", "s2", "--out", "out")
    assert code == 0  # several arguments: s2 puts its name in front
    write({"a/x": DICOM})
    Path("b").mkdir()
    Path("b/x").symlink_to("../s2/x", target_is_directory=True)
    code, summary = run("a/x", "b/x", "--out", "out2")
    assert (code, "would share the name dicom" in summary["error"]) == (2, True)


def test_links_to_outputs_stand_on_the_page(run: Run, write: Write) -> None:
    write({"s/1.dcm": DICOM})
    run("s", "--out", "out", "--formats", "dicom-gsps,fhir")
    page = Path("out/index.html").read_text()
    assert '<a href="./1.dcm/dicom/gsps.dcm">GSPS</a>' in page
    assert '<a href="./1.dcm/fhir.json">FHIR</a>' in page
    assert "sr.dcm" not in page


# Whose images they are


def test_table_names_the_patient_of_each_image(run: Run, write: Write) -> None:
    write({"s/1.dcm": DICOM, "s/a/2.png": OTHER, "s/3.png": OTHER})
    table = write_table(
        "1.dcm,Patient/1,ImagingStudy/9", "a/2.png,Patient/2,", "not in this run,Patient/3,"
    )
    code, _ = run("s", "--out", "out", "--formats", "fhir", "--fhir-references", table)
    assert code == 0
    assert [patient_of(name) for name in ("1.dcm", "a/2.png", "3.png")] == [
        "Patient/1",
        "Patient/2",
        None,
    ]
    assert "Patient" not in Path("out/summary.csv").read_text()
    assert "Patient/1" not in Path("out/1.dcm/record.json").read_text()


def test_table_given_later_or_changed_is_followed(run: Run, write: Write) -> None:
    write({"s/1.dcm": DICOM, "s/2.dcm": DICOM})
    run("s", "--out", "out", "--formats", "fhir")
    asked = ("s", "--out", "out", "--formats", "fhir", "--fhir-references")
    table = write_table("1.dcm,Patient/1,")
    assert run(*asked, table)[1]["already_done"] == 1
    assert (patient_of("1.dcm"), patient_of("2.dcm")) == ("Patient/1", None)
    assert run(*asked, table)[1]["already_done"] == 2
    assert run(*asked, write_table("1.dcm,Patient/7,"))[1]["already_done"] == 1
    assert patient_of("1.dcm") == "Patient/7"


def test_patient_is_kept_when_other_formats_are_added(run: Run, write: Write) -> None:
    write({"s/1.dcm": DICOM})
    table = write_table("1.dcm,Patient/1,")
    run("s", "--out", "out", "--formats", "fhir", "--fhir-references", table)
    run("s", "--out", "out", "--formats", "dicom-sr")
    assert files_of("1.dcm") == PLAIN_FILES | {"dicom/sr.dcm", "fhir.json"}
    assert patient_of("1.dcm") == "Patient/1"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("patient\nPatient/1\n", "needs a first line `key,patient`"),
        ("", "needs a first line `key,patient`"),
        ("key,patient,name\n1,Patient/1,SMITH\n", "needs a first line `key,patient`"),
        ("key,patient\n1.dcm,Patient/1\n1.dcm,Patient/2\n", "line 3 names a key that stands in"),
        ("key,patient\n,Patient/2\n", "line 2 has no key"),
        ("key,patient\n1.dcm,Patient/2,x,y\n", "line 2 has no key, or too many values"),
        ("key,patient\n1.dcm,SMITH\n", "line 2 cannot be used: the patient reference is not"),
        ('key,patient\n"1.dcm,Patient/1\n', "is not CSV"),
    ],
)
def test_table_that_cannot_be_followed_says_where(
    run: Run, write: Write, content: str, message: str
) -> None:
    write({"s/1.dcm": DICOM, "table.csv": content.encode()})
    asked = ("s", "--out", "out", "--formats", "fhir", "--fhir-references", "table.csv")
    code, summary = run(*asked)
    assert code == 2
    assert message in summary["error"]
    assert "SMITH" not in summary["error"]
    assert not Path("out").exists()


def test_table_needs_the_format_and_must_exist(run: Run, write: Write) -> None:
    write({"s/1.dcm": DICOM})
    _, summary = run("s", "--out", "out", "--fhir-references", write_table())
    assert summary["error"] == "--fhir-references needs --formats fhir"
    _, summary = run("s", "--out", "out", "--formats", "fhir", "--fhir-references", "no.csv")
    assert "no.csv cannot be read: No such file" in summary["error"]


def test_keys_of_any_bytes_can_be_named(run: Run, write: Write) -> None:
    name = "caf\udce9, 1.png"  # Latin-1 on disk, and a comma
    write({f"s/{name}": OTHER})
    with Path("table.csv").open("w", errors="surrogateescape", newline="") as file:
        csv.writer(file).writerows([("key", "patient"), (name, "Patient/1")])
    run("s", "--out", "out", "--formats", "fhir", "--fhir-references", "table.csv")
    assert patient_of(name) == "Patient/1"
