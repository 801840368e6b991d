"""Whole exports: checkpoint in, bundle out, the same answers. Small inputs, few regions."""

import json

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch")

from export import detector_graph, parity  # noqa: E402
from export.__main__ import main  # noqa: E402
from export.pictures import picture  # noqa: E402
from lambdas.shared.bundle import load_bundle  # noqa: E402
from lambdas.shared.errors import ContractError, ParityError  # noqa: E402
from lambdas.shared.labels import DETECTOR_LABELS  # noqa: E402
from lambdas.shared.onnx_model import OnnxModel  # noqa: E402
from training.classifier import build_classifier  # noqa: E402
from training.detector import build_detector  # noqa: E402

pytestmark = pytest.mark.slow

CLASSIFIER_PX = 96
DETECTOR_PX = 128


@torch.no_grad()
def calibrate_norms(model, batch):
    """Set the statistics of every BatchNorm from what passes through it, layer after layer."""

    def measure(norm, inputs):
        variance, mean = torch.var_mean(inputs[0], dim=(0, 2, 3))
        power = variance + mean**2
        norm.running_mean = torch.zeros_like(mean)
        norm.running_var = power.clamp(min=power.median().item())

    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(measure) for norm in norms]
    model(batch)
    for hook in hooks:
        hook.remove()


def pictures(size, count, seed=5):
    generator = np.random.default_rng(seed)
    return [picture(generator, size)[None, None] for _ in range(count)]


@pytest.fixture(scope="module")
def one_output_classifier():
    """Trained as one yes-or-no answer, the hardest shape of head."""
    torch.manual_seed(0)
    return build_classifier(1).eval()


@pytest.fixture(scope="module")
def detector():
    """Random weights whose scores are neither all alike nor saturated."""
    torch.manual_seed(0)
    model = build_detector(5, size=DETECTOR_PX, proposals=50).eval()
    with torch.no_grad():
        batch = torch.from_numpy(np.concatenate(pictures(DETECTOR_PX, 4))).expand(-1, 3, -1, -1)
        calibrate_norms(model.backbone, (batch - 0.45) / 0.22)
        model.rpn.head.cls_logits.weight.mul_(20)
        model.roi_heads.box_predictor.cls_score.weight.mul_(20)
    return model


@pytest.fixture(scope="module")
def exported(tmp_path_factory, one_output_classifier, detector):
    """Both bundles, written by the command."""
    folder = tmp_path_factory.mktemp("export")
    torch.save(
        {"state_dict": {f"module.{k}": v for k, v in one_output_classifier.state_dict().items()}},
        folder / "c.pth",
    )
    torch.save(
        {"model_state_dict": detector.state_dict(), "input": {"size_px": DETECTOR_PX}},
        folder / "d.pth",
    )
    arguments = [str(folder / "c.pth"), str(folder / "d.pth"), "--out", str(folder / "pair")]
    arguments += ["--classifier-size", str(CLASSIFIER_PX), "--proposals", "50"]
    arguments += ["--trained-on", "nothing", "--thresholds", "0.4", "Cardiomegaly=0.3"]
    return main(arguments), folder / "pair"


def test_the_command_writes_both_bundles(exported):
    code, pair = exported
    assert code == 0
    classifier = load_bundle(pair / "classifier", task="classification")
    found = load_bundle(pair / "detector", task="detection")
    assert classifier.label_names == ("Normal", "Abnormal")
    assert classifier.facts["operating_point"]["threshold"] == 0.4
    assert found.label_names == DETECTOR_LABELS[4]
    assert found.facts["operating_point"]["thresholds"] == {
        "Aortic atheromatosis": 0.4,
        "Aortic elongation": 0.4,
        "Cardiomegaly": 0.3,
        "Scoliosis": 0.4,
    }
    for bundle in (classifier, found):
        assert bundle.facts["precision"] == "int8 weights, float32 compute"
        assert bundle.facts["trained_on"]["kind"] == "nothing"
        assert bundle.facts["parity"]["n"] == 3
    assert classifier.facts["parity"]["max_abs_difference"]["logits"] < 2e-3
    assert found.facts["parity"]["max_abs_difference"]["scores"] < 2e-3


