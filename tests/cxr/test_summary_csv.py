import csv
import dataclasses
import io

import pytest

from cxr.summary_csv import COLUMNS, summary_csv
from tests.cxr.fakes import MODEL_SET
from tests.cxr.results_examples import result


def rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8"), newline="")))


def test_a_row_says_what_the_record_says() -> None:
    (row,) = rows(summary_csv([result("a/1.png")]))
    assert tuple(row) == COLUMNS
    del row["image_id"]
    assert row == {
        "key": "a/1.png",
        "status": "analysed",
        "label": "Abnormal",
        "probability": "0.9",
        "threshold": "0.5",
        "calibrated": "false",
        "n_findings": "2",
        "findings": "Cardiomegaly 0.91; Pleural effusion 0.42",
        "rejection_code": "",
        "rejection_message": "",
        "width_px": "100",
        "height_px": "100",
        "view": "PA",
        "model_set": MODEL_SET,
        "record": "a/1.png/record.json",
    }


def test_not_looked_for_is_empty_and_not_zero() -> None:
    assert [row["n_findings"] for row in rows(summary_csv([result("1.png", "normal")]))] == [""]


def test_a_rejection_stands_with_its_reason() -> None:
    (row,) = rows(summary_csv([result("1.png", "rejected")]))
    assert (row["status"], row["label"], row["rejection_code"]) == ("rejected", "", "not_an_image")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_is_a_formula(start: str) -> None:
    key = f'{start}HYPERLINK(1),"x"\n.png'
    hostile = dataclasses.replace(result(key, "rejected"), rejection_message="=1+1", view="@x")
    (row,) = rows(summary_csv([hostile]))
    assert not [cell for cell in row.values() if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert row["rejection_message"] == "'=1+1"


def test_names_that_are_not_utf8_leave_the_file_utf8() -> None:
    (row,) = rows(summary_csv([result("caf\udce9 é.png")]))
    assert row["key"] == r"caf\xe9 é.png"
