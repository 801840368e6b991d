"""training/data.py on a data set as published: what is read, and how."""

from collections import Counter

import pytest

from lambdas.shared.boxes import UnitBox
from tests.training.builders import add_study, published
from training.data import LabelledBox, balanced, class_list, load_dataset
from training.studies import MAX_REPEATS


def test_studies_splits_and_labels_are_read_as_published(tmp_path):
    files = published()
    dataset = load_dataset(files.write(tmp_path))
    assert len(dataset.studies) == 10
    assert dataset.exclusions == ()
    assert [len(dataset.split(name)) for name in ("train", "validation", "test")] == [6, 2, 2]
    first = dataset.studies[0]
    assert first.study_id == files.reports[0]["StudyID"]
    assert first.patient_id == files.rows[0]["PatientID"]
    assert (first.sex, first.age, first.view, first.abnormal) == ("F", 40, None, True)
    assert first.labels == {"Cardiomegaly"}
    assert first.groups == {"Cardiomegaly"}
    assert first.boxes == (
        LabelledBox("Cardiomegaly", UnitBox(0.2, 0.25, 0.6, 0.75), 1),
        LabelledBox("Cardiomegaly", UnitBox(0.2, 0.25, 0.6, 0.5), 2),
    )
    assert first.image == tmp_path / "PadChest_GR" / first.image_id
    second = dataset.studies[1]
    assert (second.labels, second.abnormal, second.boxes) == ({"Normal"}, False, ())


def test_a_fine_label_keeps_its_name_and_its_group(tmp_path):
    files = published()
    dataset = load_dataset(files.write(tmp_path))
    (study,) = (s for s in dataset.studies if "Apical pleural thickening" in s.labels)
    assert study.groups == {"Pleural thickening"}
    assert {drawn.label for drawn in study.boxes} == {"Apical pleural thickening"}


def test_a_finding_of_two_labels_gives_its_boxes_to_both(tmp_path):
    files = published()
    files.finding(0)["labels"] = ["cardiomegaly", "scoliosis"]
    study = load_dataset(files.write(tmp_path)).studies[0]
    assert Counter(drawn.label for drawn in study.boxes) == {"Cardiomegaly": 2, "Scoliosis": 2}
    assert study.labels == {"Cardiomegaly", "Scoliosis"}


def test_a_box_that_stands_in_two_findings_counts_once(tmp_path):
    files = published()
    files.reports[0]["findings"] *= 2
    assert len(load_dataset(files.write(tmp_path)).studies[0].boxes) == 2


def test_an_abnormal_study_without_boxes_is_kept(tmp_path):
    files = published()
    files.finding(0).update(boxes=[], extra_boxes=[])
    study = load_dataset(files.write(tmp_path)).studies[0]
    assert (study.abnormal, study.boxes) == (True, ())


def test_an_edge_outside_by_rounding_is_clipped(tmp_path):
    files = published()
    files.finding(0)["boxes"] = [[-0.00001, 0.5, 1.00005, 1]]
    study = load_dataset(files.write(tmp_path)).studies[0]
    assert study.boxes[0].box == UnitBox(0.0, 0.5, 1.0, 1.0)


def test_the_zipped_table_and_the_archive_folder_are_read(tmp_path):
    files = published()
    root = files.write(tmp_path, zipped=True, folder="Padchest_GR_files/PadChest_GR")
    assert len(load_dataset(root).studies) == 10


def test_study_ids_with_a_suffix_stay_apart(tmp_path):
    files = published()
    for entry in (files.reports[1], *files.rows_of(1)):
        entry["StudyID"] = files.reports[0]["StudyID"] + "-2"
    studies = load_dataset(files.write(tmp_path)).studies
    assert sum(study.study_id.endswith("-2") for study in studies) == 1
    assert len(studies) == 10


def test_ap_horizontal_is_kept_and_a_lateral_is_not(tmp_path):
    files = published()
    names = sorted(files.images)
    files.projections = dict.fromkeys(names, "PA") | {names[0]: "AP_horizontal", names[1]: "L"}
    dataset = load_dataset(files.write(tmp_path))
    assert dataset.studies[0].view == "AP_horizontal"
    assert [exclusion.image_id for exclusion in dataset.exclusions] == [names[1]]
    assert "'L'" in dataset.exclusions[0].reason


@pytest.mark.parametrize(
    ("text", "age"),
    [("62", 62), ("62.0", 62), ("062Y", 62), ("", None), ("unknown", None)],
)
def test_age_in_every_spelling(tmp_path, text, age):
    files = published(train=2, validation=0, test=0)
    files.rows[0]["PatientAge"] = text
    assert load_dataset(files.write(tmp_path)).studies[0].age == age


def test_class_lists_grow_by_support():
    four, five, eight, thirteen = (class_list(n) for n in (4, 5, 8, 13))
    assert set(four) == {"Aortic atheromatosis", "Aortic elongation", "Cardiomegaly", "Scoliosis"}
    assert set(four) < set(five) < set(eight) < set(thirteen)
    assert [len(names) for names in (four, five, eight, thirteen)] == [4, 5, 8, 13]
    assert all(list(names) == sorted(names) for names in (four, five, eight, thirteen))
    with pytest.raises(ValueError, match="6 classes"):
        class_list(6)


def test_balanced_makes_single_classes_equal_and_drops_nobody(tmp_path):
    files = published(train=0, validation=0, test=0)
    for label in ["cardiomegaly"] * 12 + [None] * 5:
        add_study(files, split="train", label=label)
    studies = load_dataset(files.write(tmp_path)).studies
    drawn = balanced(studies, key=lambda study: study.abnormal, seed=1)
    counts = Counter(study.abnormal for study in drawn)
    assert counts[True] == 12
    assert abs(counts[False] - 12) <= 1
    assert {study.image_id for study in drawn} == {study.image_id for study in studies}
    assert drawn == balanced(studies, key=lambda study: study.abnormal, seed=1)
    assert drawn != balanced(studies, key=lambda study: study.abnormal, seed=2)


def test_balanced_by_several_classes_repeats_by_the_rarest_up_to_a_limit(tmp_path):
    files = published(train=0, validation=0, test=0)
    for label in ["cardiomegaly"] * 15 + ["scoliosis"] + [None] * 3:
        add_study(files, split="train", label=label)
    studies = load_dataset(files.write(tmp_path)).studies
    drawn = balanced(studies, key=lambda study: study.labels - {"Normal"}, seed=0)
    counts = Counter(label for study in drawn for label in study.labels)
    assert counts == {"Cardiomegaly": 15, "Scoliosis": MAX_REPEATS, "Normal": 3}
