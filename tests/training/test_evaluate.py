import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from lambdas.shared.bundle import load_bundle
from lambdas.shared.labels import DETECTOR_LABELS
from tests.builders import (
    classifier_facts,
    classifier_graph,
    detector_facts,
    detector_graph,
    tiny_models,
    write_bundle,
)
from tests.training.builders import film_png, published
from training import evaluate, prepare
from training.data import load_dataset
from training.evaluate_measure import made_up
from training.evaluated_models import find_models
from training.phantoms.dataset import name_study

QUICK = ("--workers", "1", "--resamples", "20")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 validation and 24 test studies, every second abnormal, each label three times a split."""
    return published(train=2, validation=24, test=24).write(tmp_path_factory.mktemp("published"))


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    return tiny_models(tmp_path / "pair")


@pytest.fixture(scope="module")
def measured(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of one plain run, and the pair it is of."""
    folder = tmp_path_factory.mktemp("measured")
    run(data, folder / "out", tiny_models(folder / "pair"))
    return folder


def report(out: Path) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads((out / "evaluation.json").read_text())
    return answer


def run(data: Path, out: Path, *models: Path, options: tuple[str, ...] = ()) -> dict[str, Any]:
    named = [str(path) for path in models]
    arguments = ["--data", str(data), "--models", *named, "--out", str(out), *QUICK, *options]
    assert evaluate.main(arguments) == 0
    return report(out)


def test_a_pair_is_measured_end_to_end(measured: Path) -> None:
    found = report(measured / "out")
    assert found["data"]["kind"] == "patients"
    assert (found["data"]["validation_n"], found["data"]["test_n"]) == (24, 24)
    assert [model["form"] for model in found["models"]] == ["bundle", "bundle"]
    (triage,) = found["triage"]
    counts = triage["confusion"]
    assert counts["true_abnormal"] + counts["missed"] == 12
    assert counts["false_alarm"] + counts["true_normal"] == 12
    assert triage["operating_point"]["validation_n"] == 24
    assert triage["auroc"]["n"] == 24
    low, high = triage["auroc"]["interval_95"]
    assert low <= triage["auroc"]["value"] <= high
    (detector,) = found["detection"]
    heart = next(entry for entry in detector["classes"] if entry["label"] == "Cardiomegaly")
    # the graph's one box overlaps reader 1's heart by 0.57 and reader 2's by 0.31, on every film
    assert heart["boxes"] == 3
    assert (heart["sensitivity"]["value"], heart["sensitivity"]["n"]) == (1.0, 3)
    assert heart["sensitivity"]["interval_95"] == pytest.approx([0.4385, 1.0], abs=1e-4)
    assert heart["precision"]["value"] == 3 / 24
    assert heart["false_boxes_per_image"] == 21 / 24
    assert heart["reader_agreement"] == {
        "films": 3,
        "mean_iou": pytest.approx(0.5),
        "interval_95": pytest.approx([0.5, 0.5]),
        "at_half": pytest.approx(1.0),
    }
    assert heart["detector_iou_with_reader_1"]["value"] == pytest.approx(0.3 / 0.529, abs=1e-3)
    assert heart["ap50_by_reader"]["1"]["value"] > heart["ap50_by_reader"]["2"]["value"] == 0
    (cascade,) = found["cascades"]
    classes = {entry["label"]: entry for entry in cascade["classes"]}
    lost = classes["Cardiomegaly"]["lost_at_gate"]
    assert classes["Cardiomegaly"]["lost_though_detectable"] == lost
    assert classes["Cardiomegaly"]["found"] == 3 - lost
    assert sum(cascade["outcomes"]["abnormal"].values()) == 12
    assert cascade["outcomes"]["abnormal"]["normal"] == counts["missed"]
    assert cascade["outcomes"]["normal"]["normal"] == counts["true_normal"]


def test_page_is_self_contained_and_says_what_it_is_of(measured: Path) -> None:
    page = (measured / "out" / "evaluation.html").read_text()
    assert "data:image/jpeg;base64," in page
    for outside in ("http://", "https://", "<script", "<link", "url("):
        assert outside not in page
    for model in ("classifier", "detector"):
        assert load_bundle(measured / "pair" / model).facts["sha256"] in page
    for words in ("trained on nothing answers by chance", "Lost at the gate", "Wilson&#x27;s"):
        assert words.lower() in page.lower()
    assert "These are phantoms" not in page


@pytest.mark.slow
def test_prepared_images_give_nearly_the_same_answers(
    data: Path, pair: Path, tmp_path: Path
) -> None:
    prepared = tmp_path / "prepared"
    arguments = ["--data", str(data), "--out", str(prepared), "--long-side", "240"]
    assert prepare.main([*arguments, "--workers", "1"]) == 0
    stored = run(data, tmp_path / "a", pair)
    again = run(prepared, tmp_path / "b", pair)
    assert again["data"]["prepared"] is True
    assert again["triage"][0]["auroc"]["value"] == pytest.approx(
        stored["triage"][0]["auroc"]["value"], abs=0.02
    )
    assert again["detection"][0]["mean_ap50"] == stored["detection"][0]["mean_ap50"]


