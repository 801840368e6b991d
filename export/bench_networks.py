"""The networks of the benchmark: built by the trainers' own builders, written in every form.

Weights are drawn from a seed and the statistics of every BatchNorm are set from pictures, so that
activations are of a trained network's size: neither denormal numbers nor saturated scores, which
would change what suppression has to do. Speed depends on shapes alone; that the forms answer alike
is proved where a checkpoint is exported (`export.parity` and the gate of the quantisation).
"""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from export.bench_backends import as_image
from export.pictures import picture
from lambdas.shared.bundle import BUNDLE_TASKS, load_bundle
from lambdas.shared.labels import DETECTOR_LABELS, TRIAGE_LABELS

if TYPE_CHECKING:
    import onnx
    import torch

WEIGHTS: Final = "weights.pth"
STOCK: Final = "stock.onnx"
EXACT: Final = "float32"
SMALL: Final = "int8"
INPUT: Final = "input.npy"
"""Files and bundle folders of one network."""

INT8_PRECISION: Final = "int8, calibrated"
"""`export.static_int8.INT8`, which takes a second to import."""

SEED: Final = 2026
CALIBRATION_PICTURES: Final = 4

STOCK_PROPOSALS: Final = 1000
"""torchvision's default, which the proof of concept runs with."""

LABELS: Final = DETECTOR_LABELS[4]
"""Of the proof of concept's primary detector."""

LOGIT_SPREAD: Final = 20.0
"""Fresh heads answer nearly alike everywhere; so much wider, scores differ as trained ones do."""

BACKGROUND_BIAS: Final = 3.0
"""Most regions of a film hold nothing."""

Image = npt.NDArray[np.float32]


def pictures(size: int, count: int, *, seed: int = SEED) -> list[Image]:
    """Inputs (1, 1, S, S)."""
    generator = np.random.default_rng(seed)
    return [picture(generator, size)[None, None] for _ in range(count)]


def classifier(size: int) -> "torch.nn.Module":
    """EfficientNet-B4 in evaluation mode, with seeded weights."""
    import torch

    from training.classifier import IMAGENET_MEAN, IMAGENET_STD, build_classifier

    torch.manual_seed(SEED)
    model: torch.nn.Module = build_classifier(len(TRIAGE_LABELS)).eval()
    settle_norms(model, _normalised(size, IMAGENET_MEAN, IMAGENET_STD))
    return model


def detector(size: int, *, proposals: int) -> "torch.nn.Module":
    """Faster R-CNN in evaluation mode, with seeded weights whose scores are not saturated."""
    import torch

    from training.detector import build_detector

    torch.manual_seed(SEED)
    model = build_detector(len(LABELS) + 1, size=size, proposals=proposals).eval()
    transform = model.transform
    settle_norms(model.backbone, _normalised(size, transform.image_mean, transform.image_std))
    with torch.no_grad():
        model.rpn.head.cls_logits.weight.mul_(LOGIT_SPREAD)
        model.roi_heads.box_predictor.cls_score.weight.mul_(LOGIT_SPREAD)
        model.roi_heads.box_predictor.cls_score.bias[0] = BACKGROUND_BIAS
    network: torch.nn.Module = model
    return network


def load(task: str, size: int, weights: Path, *, proposals: int | None = None) -> "torch.nn.Module":
    """A network as the proof of concept opens it: build, read the weights, evaluation mode."""
    import torch

    from training.classifier import build_classifier
    from training.detector import build_detector

    model: torch.nn.Module
    if task == "classification":
        model = build_classifier(len(TRIAGE_LABELS))
    else:
        regions = STOCK_PROPOSALS if proposals is None else proposals
        model = build_detector(len(LABELS) + 1, size=size, proposals=regions)
    model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return model.eval()


def settle_norms(model: "torch.nn.Module", batch: "torch.Tensor") -> None:
    """Set the statistics of every BatchNorm from what passes through it, layer after layer."""
    import torch

    def measure(norm: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        variance, mean = torch.var_mean(inputs[0], dim=(0, 2, 3))
        power = variance + mean**2
        norm.running_mean = torch.zeros_like(mean)
        # a channel that is nearly silent would else be blown up
        norm.running_var = power.clamp(min=power.median().item())

    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(measure) for norm in norms]
    with torch.no_grad():
        model(batch)
    for hook in hooks:
        hook.remove()


def int8_tasks(models: Path) -> frozenset[str]:
    """Tasks whose model in a pair computes in int8: it has passed the gate of the export."""
    bundles = [load_bundle(models / part) for part in BUNDLE_TASKS]
    return frozenset(b.task for b in bundles if b.facts["precision"] == INT8_PRECISION)