def test_graphs_hold_no_scatter_and_no_trace_of_the_machine(exported):
    _, pair = exported
    for part in ("classifier", "detector"):
        path = pair / part / "model.onnx"
        graph = onnx.load(path)
        onnx.checker.check_model(graph)
        operators = {node.op_type for node in graph.graph.node}
        assert not {name for name in operators if name.startswith("Scatter")}
        assert not operators & {"ReduceMean", "BatchNormalization"}
        content = path.read_bytes()
        assert b"site-packages" not in content
        assert b"stack_trace" not in content
        properties = {item.key: item.value for item in graph.metadata_props}
        assert set(properties) == {"labels"}
        labels = load_bundle(pair / part).label_names
        assert tuple(json.loads(properties["labels"])) == labels


def test_classifier_takes_any_number_of_images(exported, one_output_classifier):
    _, pair = exported
    model = OnnxModel(load_bundle(pair / "classifier"), threads=1)
    images = np.concatenate(pictures(CLASSIFIER_PX, 3))
    singly = np.concatenate([model.run(image[None])["logits"] for image in images])
    together = model.run(images)["logits"]
    assert together.shape == (3, 2)
    assert np.abs(together - singly).max() < 1e-5
    with torch.no_grad():
        mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
        std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
        one = one_output_classifier((torch.from_numpy(images).expand(-1, 3, -1, -1) - mean) / std)
    # logits (0, z): their softmax is the sigmoid of z; weights are rounded to int8
    assert np.abs(together[:, 0]).max() == 0
    assert np.abs(together[:, 1:] - one.numpy()).max() < 0.05 * one.abs().max()


def test_detector_finds_what_torchvision_finds(exported, detector):
    """Written for export, it is another program; rounding apart it must be the same function."""
    reference, grey = parity.detector_reference(detector), detector_graph.GreyDetector(detector)
    for image in pictures(DETECTOR_PX, 3, seed=8):
        expected = reference(image)
        with torch.no_grad():
            boxes, labels, scores = grey(torch.from_numpy(image))
        assert len(scores) == len(expected["scores"]) > 10
        assert np.abs(scores.numpy() - expected["scores"]).max() < 1e-5
        assert np.abs(boxes.numpy() - expected["boxes"]).max() < 1e-2
        assert (labels.numpy() == expected["labels"]).all()


def test_a_blank_image_does_not_break_the_detector(exported):
    _, pair = exported
    model = OnnxModel(load_bundle(pair / "detector"), threads=1)
    found = model.run(np.zeros((1, 1, DETECTOR_PX, DETECTOR_PX), np.float32))
    assert found["boxes"].shape == (len(found["scores"]), 4)
    assert found["labels"].dtype == np.int64


def test_parity_reports_every_failure_with_the_largest_difference(exported, detector):
    _, pair = exported
    model = OnnxModel(load_bundle(pair / "detector"), threads=1)

    def shifted(image):
        found = parity.detector_reference(detector)(image)
        return {**found, "boxes": found["boxes"] + 1, "scores": found["scores"] * 0.5}

    result = parity.measure(shifted, model, pictures(DETECTOR_PX, 2))
    with pytest.raises(ParityError, match=r"boxes differ by .*scores differ by .*largest"):
        parity.check(result, model="shifted", images=2)


def test_parity_refuses_other_names_and_shapes(exported):
    _, pair = exported
    model = OnnxModel(load_bundle(pair / "classifier"), threads=1)
    images = pictures(CLASSIFIER_PX, 1)
    named = parity.measure(lambda image: {"scores": np.zeros((1, 2))}, model, images)
    assert "outputs are ['logits'], expected ['scores']" in named.failures
    shaped = parity.measure(lambda image: {"logits": np.zeros((1, 3))}, model, images)
    assert "logits is (1, 2), expected (1, 3)" in shaped.failures
    broken = parity.measure(lambda image: {"logits": np.full((1, 2), np.nan)}, model, images)
    with pytest.raises(ParityError, match="inf"):
        parity.check(broken, model="broken", images=1)


def test_labels_that_do_not_fit_the_detector_are_refused(detector):
    with pytest.raises(ContractError, match="4 labels and background, but 2 labels"):
        detector_graph.detector_graph(detector, labels=("A", "B"))


def test_a_wrong_file_ends_the_command_with_a_sentence(tmp_path, capsys):
    path = tmp_path / "notes.pth"
    path.write_text("not a checkpoint")
    assert main([str(path), "--out", str(tmp_path / "pair")]) == 1
    message = capsys.readouterr().err
    assert message.startswith("export: checkpoint ")
    assert "not a file of tensors alone" in message
    assert not (tmp_path / "pair").exists()
