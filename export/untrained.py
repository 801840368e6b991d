"""Bundles of both architectures that nothing has trained, small enough for the repository.

    python -m export.untrained --out models/demo

They make every part of the system run at its real cost before there are trained weights. Their
answers mean nothing, and model.json says so, but they behave as a model's do: they differ from film
to film, hardly move with noise, and fall on both sides of the thresholds.

Each large tensor repeats a short pattern, so that 59 MB shrink to 2 MB in git. Everything
that is small is set from synthetic pictures: BatchNorm's statistics, so that activations neither
vanish nor explode, and the last layers, which look along the directions in which those pictures
differ most. No label takes part.
"""

import argparse
import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from export import classifier_graph, detector_graph
from export.package import (
    OperatingPoint,
    Origin,
    classifier_facts,
    detector_facts,
    write_bundle,
)
from export.pictures import picture
from export.quantize import INT8_WEIGHTS, quantize_weights
from lambdas.shared.labels import ABNORMAL, DETECTOR_LABELS, TRIAGE_LABELS
from training.classifier import INPUT_SIZE_PX, build_classifier
from training.detector import build_detector

if TYPE_CHECKING:
    from torchvision.models.detection import FasterRCNN

SEED: Final = 20240819

PERIOD: Final = 4093
"""Length of the repeated pattern. A prime, so that every filter starts at another place of it;
within the 32 KB that zlib looks back."""

PEAK_EVERY: Final = 61
"""Every so many values the pattern reaches its largest: then all output channels have one scale,
and the int8 values on disk repeat as the pattern does."""

PATTERN_MIN_ELEMENTS: Final = 16384
"""Smaller tensors may be what they like."""

DETECTOR_SIZE_PX: Final = 512
PROPOSALS: Final = 213
"""As many as suppression leaves of the one level that is proposed."""
PICTURES: Final = 12
"""For the calibration, and as many again for the last layers."""

TRIAGE_SPREAD: Final = 0.225
FINDING_SPREAD: Final = 1.5
"""Standard deviation of the logits over the pictures."""

TRIAGE_SHIFT: Final = -0.96
"""Real films lie to one side of the pictures; measured on 25 public ones, so that both
labels occur."""

SIZE_SHIFT: Final = -0.7
"""Logarithm of proposals' sides over anchors': 127 px for the square one of 256 px."""

REFINEMENT_SPREAD: Final = 0.3
"""Of the second stage's deltas; boxes stay near the proposals."""

PROPOSALS_IOU: Final = 0.5
FINDINGS_IOU: Final = 0.3
"""Overlap from which the better of two regions is kept, in the first and in the second stage."""

FINDING_FRACTION: Final = 0.01
"""Of the regions whose label outweighs background."""

TRIAGE_THRESHOLD: Final = 0.5
FINDING_THRESHOLD: Final = 0.45

CHOSEN_BY: Final = "fixed by hand: there is nothing to choose from, the model is untrained"

RESIDUAL_GAIN: Final = 0.3
ACTIVATION_GAIN: Final = 4.0
GATE_GAIN: Final = 0.1
KERNEL_GRAIN: Final = 0.3

CODE_VERSION: Final = "untrained 1"
"""Not the commit: the same script writes the same bundle."""

DESCRIPTION: Final = (
    "Nothing: the weights are a repeating pattern. Scores and boxes have no meaning; they show "
    "that the system runs, and at what speed."
)


def fill_with_pattern(model: nn.Module, generator: np.random.Generator) -> None:
    """Set every large weight to a repeated pattern with He et al.'s spread (arXiv 1502.01852)."""
    for parameter in model.parameters():
        if parameter.dim() < 2 or parameter.numel() < PATTERN_MIN_ELEMENTS:
            continue
        pattern = generator.integers(-127, 128, PERIOD)
        pattern[::PEAK_EVERY] = 127 * generator.choice((-1, 1), len(pattern[::PEAK_EVERY]))
        fan_in = parameter[0].numel()
        scale = np.sqrt(2 / fan_in) / pattern.std()
        tiled = np.resize(pattern, parameter.numel()).astype(np.float32) * np.float32(scale)
        parameter.data.copy_(torch.from_numpy(tiled).view_as(parameter))


