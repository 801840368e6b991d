"""Checkpoints in every shape that they are found in, and in shapes that they must not have."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from export.checkpoints import build_from, label_names, load_checkpoint  # noqa: E402
from lambdas.shared.errors import ConfigError, ContractError, ModelMismatchError  # noqa: E402
from lambdas.shared.labels import DETECTOR_LABELS  # noqa: E402
from training.classifier import build_classifier  # noqa: E402
from training.detector import build_detector  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def classifier():
    torch.manual_seed(0)
    return build_classifier(2).eval()


@pytest.fixture(scope="module")
def detector():
    torch.manual_seed(0)
    return build_detector(5, size=64, proposals=20).eval()


def saved(path, content):
    torch.save(content, path)
    return str(path)


def prefixed(model, prefix):
    return {prefix + name: tensor for name, tensor in model.state_dict().items()}


def renamed_head(model, name):
    """The classifier as a wrapper class with its own last layer saves it."""
    weights = prefixed(model, "backbone.")
    for part in ("weight", "bias"):
        weights[f"{name}.{part}"] = weights.pop(f"backbone.classifier.{part}")
    return weights


def assert_same_weights(model, expected):
    own, wanted = model.state_dict(), expected.state_dict()
    assert set(own) == set(wanted)
    assert all(torch.equal(own[name], wanted[name]) for name in own)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda model: model.state_dict(),
        lambda model: {"model_state_dict": model.state_dict(), "epoch": 3},
        lambda model: {"state_dict": prefixed(model, "module."), "best_auc": 0.5},
        lambda model: {"model": prefixed(model, "model.")},
        lambda model: prefixed(model, "module._orig_mod."),
        lambda model: renamed_head(model, "fc"),
        lambda model: renamed_head(model, "head.1"),
    ],
    ids=["plain", "wrapped", "module", "model", "compiled", "fc", "sequential"],
)
def test_classifier_checkpoints_are_taken_as_found(tmp_path, classifier, wrap):
    checkpoint = load_checkpoint(saved(tmp_path / "c.pth", wrap(classifier)))
    assert (checkpoint.task, checkpoint.label_count) == ("classification", 2)
    assert_same_weights(build_from(checkpoint, size=380), classifier)


def test_torchvision_names_build_torchvisions_model(tmp_path):
    from torchvision.models import efficientnet_b4

    model = efficientnet_b4(weights=None, num_classes=3).eval()
    checkpoint = load_checkpoint(saved(tmp_path / "c.pth", prefixed(model, "module.")))
    assert checkpoint.label_count == 3
    assert_same_weights(build_from(checkpoint, size=380), model)


def test_tensorflow_padding_is_chosen_by_name(tmp_path, classifier):
    path = saved(tmp_path / "c.pth", classifier.state_dict())
    symmetric = build_from(load_checkpoint(path), size=64)
    tensorflow = build_from(load_checkpoint(path), size=64, architecture="tf_efficientnet_b4")
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(symmetric(image), classifier(image))
        assert not torch.equal(tensorflow(image), classifier(image))


@pytest.mark.parametrize("prefix", ["", "module.", "model."])
def test_detector_checkpoints_are_taken_as_found(tmp_path, detector, prefix):
    content = {"model_state_dict": prefixed(detector, prefix)}
    checkpoint = load_checkpoint(saved(tmp_path / "d.pth", content))
    assert (checkpoint.task, checkpoint.label_count) == ("detection", 4)
    assert_same_weights(build_from(checkpoint, size=64), detector)


@pytest.mark.parametrize(
    ("details", "eps"),
    [({}, 0.0), ({"code_version": "1"}, 1e-5)],
    ids=["torchvision with COCO", "this project's trainer"],
)
def test_frozen_norms_load_into_ordinary_ones(tmp_path, details, eps):
    frozen = build_detector(3, size=64, frozen_norm=True)
    content = {"model_state_dict": frozen.state_dict(), **details}
    model = build_from(load_checkpoint(saved(tmp_path / "d.pth", content)), size=64)
    assert model.backbone.body.bn1.eps == eps
    own = model.state_dict()
    assert all(torch.equal(own[name], tensor) for name, tensor in frozen.state_dict().items())


@pytest.mark.parametrize(
    "labels",
    [
        ["Normal", "Abnormal"],
        {0: "Normal", 1: "Abnormal"},
        {"Abnormal": 1, "Normal": 0},
    ],
)
def test_labels_come_from_the_checkpoint(tmp_path, classifier, labels):
    content = {"state_dict": classifier.state_dict(), "class_names": labels}
    checkpoint = load_checkpoint(saved(tmp_path / "c.pth", content))
    assert label_names(checkpoint, None, usual={}) == ("Normal", "Abnormal")
    assert label_names(checkpoint, ("No", "Yes"), usual={}) == ("No", "Yes")


def test_background_is_no_label(tmp_path, detector):
    content = {"model": detector.state_dict(), "labels": ["__background__", *DETECTOR_LABELS[4]]}
    checkpoint = load_checkpoint(saved(tmp_path / "d.pth", content))
    assert label_names(checkpoint, None, usual={}) == DETECTOR_LABELS[4]


def test_usual_labels_stand_in_where_nobody_names_them(tmp_path, detector):
    checkpoint = load_checkpoint(saved(tmp_path / "d.pth", detector.state_dict()))
    assert label_names(checkpoint, None, usual=DETECTOR_LABELS) == DETECTOR_LABELS[4]
    with pytest.raises(ConfigError, match="--labels"):
        label_names(checkpoint, None, usual={})
    with pytest.raises(ConfigError, match=r"--labels gives 2 labels, but .* has 4"):
        label_names(checkpoint, ("A", "B"), usual={})


class RunsCode:
    """Unpickling it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_checkpoint_never_runs_code(tmp_path):
    trace = tmp_path / "ran"
    source = saved(tmp_path / "evil.pth", {"state_dict": RunsCode(trace)})
    with pytest.raises(ConfigError, match=r"would run code .* save model.state_dict\(\)"):
        load_checkpoint(source)
    assert not trace.exists()


