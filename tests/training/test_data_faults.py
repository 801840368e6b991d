"""training/data.py on malformed data sets: a named error or a listed exclusion, never a crash."""

import json

import pytest

from tests.training.builders import REPORTS_NAME, published
from training.data import inspect_dataset, load_dataset
from training.errors import (
    DatasetError,
    EmptyDatasetError,
    MangledIdError,
    MissingColumnError,
    MissingPartError,
    PatientLeakError,
    UnreadableAnnotationsError,
)
from training.explore_checks import run_checks


def _remove_image(files):
    del files.images[files.reports[0]["ImageID"]]


def _truncate_image(files):
    name = files.reports[0]["ImageID"]
    files.images[name] = files.images[name][:-500]


def _empty_image(files):
    files.images[files.reports[0]["ImageID"]] = b""


def _box(*edges):
    def damage(files):
        files.finding(0)["extra_boxes"] = [list(edges)]

    return damage


def _set_row(**values):
    def damage(files):
        files.rows_of(0)[0].update(values)

    return damage


def _set_finding(**values):
    def damage(files):
        files.finding(0).update(values)

    return damage


def _unlisted(files):
    files.rows.remove(files.rows_of(0)[0])


def _mixed(files):
    files.rows.append(files.rows[0] | {"label": "Normal", "label_group": "Normal"})


def _two_splits_in_one_study(files):
    files.rows.append(files.rows[0] | {"split": "test", "PatientID": "1"})


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_remove_image, "image file is missing"),
        (_truncate_image, "truncated"),
        (_empty_image, "truncated"),
        (_box(0.1, 0.1, 1.2, 0.9), "leaves [0, 1]"),
        (_box(-0.1, 0.1, 0.5, 0.9), "leaves [0, 1]"),
        (_box(float("nan"), 0.1, 0.5, 0.9), "leaves [0, 1]"),
        (_box(0.6, 0.1, 0.6, 0.9), "x2 <= x1"),
        (_box(0.1, 0.9, 0.6, 0.2), "y2 <= y1"),
        (_box(0.1, 0.2, 0.3), "no box of four numbers"),
        (_box("0.1", 0.2, 0.3, 0.4), "no box of four numbers"),
        (_set_finding(boxes="none"), "no list of boxes"),
        (_set_finding(labels=["cardiomegalie"]), "unknown label 'cardiomegalie'"),
        (_set_finding(labels=[]), "has no labels"),
        (_set_row(split="holdout"), "split is 'holdout'"),
        (_set_row(PatientID=" "), "PatientID is empty"),
        (_set_row(ImageID="other.png"), "names the image other.png"),
        # the two files contradict each other on normal or abnormal
        (_set_row(label="Normal", label_group="Normal"), "says Normal but the JSON"),
        (_set_finding(abnormal=False), "but the JSON has none"),
        (_mixed, "labelled Normal and also Cardiomegaly"),
        (_unlisted, "not in master_table.csv"),
        (_two_splits_in_one_study, "several values of split"),
    ],
)
def test_a_bad_study_is_excluded_with_its_reason(tmp_path, damage, reason):
    files = published(train=6)
    # the last study carries the group of the first, so that removing a row leaves the vocabulary
    files.rows.append(
        files.rows_of(8)[0] | {"label": "cardiomegaly", "label_group": "cardiomegaly"}
    )
    damage(files)
    dataset = inspect_dataset(files.write(tmp_path)).dataset
    assert [exclusion.image_id for exclusion in dataset.exclusions] == [files.reports[0]["ImageID"]]
    assert reason in dataset.exclusions[0].reason
    assert len(dataset.studies) == 9


def test_a_study_that_the_json_lacks_is_listed(tmp_path):
    files = published()
    lost = files.reports.pop(3)
    dataset = load_dataset(files.write(tmp_path))
    assert [(e.image_id, e.reason) for e in dataset.exclusions] == [
        (lost["ImageID"], "in master_table.csv but not in the JSON")
    ]


def test_a_study_that_stands_twice_is_kept_once(tmp_path):
    files = published()
    files.reports.append(files.reports[2])
    dataset = load_dataset(files.write(tmp_path))
    assert len(dataset.studies) == 10
    assert len(dataset.exclusions) == 1
    assert "stands twice" in dataset.exclusions[0].reason


def test_a_study_that_stands_twice_with_other_content_is_kept_never(tmp_path):
    files = published()
    files.reports.append(files.reports[2] | {"findings": []})
    dataset = load_dataset(files.write(tmp_path))
    assert files.reports[2]["ImageID"] not in {study.image_id for study in dataset.studies}
    assert len(dataset.exclusions) == 2


def test_a_patient_in_two_splits_stops_everything(tmp_path):
    files = published()
    files.rows_of(9)[0]["PatientID"] = files.rows_of(0)[0]["PatientID"]
    root = files.write(tmp_path)
    with pytest.raises(PatientLeakError, match=files.rows[0]["PatientID"] + ": test, train"):
        load_dataset(root)
    assert len(inspect_dataset(root).dataset.studies) == 10  # exploration still shows it