def write_classifier(folder: Path, size: int) -> int:
    """Write a classifier in every form.

    Returns:
        Operations for one image.
    """
    from export import classifier_graph
    from export.package import OperatingPoint, classifier_facts
    from lambdas.shared.labels import ABNORMAL

    model = classifier(size)
    _write_stock_classifier(model, folder / STOCK, size)
    _save(model, folder / WEIGHTS)
    graph = classifier_graph.classifier_graph(model, size=size, labels=TRIAGE_LABELS)
    facts = classifier_facts(
        labels=TRIAGE_LABELS,
        size=size,
        input_name=classifier_graph.INPUT,
        output_name=classifier_graph.OUTPUT,
        point=OperatingPoint(thresholds={ABNORMAL: 0.5}, chosen_by="not chosen"),
    )
    return _write_ours(folder, graph, facts, size, architecture="EfficientNet-B4")


def write_detector(folder: Path, size: int, *, proposals: int) -> int:
    """Write a detector in every form; ours with so many proposals, the stock one with its own.

    Returns:
        As `write_classifier`.
    """
    from export import detector_graph
    from export.package import OperatingPoint, detector_facts

    model = detector(size, proposals=STOCK_PROPOSALS)
    _write_stock_detector(model, folder / STOCK, size)
    _save(model, folder / WEIGHTS)
    graph = detector_graph.detector_graph(
        load("detection", size, folder / WEIGHTS, proposals=proposals),
        labels=LABELS,
    )
    facts = detector_facts(
        labels=LABELS,
        size=size,
        input_name=detector_graph.INPUT,
        output_names=detector_graph.OUTPUTS,
        point=OperatingPoint(thresholds=dict.fromkeys(LABELS, 0.5), chosen_by="not chosen"),
    )
    architecture = f"Faster R-CNN ResNet-50 FPN, {proposals} proposals"
    return _write_ours(folder, graph, facts, size, architecture=architecture)


def stock_operations(folder: Path, image: Image) -> int:
    """Operations of the stock graph: of the network with torchvision's number of proposals."""
    import onnx

    from export.bench_operations import count_operations

    graph = onnx.load(folder / STOCK)
    return count_operations(graph, {graph.graph.input[0].name: as_image(image)})


def _write_ours(
    folder: Path, graph: "onnx.ModelProto", facts: dict[str, Any], size: int, *, architecture: str
) -> int:
    """Both bundles; operations of the float32 graph."""
    from export.bench_operations import count_operations
    from export.package import Origin, write_bundle
    from export.quantize import FLOAT32
    from export.static_int8 import quantize_static

    images = pictures(size, CALIBRATION_PICTURES)
    origin = Origin(
        name="bench",
        version="1",
        architecture=architecture,
        trained_on="nothing",
        description="seeded weights, for measuring speed",
        code_version="bench",
    )

    def write(name: str, form: "onnx.ModelProto", precision: str) -> None:
        write_bundle(
            folder / name,
            graph=form,
            facts=facts,
            origin=origin,
            precision=precision,
            parity=None,
        )

    write(EXACT, graph, FLOAT32)
    operations = count_operations(graph, {graph.graph.input[0].name: images[0]})
    write(SMALL, quantize_static(graph, images), INT8_PRECISION)
    return operations


def _write_stock_classifier(model: "torch.nn.Module", path: Path, size: int) -> None:
    import torch

    with _Quiet():
        torch.onnx.export(
            model,
            (torch.zeros(1, 3, size, size),),
            str(path),
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def _write_stock_detector(model: "torch.nn.Module", path: Path, size: int) -> None:
    """By the tracing exporter: the newer one does not take torchvision's detectors."""
    import torch

    # a picture, not zeros: with no box at all, tracing would leave branches out
    image = torch.from_numpy(as_image(pictures(size, 1)[0]))
    with _Quiet():
        torch.onnx.export(
            model,
            ([image],),
            str(path),
            dynamo=False,
            input_names=["image"],
            output_names=["boxes", "labels", "scores"],
            opset_version=18,
        )


class _Quiet(warnings.catch_warnings):
    """No warnings or progress of the exporters about their own internals."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)


def _save(model: "torch.nn.Module", path: Path) -> None:
    import torch

    torch.save(model.state_dict(), path)


def _normalised(size: int, mean: Sequence[float], std: Sequence[float]) -> "torch.Tensor":
    """Pictures (n, 3, S, S), normalised."""
    import torch

    grey = torch.from_numpy(np.concatenate(pictures(size, CALIBRATION_PICTURES)))
    return (grey - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)
