"""training/config.py: one dataclass gives flags, SageMaker's defaults and named errors."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

pytest.importorskip("torch")

from lambdas.shared.errors import ConfigError
from training.config import field_docs, parse
from training.sagemaker_jobs import SageMakerSettings
from training.train_classifier import ClassifierConfig
from training.train_detector import DetectorConfig


@pytest.mark.parametrize("kind", [ClassifierConfig, DetectorConfig, SageMakerSettings])
def test_every_field_has_a_string_that_is_its_help(kind, capsys):
    docs = field_docs(kind)
    assert set(docs) == {field.name for field in dataclasses.fields(kind)}
    assert all(text.endswith(".") for text in docs.values())
    with pytest.raises(SystemExit):
        parse(kind, ["--help"], environment={})
    shown = capsys.readouterr().out
    assert all("--" + name.replace("_", "-") in shown for name in docs)


def test_folders_come_from_sagemaker():
    config = parse(
        ClassifierConfig,
        [],
        environment={
            "SM_CHANNEL_TRAINING": "/opt/ml/input/data/training",
            "SM_MODEL_DIR": "/opt/ml/model",
            "SM_OUTPUT_DATA_DIR": "/opt/ml/output/data",
        },
    )
    assert config.data == Path("/opt/ml/input/data/training")
    assert config.model_dir == Path("/opt/ml/model")
    assert config.curves_dir == Path("/opt/ml/output/data")
    assert config.state_dir == Path("/opt/ml/checkpoints")


def test_command_line_goes_before_hyperparameters_and_they_before_the_default():
    environment = {"SM_HPS": json.dumps({"epochs": 7, "batch-size": "32", "augment": False})}
    config = parse(ClassifierConfig, ["--epochs", "9"], environment=environment)
    assert (config.epochs, config.batch_size, config.augment) == (9, 32, False)
    assert config.learning_rate == ClassifierConfig().learning_rate


@pytest.mark.parametrize("spelling", ["--batch-size", "--batch_size"])
def test_both_spellings_work(spelling):
    assert parse(ClassifierConfig, [spelling, "3"], environment={}).batch_size == 3


@pytest.mark.parametrize(
    ("text", "value"), [(["--augment"], True), (["--augment", "False"], False), ([], True)]
)
def test_switches_take_a_word_as_sagemaker_sends_it(text, value):
    assert parse(ClassifierConfig, text, environment={}).augment is value


def test_all_values_out_of_range_are_named_at_once():
    flags = ["--epochs", "0", "--image-size", "9", "--ema-decay", "1.5", "--learning-rate", "nan"]
    with pytest.raises(ConfigError) as raised:
        parse(ClassifierConfig, flags, environment={})
    told = str(raised.value)
    for expected in (
        "--epochs is 0, expected at least 1",
        "--image-size is 9, expected 32 to 2048",
        "--ema-decay is 1.5",
        "--learning-rate is nan",
    ):
        assert expected in told


@pytest.mark.parametrize(
    ("kind", "flags", "expected"),
    [
        (DetectorConfig, ["--image-size", "200"], "--image-size is 200, expected a multiple of 32"),
        (DetectorConfig, ["--speed", "11"], "unknown arguments: --speed 11"),
        (ClassifierConfig, ["--precision", "fp16", "--device", "cpu"], "which needs a GPU"),
        (SageMakerSettings, ["--data", "folder"], "--data is folder, expected s3://"),
        (SageMakerSettings, ["--subnets", "subnet-1"], "--subnets and --security-groups"),
        (SageMakerSettings, ["--detector-hyperparameters", "epochs"], "'epochs' is not name=value"),
        (SageMakerSettings, ["--models", "oracle"], "--models is oracle"),
    ],
)
def test_what_does_not_go_together_is_named(kind, flags, expected):
    with pytest.raises(ConfigError, match=re.escape(expected)):
        parse(kind, flags, environment={})


def test_unknown_hyperparameters_are_refused():
    with pytest.raises(ConfigError, match="SM_HPS names unknown settings: epoch"):
        parse(ClassifierConfig, [], environment={"SM_HPS": '{"epoch": 3}'})


def test_a_value_of_the_wrong_type_names_its_flag(capsys):
    with pytest.raises(SystemExit):
        parse(ClassifierConfig, ["--epochs", "many"], environment={})
    assert "--epochs: 'many' is no int" in capsys.readouterr().err


def test_a_configuration_survives_json():
    config = ClassifierConfig(data=Path("x"), dropout=0.3, in_memory=False)
    plain = json.loads(json.dumps(config.as_plain()))
    assert parse(ClassifierConfig, [], environment={}, given_by_file=_without_none(plain)) == config


def _without_none(values):
    return {name: value for name, value in values.items() if value is not None}