def test_written_point_goes_into_the_bundle(data: Path, pair: Path, tmp_path: Path) -> None:
    before = load_bundle(pair / "classifier").facts
    found = run(data, tmp_path / "out", pair, options=("--write-operating-point",))
    triage, detector = load_bundle(pair / "classifier"), load_bundle(pair / "detector")
    chosen = found["triage"][0]["operating_point"]
    assert triage.facts["operating_point"]["threshold"] == chosen["threshold"]
    assert triage.facts["operating_point"]["chosen_by"] == chosen["chosen_by"]
    assert triage.facts["sha256"] == before["sha256"]
    metrics = {entry["name"]: entry for entry in triage.facts["metrics"]}
    assert metrics["AUROC"]["value"] == round(found["triage"][0]["auroc"]["value"], 4)
    assert metrics["AUROC"]["n"] == 24
    assert metrics["AUROC"]["data"].endswith("24 test studies")
    names = {entry["name"] for entry in detector.facts["metrics"]}
    assert {"mean AP50", "COCO mAP", "AP50 Cardiomegaly"} <= names
    # a class without a box has no figure to write
    assert "AP50 Pleural effusion" not in names
    # and the same command again, on the bundle as written, finds the same
    again = run(data, tmp_path / "out", pair)
    assert again["triage"][0]["auroc"] == found["triage"][0]["auroc"]
    shipped = again["triage"][0]["shipped_sensitivity"]
    assert shipped == found["triage"][0]["sensitivity"]


@pytest.mark.slow
def test_variants_stand_side_by_side(data: Path, pair: Path, tmp_path: Path) -> None:
    folders = [pair / "classifier"]
    for count in (13, 4):
        labels = DETECTOR_LABELS[count]
        facts = detector_facts(
            labels=[{"name": name, "code": None} for name in labels],
            operating_point={"thresholds": dict.fromkeys(labels, 0.5), "chosen_by": "the test"},
        )
        heart = labels.index("Cardiomegaly") + 1
        graph = detector_graph([[4, 8, 16, 24]], [heart], [0.8])
        folders.append(write_bundle(tmp_path / f"of-{count}" / "detector", graph, facts))
    found = run(data, tmp_path / "out", *folders)
    assert [len(d["classes"]) for d in found["detection"]] == [4, 13]
    # one classifier: every detector stands behind it
    assert len(found["cascades"]) == 2
    page = (tmp_path / "out" / "evaluation.html").read_text()
    assert "Variants side by side" in page
    assert "no difference is shown" in page


def test_limit_takes_a_part_of_each_split(data: Path, pair: Path, tmp_path: Path) -> None:
    found = run(data, tmp_path / "out", pair, options=("--limit", "6"))
    assert (found["data"]["validation_n"], found["data"]["test_n"]) == (6, 6)
    assert found["triage"][0]["operating_point"]["threshold"] == 0.5
    assert "at most 6 studies" in (tmp_path / "out" / "evaluation.html").read_text()


def test_real_films_stand_beside(data: Path, pair: Path, tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    with (films / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "triage_label", "note"))
        for index in range(6):
            data_of = film_png(seed=index) if index else b"no image"
            (films / f"{index}.png").write_bytes(data_of)
            writer.writerow((f"{index}.png", ("normal", "abnormal")[index % 2], ""))
    boxes = "file,finding,x1,y1,x2,y2,frame\n1.png,Cardiomegaly,{},60,{},180,208x240 px\n"
    boxes += "3.png,Mass,1,1,9,9,208x240 px\n"
    (films / "boxes.csv").write_text(boxes.format(208 * 2 / 28, 208 * 14 / 28))
    found = run(data, tmp_path / "out", pair, options=("--real-films", str(films)))
    real = found["real_films"]
    assert set(real["rejected"]) == {"0.png"}
    assert real["triage"][0]["auroc"]["n"] == 5
    assert real["triage"][0]["sensitivity"]["n"] == 3
    # the box is the detector's own; a mass is none of its classes
    (box,) = real["boxes"]
    assert (box["file"], box["score"], box["threshold"]) == ("1.png", 0.9, 0.5)
    assert box["iou"] == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ("file\na.png\n", "lacks the columns triage_label"),
        ("file,triage_label\nabsent.png,normal\n", "1 of 1 files are absent"),
        ("file,triage_label\n", "0 of 0"),
    ],
)
def test_malformed_real_films_are_refused(
    data: Path,
    pair: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    manifest: str,
    message: str,
) -> None:
    films = tmp_path / "films"
    films.mkdir()
    (films / "manifest.csv").write_text(manifest)
    arguments = ["--data", str(data), "--models", str(pair), "--out", str(tmp_path / "out")]
    assert evaluate.main([*arguments, *QUICK, "--real-films", str(films)]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out" / "evaluation.html").exists()


def test_split_without_studies_is_refused(
    pair: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = published(train=2, validation=0, test=4).write(tmp_path / "data")
    arguments = ["--data", str(data), "--models", str(pair), "--out", str(tmp_path / "out")]
    assert evaluate.main([*arguments, *QUICK]) == 1
    assert "no validation study" in capsys.readouterr().err


def test_same_graph_in_two_folders_is_one_model(tmp_path: Path) -> None:
    for name in ("a", "b"):
        tiny_models(tmp_path / name)
    found = find_models([tmp_path / "a", tmp_path / "b"])
    assert (len(found.classifiers), len(found.detectors), len(found.pairs)) == (1, 1, 2)


def test_missing_model_is_named(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(data), "--models", str(tmp_path / "none"), "--out", str(tmp_path)]
    assert evaluate.main([*arguments, *QUICK]) == 1
    assert f"there is no {tmp_path / 'none'}" in capsys.readouterr().err


def test_classifier_alone_is_enough(data: Path, tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "only", classifier_graph(), classifier_facts())
    found = run(data, tmp_path / "out", folder)
    assert found["detection"] == []
    assert found["cascades"] == []


def test_published_ids_are_not_taken_for_phantoms(data: Path) -> None:
    studies = load_dataset(data).studies
    assert not made_up(studies)
    name = name_study(seed=5, index=3)
    phantom = dataclasses.replace(studies[0], study_id=name.study_id, patient_id=name.patient_id)
    assert made_up([phantom])
    assert not made_up([phantom, studies[1]])