@pytest.mark.parametrize("column", ["split", "PatientID", "label_group"])
def test_a_missing_column_is_named(tmp_path, column):
    files = published()
    for row in files.rows:
        del row[column]
    with pytest.raises(MissingColumnError, match=column):
        load_dataset(files.write(tmp_path))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("2.16840111366964e+44", id="spreadsheet"),
        pytest.param("12345.0", id="float-column"),
        pytest.param("nan", id="missing-value"),
    ],
)
@pytest.mark.parametrize("column", ["StudyID", "PatientID"])
def test_ids_read_as_numbers_in_the_table_are_refused(tmp_path, column, value):
    files = published()
    files.rows_of(0)[0][column] = value
    with pytest.raises(MangledIdError, match="dtype=str"):
        load_dataset(files.write(tmp_path))


def test_ids_read_as_numbers_in_the_json_are_refused(tmp_path):
    files = published()
    files.reports[0]["StudyID"] = float(files.reports[0]["StudyID"])
    with pytest.raises(MangledIdError, match="StudyID"):
        load_dataset(files.write(tmp_path))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('[{"StudyID": "1", ', id="cut short"),
        pytest.param('{"StudyID": "1"}', id="no list"),
        pytest.param("[1, 2]", id="no studies"),
        pytest.param("\udcff", id="no text"),
    ],
)
def test_unreadable_json_is_refused(tmp_path, text):
    root = published().write(tmp_path)
    (root / REPORTS_NAME).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UnreadableAnnotationsError, match=REPORTS_NAME):
        load_dataset(root)


def test_a_table_with_a_broken_row_is_refused(tmp_path):
    root = published().write(tmp_path)
    with (root / "master_table.csv").open("a") as table:
        table.write("1,2,3\n")
    with pytest.raises(UnreadableAnnotationsError, match="row 12 has another number of fields"):
        load_dataset(root)


def test_a_zip_that_is_none_is_refused(tmp_path):
    root = published().write(tmp_path)
    (root / "master_table.csv").rename(root / "master_table.csv.zip")
    with pytest.raises(UnreadableAnnotationsError, match="zip"):
        load_dataset(root)


@pytest.mark.parametrize("name", [REPORTS_NAME, "master_table.csv"])
def test_a_missing_file_is_named(tmp_path, name):
    root = published().write(tmp_path)
    (root / name).unlink()
    with pytest.raises(MissingPartError, match=name.partition("_2024")[0]):
        load_dataset(root)


def test_two_versions_of_the_json_are_refused(tmp_path):
    root = published().write(tmp_path)
    (root / "grounded_reports_20250101.json").write_text(json.dumps([]))
    with pytest.raises(MissingPartError, match="keep the one that is meant"):
        load_dataset(root)


def test_an_archive_not_yet_extracted_is_explained(tmp_path):
    files = published()
    files.images.clear()
    root = files.write(tmp_path)
    (root / "Padchest_GR_files").mkdir()
    (root / "Padchest_GR_files" / "PadChest_GR.zip.001").write_bytes(b"PK")
    with pytest.raises(MissingPartError, match="join them"):
        load_dataset(root)


def test_no_folder_and_no_usable_study_are_named(tmp_path):
    with pytest.raises(MissingPartError, match="not a folder"):
        load_dataset(tmp_path / "absent")
    files = published()
    for row in files.rows:
        row["split"] = "other"
    with pytest.raises(EmptyDatasetError, match="10 x split is 'other'"):
        load_dataset(files.write(tmp_path))


def test_every_named_error_is_a_dataset_error():
    for error in (EmptyDatasetError, MangledIdError, MissingPartError, PatientLeakError):
        assert issubclass(error, DatasetError)


STRANGE = (None, True, -1, 1.5, "", "x", [], {}, [None], [[0.1, 0.2, 0.3, None]], [[1, 2], [3]])
"""Values that a hand-edited file may hold anywhere."""


@pytest.mark.parametrize("level", ["study", "finding"])
def test_no_value_anywhere_in_the_json_crashes_the_loader(tmp_path, level):
    files = published()
    root = files.write(tmp_path)
    outcomes = set()
    for field in files.reports[0] if level == "study" else files.finding(0):
        for value in STRANGE:
            reports = json.loads(json.dumps(files.reports))
            target = reports[0] if level == "study" else reports[0]["findings"][0]
            target[field] = value
            (root / REPORTS_NAME).write_text(json.dumps(reports))
            try:
                inspection = inspect_dataset(root)
                run_checks(inspection, {})
            except DatasetError as error:
                outcomes.add(type(error))
            else:
                # the other nine are never harmed
                assert len(inspection.dataset.studies) in (9, 10)
                outcomes.add(len(inspection.dataset.studies))
    assert outcomes == ({9, 10, MangledIdError} if level == "study" else {9, 10})
