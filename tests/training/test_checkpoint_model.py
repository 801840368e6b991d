from pathlib import Path

import numpy as np
import pytest

from lambdas.shared.errors import ConfigError, ModelMismatchError
from lambdas.shared.read import read_radiograph
from tests.training.builders import film_png
from training.evaluated_models import describe, find_models
from training.predictions import RecordingModel, answer_film

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the trainers write them; the detector's tensors with a parallel run's prefix."""
    from training.classifier import IMAGENET_MEAN, IMAGENET_STD, build_classifier
    from training.detector import build_detector

    torch.manual_seed(1)
    root = tmp_path_factory.mktemp("checkpoints")
    for name in ("classifier", "detector"):
        (root / name).mkdir()
    torch.save(
        {
            "model_state_dict": build_classifier(2).state_dict(),
            "task": "classification",
            "architecture": "efficientnet_b4",
            "labels": ["Normal", "Abnormal"],
            "input": {
                "size_px": 96,
                "channels": 3,
                "resize": "letterbox",
                "mean": list(IMAGENET_MEAN),
                "std": list(IMAGENET_STD),
            },
            "config": {"data": "/somewhere/prepared"},
            "code_version": "abc",
        },
        root / "classifier" / "efficientnet_b4_best.pth",
    )
    weights = build_detector(5, frozen_norm=True).state_dict()
    torch.save(
        {
            "model_state_dict": {f"module.{name}": value for name, value in weights.items()},
            "input": {"size_px": 128},
        },
        root / "detector" / "final_model.pth",
    )
    return root


def test_folder_of_checkpoints_is_a_pair(folder: Path) -> None:
    found = find_models([folder])
    (pair,) = found.pairs
    facts = describe(pair.classifier)
    assert facts["form"] == "checkpoint"
    assert facts["input_px"] == [96, 96]
    assert facts["code_version"] == "abc"
    # the folder's name, never the path above it
    assert facts["trained_on"]["description"] == (
        "the data set folder 'prepared', says its configuration"
    )
    assert pair.detector.labels == (
        "Aortic atheromatosis",
        "Aortic elongation",
        "Cardiomegaly",
        "Scoliosis",
    )


def test_checkpoint_answers_as_its_module_does(folder: Path) -> None:
    from lambdas.shared.preprocess import InputSpec, fit
    from training.classifier import build_classifier

    film = read_radiograph(film_png(seed=1))
    model = find_models([folder / "classifier"]).classifiers[0]
    scores = answer_film(film, RecordingModel(model.open()))
    spec = InputSpec.from_facts(model.bundle.facts["input"])
    canvas, _ = fit(film.pixels, spec)
    module = build_classifier(2).eval()
    file = folder / "classifier" / "efficientnet_b4_best.pth"
    module.load_state_dict(torch.load(file, weights_only=True)["model_state_dict"])
    mean, std = (np.asarray(part, np.float32)[:, None, None] for part in (spec.mean, spec.std))
    with torch.inference_mode():
        expected = module(torch.from_numpy(((canvas[None] - mean) / std)[None]))[0].numpy()
    assert scores == pytest.approx(expected, abs=1e-4)


def test_detector_checkpoint_answers_through_detect(folder: Path) -> None:
    model = find_models([folder / "detector" / "final_model.pth"]).detectors[0]
    found = answer_film(read_radiograph(film_png(seed=1)), RecordingModel(model.open()))
    assert found.shape[1] == 6
    assert (np.diff(found[:, 1]) <= 0).all()
    assert ((found[:, 2:] >= 0) & (found[:, 2:] <= 1)).all()


def test_foreign_weights_are_refused(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "resnet.pth")
    with pytest.raises(ConfigError, match="python -m export"):
        find_models([tmp_path / "resnet.pth"])
    (tmp_path / "broken.pth").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        find_models([tmp_path / "broken.pth"])


def test_missing_tensors_are_named(tmp_path: Path) -> None:
    torch.save({"classifier.weight": torch.zeros(2, 1792)}, tmp_path / "part.pth")
    model = find_models([tmp_path / "part.pth"]).classifiers[0]
    with pytest.raises(ModelMismatchError, match="tensors are missing"):
        model.open()
