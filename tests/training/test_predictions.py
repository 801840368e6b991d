import json
from pathlib import Path

import numpy as np
import pytest

from lambdas.shared.errors import ModelMismatchError
from lambdas.shared.read import read_radiograph
from tests.builders import classifier_facts, classifier_graph, tiny_models, write_bundle
from tests.training.builders import film_png
from training import predictions
from training.evaluated_models import EvaluatedModel, Models, find_models
from training.predictions import Film, RecordingModel, answer_film, predict


@pytest.fixture
def films(tmp_path: Path) -> list[Film]:
    for index in range(3):
        (tmp_path / f"{index}.png").write_bytes(film_png(seed=index))
    return [Film(f"{index}.png", tmp_path / f"{index}.png") for index in range(3)]


@pytest.fixture
def models(tmp_path: Path) -> Models:
    return find_models([tiny_models(tmp_path / "pair")])


def run(films: list[Film], models: Models, folder: Path) -> predictions.Predictions:
    return predict(films, models.all, folder=folder, workers=1, title="films")


def test_answers_are_raw(films: list[Film], models: Models, tmp_path: Path) -> None:
    answers = run(films, models, tmp_path / "kept")
    pixels = read_radiograph(film_png(seed=1)).pixels
    scores = answers.scores[models.classifiers[0].key]["1.png"]
    # the graph gives ten times the letterboxed image's mean, less 5; two of 32 columns each side
    # are padding
    assert scores == pytest.approx([0, 10 * (float(pixels.mean()) * 28 / 32 - 0.5)], abs=0.05)
    found = answers.detections[models.detectors[0].key]["1.png"]
    # 0.4 is above the bundle's own threshold for the second label, and both are kept
    assert found[:, :2].tolist() == [[0, 0.9], [1, 0.4]]
    assert found[0, 2:].tolist() == pytest.approx([2 / 28, 0.25, 14 / 28, 0.75], abs=1e-6)


def test_detections_below_the_operating_threshold_are_kept(models: Models) -> None:
    detector = models.detectors[0]
    assert detector.bundle.facts["operating_point"]["thresholds"]["Cardiomegaly"] == 0.5
    assert set(detector.measured.facts["operating_point"]["thresholds"].values()) == {0.01}
    # the shipped facts are untouched
    assert detector.bundle.facts["operating_point"]["thresholds"]["Pleural effusion"] == 0.3


def test_a_known_film_is_not_read_again(
    films: list[Film], models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(films, models, tmp_path / "kept")
    asked: list[str] = []
    real = predictions.read_film

    def counting(film: Film) -> predictions.Radiograph:
        asked.append(film.image_id)
        return real(film)

    monkeypatch.setattr(predictions, "read_film", counting)
    again = run(films, models, tmp_path / "kept")
    assert asked == []
    for key, by_film in first.detections.items():
        for name, found in by_film.items():
            assert np.array_equal(found, again.detections[key][name])
    Path(films[1].location).write_bytes(film_png(seed=8))
    run(films, models, tmp_path / "kept")
    assert asked == ["1.png"]


def test_a_killed_run_goes_on(films: list[Film], models: Models, tmp_path: Path) -> None:
    whole = run(films, models, tmp_path / "kept")
    file = tmp_path / "kept" / f"{models.classifiers[0].key}.jsonl"
    text = file.read_text()
    file.write_text(text[: text.index("\n") + 30])  # one line and the beginning of the next
    again = run(films, models, tmp_path / "kept")
    third = run(films, models, tmp_path / "kept")
    key = models.classifiers[0].key
    for answers in (again, third):
        assert {n: s.tolist() for n, s in answers.scores[key].items()} == {
            n: s.tolist() for n, s in whole.scores[key].items()
        }
    broken = [line for line in file.read_text().splitlines() if not line.endswith("}")]
    assert len(broken) == 1


def test_film_that_production_rejects_is_named(
    films: list[Film], models: Models, tmp_path: Path
) -> None:
    Path(films[2].location).write_bytes(film_png(seed=2)[:2000])
    answers = run(films, models, tmp_path / "kept")
    assert set(answers.rejected) == {"2.png"}
    assert answers.rejected["2.png"]
    assert set(answers.scores[models.classifiers[0].key]) == {"0.png", "1.png"}


@pytest.mark.slow
def test_workers_answer_as_one_process_does(
    films: list[Film], models: Models, tmp_path: Path
) -> None:
    alone = run(films, models, tmp_path / "alone")
    shared = predict(films, models.all, folder=tmp_path / "two", workers=2, title="films")
    key = models.classifiers[0].key
    assert {n: s.tolist() for n, s in shared.scores[key].items()} == {
        n: s.tolist() for n, s in alone.scores[key].items()
    }


def test_key_follows_the_graph_and_not_the_operating_point(tmp_path: Path) -> None:
    def key(name: str, bias: float, threshold: float) -> str:
        facts = classifier_facts()
        point = facts["operating_point"] | {"threshold": threshold}
        folder = write_bundle(
            tmp_path / name, classifier_graph(bias=bias), facts | {"operating_point": point}
        )
        return find_models([folder]).classifiers[0].key

    assert key("a", -0.5, 0.5) == key("b", -0.5, 0.9)
    assert key("c", -0.4, 0.5) != key("a", -0.5, 0.5)


def test_scores_that_the_stage_function_did_not_use_are_refused(models: Models) -> None:
    """What is kept must be what classify decided on."""

    class Forgetful(RecordingModel):
        def run(self, image: np.ndarray) -> dict[str, np.ndarray]:
            answer = super().run(image)
            self.last = {"logits": answer["logits"] + [0.0, 1.0]}
            return answer

    classifier: EvaluatedModel = models.classifiers[0]
    model = Forgetful(classifier.open(threads=1))
    with pytest.raises(ModelMismatchError, match="do not agree"):
        answer_film(read_radiograph(film_png(seed=1)), model)


def test_kept_lines_are_plain_json(films: list[Film], models: Models, tmp_path: Path) -> None:
    run(films, models, tmp_path / "kept")
    for file in (tmp_path / "kept").iterdir():
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        assert {line["image_id"] for line in lines} == {"0.png", "1.png", "2.png"}