def smooth_kernels(model: nn.Module) -> None:
    """Blur the kernels that are small enough to choose: stems and depthwise convolutions.

    White-noise kernels answer to grain more than to anatomy; a network of them is chaotic.
    """
    for module in model.modules():
        if not isinstance(module, nn.Conv2d) or module.kernel_size[0] == 1:
            continue
        if module.weight.numel() >= PATTERN_MIN_ELEMENTS and module.groups == 1:
            continue
        side = torch.linspace(-1, 1, module.kernel_size[0])
        bell = torch.exp(-2 * side**2)
        window = bell[:, None] * bell
        gain = module.weight.mean(dim=(2, 3), keepdim=True) * module.kernel_size[0]
        module.weight.copy_(window * (gain + KERNEL_GRAIN * module.weight))


def tame(model: nn.Module) -> None:
    """Set an EfficientNet's gains so that its output grows with its input and no faster.

    x * sigmoid(x) is nearly quadratic about 0, and a gate that opens with its input is as well:
    over a hundred layers such gains make a slightly brighter picture explode. Large inputs to the
    activation make it nearly linear on either side of 0; small weights keep the gates half open.
    """
    for name, module in model.named_modules():
        if name.endswith(("conv_reduce", "conv_expand")):
            module.weight.mul_(GATE_GAIN)
        elif isinstance(module, nn.BatchNorm2d):
            linear = isinstance(getattr(module, "act", None), nn.Identity)
            module.weight.fill_(RESIDUAL_GAIN if linear else ACTIVATION_GAIN)


def calibrate_norms(model: nn.Module, pictures: Tensor) -> None:
    """Set the statistics of every BatchNorm from what passes through it, layer after layer.

    A channel that hardly varies over the pictures is given its layer's usual variance: dividing by
    its own would blow up whatever a real film has there and the pictures have not.
    """

    def measure(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        variance, mean = torch.var_mean(inputs[0], dim=(0, 2, 3))
        power = variance + mean**2
        norm.running_mean = torch.zeros_like(mean)
        norm.running_var = power.clamp(min=power.median().item())

    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(measure) for norm in norms]
    model(pictures)
    for hook in hooks:
        hook.remove()