def without(model, name):
    return {key: value for key, value in model.state_dict().items() if key != name}


def resnet():
    from torchvision.models import resnet18

    return resnet18(weights=None).state_dict()


def smaller_efficientnet():
    import timm

    return timm.create_model("efficientnet_b0", pretrained=False, num_classes=2).state_dict()


def two_layers(model):
    return {**model.state_dict(), "extra.weight": torch.zeros(2, 2)}


def second_version():
    from torchvision.models.detection import fasterrcnn_resnet50_fpn_v2

    return fasterrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None).state_dict()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (lambda c, d: resnet(), "neither EfficientNet-B4 .* first tensor is 'conv1.weight'"),
        (lambda c, d: smaller_efficientnet(), "does not fit EfficientNet"),
        (lambda c, d: without(c, "blocks.3.2.bn1.weight"), "first 'blocks.3.2.bn1.weight'"),
        (lambda c, d: two_layers(c), "2 linear layers"),
        (lambda c, d: without(d, "rpn.head.cls_logits.bias"), "first 'rpn.head.cls_logits.bias'"),
        (lambda c, d: second_version(), "its v2"),
        (lambda c, d: {"epoch": 3}, "no tensors"),
        (lambda c, d: [1, 2], "holds a list"),
    ],
    ids=["resnet", "b0", "missing", "two layers", "detector", "v2", "no weights", "list"],
)
def test_a_wrong_checkpoint_gets_one_clear_sentence(
    tmp_path, classifier, detector, content, sentence
):
    source = saved(tmp_path / "wrong.pth", content(classifier, detector))
    with pytest.raises(ContractError, match=sentence) as raised:
        build_from(load_checkpoint(source), size=64)
    assert "\n" not in str(raised.value)


def test_a_missing_file_and_a_wrong_address_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nothing.pth does not exist"):
        load_checkpoint(str(tmp_path / "nothing.pth"))
    with pytest.raises(ConfigError, match="expected s3://bucket/key"):
        load_checkpoint("s3://bucket")


def test_an_object_of_s3_is_fetched(tmp_path, classifier, monkeypatch):
    boto3 = pytest.importorskip("boto3")
    local = saved(tmp_path / "c.pth", classifier.state_dict())
    asked = []

    class Client:
        def download_file(self, bucket, key, path):
            asked.append((bucket, key))
            Path(path).write_bytes(Path(local).read_bytes())

    monkeypatch.setattr(boto3, "client", lambda service: Client())
    checkpoint = load_checkpoint("s3://bucket/gold/efficientnet_b4_best.pth")
    assert asked == [("bucket", "gold/efficientnet_b4_best.pth")]
    assert checkpoint.label_count == 2


def test_a_tensor_of_another_shape_is_named(tmp_path, classifier):
    weights = classifier.state_dict()
    weights["conv_head.weight"] = torch.zeros(8, 8, 1, 1)
    checkpoint = load_checkpoint(saved(tmp_path / "c.pth", weights))
    with pytest.raises(ModelMismatchError, match=r"conv_head.weight is \[8, 8, 1, 1\] instead of"):
        build_from(checkpoint, size=380)
