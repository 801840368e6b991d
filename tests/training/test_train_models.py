"""Both trainers with the real architectures, as commands, on tiny phantoms."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("timm")
pytest.importorskip("torchvision")

from training import train_classifier, train_detector  # noqa: E402
from training.checkpointing import load_plain  # noqa: E402
from training.classifier import build_classifier  # noqa: E402
from training.detector import build_detector  # noqa: E402
from training.sagemaker_jobs import metric_definitions  # noqa: E402

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]

SMALL = ("--image-size", "64", "--batch-size", "4", "--epochs", "3", "--max-steps", "6")
COMMON = (*SMALL, "--threads", "1", "--patience", "0")

CLASSIFIER = ("classifier", "efficientnet_b4_best.pth", ("--localisation-weight", "1"))
DETECTOR = ("detector", "final_model.pth", ("--regions", "16", "--background-fraction", "0.3"))
BACKBONE = ("detector", "detector_backbone.pth", ("--objective", "localisation"))


def _command(kind, data, folder, *flags):
    module = f"training.train_{kind}"
    folders = ("--data", str(data), "--model-dir", str(folder))
    return [sys.executable, "-m", module, *folders, *COMMON, *flags]


def _run(command, **given):
    return subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, timeout=500, check=False, **given
    )


def _kill_after_first_checkpoint(command, state):
    """Start, wait for the first state on disk, and kill the way a lost machine does."""
    process = subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    deadline = time.monotonic() + 300
    while not state.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    output, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL, output.decode()


@pytest.mark.parametrize(
    ("kind", "file_name", "flags"),
    [CLASSIFIER, DETECTOR, BACKBONE],
    ids=["classifier", "detector", "backbone"],
)
def test_a_killed_trainer_resumes_and_ends_as_one_that_was_not(
    kind, file_name, flags, prepared_phantoms, tmp_path
):
    flags = (*flags, "--checkpoint-steps", "2", "--ema-decay", "0.9")
    whole = _run(_command(kind, prepared_phantoms, tmp_path / "whole", *flags))
    assert whole.returncode == 0, whole.stderr
    command = _command(kind, prepared_phantoms, tmp_path / "killed", *flags)
    _kill_after_first_checkpoint(command, tmp_path / "killed" / "checkpoints" / "training_state.pt")
    assert not (tmp_path / "killed" / file_name).exists()
    resumed = _run(command)
    assert resumed.returncode == 0, resumed.stderr
    assert re.search(r"resumed from .* at step [24]", resumed.stdout)
    first, second = (load_plain(tmp_path / n / file_name) for n in ("whole", "killed"))
    assert first["model_state_dict"].keys() == second["model_state_dict"].keys()
    for name, value in first["model_state_dict"].items():
        assert torch.equal(value, second["model_state_dict"][name]), name
    np.testing.assert_equal(first["history"], second["history"])  # NaN equals NaN here
    _check_metric_lines(kind, whole.stdout, first)


def _check_metric_lines(kind, output, saved):
    """Every figure of the last epoch is found where SageMaker looks for it."""
    for definition in metric_definitions(kind):
        name = definition["Name"].replace(":", "_")
        value = saved["history"][-1].get(name, float("nan"))
        if np.isfinite(value):
            found = re.findall(definition["Regex"], output)
            assert float(found[-1]) == pytest.approx(value, rel=1e-4), name
    assert "train_loss" in saved["history"][-1]


@pytest.fixture(scope="module")
def classifier_file(prepared_phantoms, tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier")
    flags = ["--data", str(prepared_phantoms), "--model-dir", str(folder), *COMMON]
    assert train_classifier.main([*flags, "--localisation-weight", "1"]) == 0
    return folder / "efficientnet_b4_best.pth"


@pytest.fixture(scope="module")
def backbone_file(prepared_phantoms, tmp_path_factory):
    folder = tmp_path_factory.mktemp("backbone")
    flags = ["--data", str(prepared_phantoms), "--model-dir", str(folder), *COMMON]
    assert train_detector.main([*flags, "--objective", "localisation"]) == 0
    return folder / "detector_backbone.pth"


def test_the_classifiers_file_is_a_plain_efficientnet(classifier_file):
    saved = torch.load(classifier_file, weights_only=True)
    build_classifier(2).load_state_dict(saved["model_state_dict"])
    assert saved["labels"] == ["Normal", "Abnormal"]
    assert saved["input"]["size_px"] == 64
    assert 0.0 <= saved["metrics"]["validation_auroc"] <= 1.0


def test_the_classifier_goes_on_from_its_own_file(
    classifier_file, prepared_phantoms, tmp_path, capsys
):
    before = load_plain(classifier_file)["model_state_dict"]
    flags = ["--data", str(prepared_phantoms), "--model-dir", str(tmp_path), *COMMON]
    # a rate of nothing: what comes out is what went in
    flags += ["--backbone-weights", str(classifier_file), "--learning-rate", "0"]
    assert train_classifier.main(flags) == 0
    after = load_plain(tmp_path / "efficientnet_b4_best.pth")["model_state_dict"]
    assert torch.equal(before["blocks.0.0.conv_dw.weight"], after["blocks.0.0.conv_dw.weight"])
    assert torch.equal(before["classifier.weight"], after["classifier.weight"])


def test_the_detector_starts_from_the_backbone(backbone_file, prepared_phantoms, tmp_path):
    before = load_plain(backbone_file)["model_state_dict"]
    flags = ["--data", str(prepared_phantoms), "--model-dir", str(tmp_path), *COMMON]
    flags += ["--backbone-weights", str(backbone_file), "--frozen-norm", "--trainable-layers", "0"]
    flags += ["--regions", "16", "--classes", "5", "--variant", "balanced", "--reader", "2"]
    assert train_detector.main(flags) == 0
    saved = load_plain(tmp_path / "final_model.pth")
    after = saved["model_state_dict"]
    body = "backbone.body.layer3.0.conv2.weight"
    assert torch.equal(before[body], after[body])  # frozen
    pyramid = "backbone.fpn.inner_blocks.0.0.weight"
    assert not torch.equal(before[pyramid], after[pyramid])  # learns
    assert len(saved["labels"]) == 5
    build_detector(6, size=64, frozen_norm=True).load_state_dict(after)


def test_precision_bf16_trains_on_the_cpu(prepared_phantoms, tmp_path):
    flags = ["--data", str(prepared_phantoms), "--model-dir", str(tmp_path), *COMMON]
    flags += ["--precision", "bf16", "--max-steps", "2"]
    assert train_classifier.main(flags) == 0
    weights = load_plain(tmp_path / "efficientnet_b4_best.pth")["model_state_dict"]
    assert weights["conv_stem.weight"].dtype == torch.float32


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--learning-rate", "1e30", "--clip-norm", "0"], "the loss is "),
        (["--backbone-weights", "absent.pth"], "--backbone-weights: no file absent.pth"),
        (["--data", "absent"], "absent"),
    ],
    ids=["diverges", "no weights", "no data"],
)
def test_what_goes_wrong_gets_one_sentence_and_a_status(
    flags, expected, prepared_phantoms, tmp_path, capsys
):
    folders = ["--data", str(prepared_phantoms), "--model-dir", str(tmp_path)]
    assert train_classifier.main([*folders, *COMMON, *flags]) == 1
    told = capsys.readouterr().err
    assert told.startswith("train_classifier: ")
    assert expected in told
    assert told.count("\n") == 1
    assert not (tmp_path / "efficientnet_b4_best.pth").exists()


def test_sagemakers_folders_are_used(prepared_phantoms, tmp_path):
    environment = os.environ | {
        "SM_CHANNEL_TRAINING": str(prepared_phantoms),
        "SM_MODEL_DIR": str(tmp_path / "model"),
        "SM_OUTPUT_DATA_DIR": str(tmp_path / "output"),
        "SM_HPS": json.dumps({"max_steps": 1, "image-size": 64, "batch-size": 4, "threads": 1}),
    }
    command = [sys.executable, "-m", "training.train_classifier"]
    command += ["--checkpoint-dir", str(tmp_path / "checkpoints")]
    ended = _run(command, env=environment)
    assert ended.returncode == 0, ended.stderr
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "config.json",
        "efficientnet_b4_best.pth",
    ]
    assert {"metrics.csv", "metrics.json", "curves.png"} == {
        path.name for path in (tmp_path / "output").iterdir()
    }
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["max_steps"] == 1