def principal_directions(features: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The mean (D,) of features (N, D) and directions (count, D) scaled to unit spread.

    A direction's sign is that of its largest entry, so that it does not depend on the solver.
    """
    mean = features.mean(dim=0)
    _, spread, directions = torch.linalg.svd(features - mean, full_matrices=False)
    directions, spread = directions[:count], spread[:count]
    largest = directions.gather(1, directions.abs().argmax(dim=1, keepdim=True))
    return mean, directions * largest.sign() * (len(features) ** 0.5 / spread)[:, None]


@torch.no_grad()
def untrained_classifier() -> nn.Module:
    """EfficientNet-B4 whose two logits follow the pictures' widest difference."""
    torch.manual_seed(SEED)
    generator = np.random.default_rng(SEED)
    model = build_classifier(len(TRIAGE_LABELS)).eval()
    fill_with_pattern(model, generator)
    smooth_kernels(model)
    tame(model)
    grey = classifier_graph.GreyClassifier(model)
    calibrate_norms(grey, _pictures(generator, INPUT_SIZE_PX))
    head: Any = model.classifier
    features = _inputs_of(head, lambda: grey(_pictures(generator, INPUT_SIZE_PX)))
    mean, (direction,) = principal_directions(features, 1)
    head.weight.copy_(torch.stack([-direction, direction]) * TRIAGE_SPREAD / 2)
    head.bias.copy_(-(head.weight @ mean))
    head.bias[1] += TRIAGE_SHIFT
    return model


@torch.no_grad()
def untrained_detector(classes: int) -> "FasterRCNN":
    """Faster R-CNN whose scores for each label follow one of the regions' widest differences."""
    torch.manual_seed(SEED)
    generator = np.random.default_rng(SEED)
    model = build_detector(classes + 1, size=DETECTOR_SIZE_PX, proposals=PROPOSALS).eval()
    fill_with_pattern(model, generator)
    smooth_kernels(model)
    grey = detector_graph.GreyDetector(model)
    mean, std = grey.mean, grey.std
    calibrate_norms(model.backbone, (_pictures(generator, DETECTOR_SIZE_PX) - mean) / std)
    fresh = _pictures(generator, DETECTOR_SIZE_PX).split(1)
    fix_proposals(model)
    predictor: Any = model.roi_heads.box_predictor
    regions = _inputs_of(predictor, lambda: [grey(item) for item in fresh])
    _centre(predictor.bbox_pred, predictor.bbox_pred(regions), REFINEMENT_SPREAD)
    centre, directions = principal_directions(regions, classes)
    predictor.cls_score.weight.zero_()
    predictor.cls_score.bias.zero_()
    predictor.cls_score.weight[1:] = directions * FINDING_SPREAD
    logits = (regions - centre) @ predictor.cls_score.weight[1:].T
    rare = torch.quantile(logits, 1 - FINDING_FRACTION, dim=0)
    predictor.cls_score.bias[1:] = -(predictor.cls_score.weight[1:] @ centre) - rare
    return model


def fix_proposals(model: "FasterRCNN") -> None:
    """Propose one grid of regions on every image: all anchors of one pyramid level, resized.

    Proposals of random weights would change places at the least noise. On a grid, neighbours differ
    enough for the better one to stay the better one. One channel of the pyramid says which level it
    is, and objectness is that channel.
    """
    blocks: Any = model.backbone.fpn.layer_blocks
    head: Any = model.rpn.head
    for level, block in enumerate(blocks):
        block[0].weight[0] = 0
        block[0].bias[0] = float(level == len(blocks) - 1)
    for layer in (head.conv[0][0], head.cls_logits, head.bbox_pred):
        layer.bias.zero_()
    for layer in (head.cls_logits, head.bbox_pred):
        layer.weight.zero_()
    head.conv[0][0].weight[0] = 0
    head.conv[0][0].weight[0, 0, 1, 1] = 1  # the middle of 3 x 3
    head.cls_logits.weight[:, 0] = 1
    head.bbox_pred.bias.view(-1, 4)[:, 2:] = SIZE_SHIFT
    model.rpn.nms_thresh, model.roi_heads.nms_thresh = PROPOSALS_IOU, FINDINGS_IOU


def _pictures(generator: np.random.Generator, size: int) -> Tensor:
    drawn = [picture(generator, size) for _ in range(PICTURES)]
    return torch.from_numpy(np.stack(drawn))[:, None]


def _centre(layer: nn.Linear, outputs: Tensor, spread: float) -> None:
    """Scale and shift a layer so that these outputs (N, C) of it would have mean 0 and a spread."""
    scale = spread / outputs.std(dim=0)
    layer.weight.mul_(scale[:, None])
    layer.bias.copy_((layer.bias - outputs.mean(dim=0)) * scale)


def _inputs_of(module: nn.Module, run: Callable[[], object]) -> Tensor:
    """What enters a part of a model (N, D) while something runs."""
    seen: list[Tensor] = []
    hook = module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    run()
    hook.remove()
    return torch.cat(seen)


def write_classifier(folder: Path) -> None:
    """Write the bundle of `untrained_classifier`."""
    labels, size = TRIAGE_LABELS, INPUT_SIZE_PX
    write_bundle(
        folder,
        graph=quantize_weights(
            classifier_graph.classifier_graph(untrained_classifier(), size=size, labels=labels)
        ),
        facts=classifier_facts(
            labels=labels,
            size=size,
            input_name=classifier_graph.INPUT,
            output_name=classifier_graph.OUTPUT,
            point=OperatingPoint(thresholds={ABNORMAL: TRIAGE_THRESHOLD}, chosen_by=CHOSEN_BY),
        ),
        origin=_origin("demo-triage", "EfficientNet-B4"),
        precision=INT8_WEIGHTS,
        parity=None,
    )


def write_detector(folder: Path) -> None:
    """Write the bundle of `untrained_detector`."""
    labels, size = DETECTOR_LABELS[4], DETECTOR_SIZE_PX
    write_bundle(
        folder,
        graph=quantize_weights(
            detector_graph.detector_graph(untrained_detector(len(labels)), labels=labels)
        ),
        facts=detector_facts(
            labels=labels,
            size=size,
            input_name=detector_graph.INPUT,
            output_names=detector_graph.OUTPUTS,
            point=OperatingPoint(
                thresholds=dict.fromkeys(labels, FINDING_THRESHOLD), chosen_by=CHOSEN_BY
            ),
        ),
        origin=_origin("demo-detector", "Faster R-CNN ResNet-50 FPN"),
        precision=INT8_WEIGHTS,
        parity=None,
    )


def _origin(name: str, architecture: str) -> Origin:
    return Origin(
        name=name,
        version="0",
        architecture=architecture,
        trained_on="nothing",
        description=DESCRIPTION,
        code_version=CODE_VERSION,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the bundles and say how large they are."""
    parser = argparse.ArgumentParser(prog="python -m export.untrained", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("models/demo"))
    folder = parser.parse_args(arguments).out
    write_classifier(folder / "classifier")
    write_detector(folder / "detector")
    for path in sorted(folder.glob("*/model.onnx")):
        data = path.read_bytes()
        packed = len(zlib.compress(data)) / 1e6
        sys.stdout.write(f"{path}: {len(data) / 1e6:.1f} MB, {packed:.2f} MB compressed\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
