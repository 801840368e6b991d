"""Whether a graph answers as the model in torch does: names, shapes, values, on given images.

The graph runs as in production, through `lambdas.shared.onnx_model`. Every failure is collected;
one `ParityError` names them all and the largest difference.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import torch

from export.classifier_graph import GreyClassifier
from export.detector_graph import OUTPUTS as DETECTOR_OUTPUTS
from lambdas.shared.boxes import PixelBox, intersection_over_union
from lambdas.shared.errors import ParityError
from lambdas.shared.onnx_model import Arrays, OnnxModel

if TYPE_CHECKING:
    from torch import nn
    from torchvision.models.detection import FasterRCNN

Reference = Callable[[npt.NDArray[np.float32]], Arrays]
"""From an input (1, 1, H, W) to outputs by name."""

TOLERANCES: Final = {"logits": 2e-3, "boxes": 0.5, "scores": 2e-3, "labels": 0.0}
"""Largest absolute difference by output; boxes in pixels of the input. float32 sums in another
order differ by 1e-4 over a hundred layers."""

UNMATCHED_FRACTION: Final = 0.02
"""Boxes of one side that the other may lack: two that score alike to the last bit may be suppressed
in another order."""

MATCH_IOU: Final = 0.9
"""Boxes of one label that overlap this much are one box."""


@dataclass
class Comparison:
    """What was found, image after image."""

    largest: dict[str, float] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    boxes: int = 0
    unmatched: int = 0

    def note(self, output: str, difference: float) -> None:
        """Remember the largest difference of an output; NaN is infinitely far."""
        difference = difference if np.isfinite(difference) else float("inf")
        self.largest[output] = max(self.largest.get(output, 0.0), difference)


def classifier_reference(model: "nn.Module", *, output: str) -> Reference:
    """The classifier in torch, under the graph's name for its output."""
    grey = GreyClassifier(model).eval()

    def run(image: npt.NDArray[np.float32]) -> Arrays:
        with torch.no_grad():
            return {output: grey(torch.from_numpy(image)).numpy()}

    return run


def detector_reference(model: "FasterRCNN") -> Reference:
    """torchvision's own forward pass, not the one written for export."""
    model.eval()

    def run(image: npt.NDArray[np.float32]) -> Arrays:
        with torch.no_grad():
            (found,) = model([torch.from_numpy(image[0]).expand(3, -1, -1)])
        return {name: found[name].numpy() for name in DETECTOR_OUTPUTS}

    return run


def measure(
    reference: Reference,
    model: OnnxModel,
    images: Sequence[npt.NDArray[np.float32]],
    *,
    tolerances: dict[str, float] | None = None,
) -> Comparison:
    """Compare on every image.

    Args:
        reference: The model in torch.
        model: The graph.
        images: (1, 1, H, W) float32 in [0, 1] of the model's input size.
        tolerances: By output; None for `TOLERANCES`.
    """
    allowed = TOLERANCES if tolerances is None else tolerances
    found = Comparison()
    for image in images:
        expected, actual = reference(image), model.run(image)
        if set(expected) != set(actual):
            found.failures.append(f"outputs are {sorted(actual)}, expected {sorted(expected)}")
            continue
        if model.bundle.task == "detection":
            _compare_boxes(expected, actual, found)
        else:
            _compare_values(expected, actual, found)
    found.failures += [
        f"{output} differ by {difference:.3g}, {allowed[output]:.3g} are allowed"
        for output, difference in found.largest.items()
        if difference > allowed[output]
    ]
    if found.unmatched > UNMATCHED_FRACTION * max(found.boxes, 1):
        found.failures.append(f"{found.unmatched} of {found.boxes} boxes have no counterpart")
    return found


def check(found: Comparison, *, model: str, images: int) -> dict[str, Any]:
    """What model.json keeps of a comparison.

    Raises:
        ParityError: Anything failed.
    """
    if found.failures:
        largest = max(found.largest.values(), default=float("inf"))
        raise ParityError(
            f"{model}: the graph does not answer as torch does on {images} images: "
            f"{'; '.join(dict.fromkeys(found.failures))} (largest difference {largest:.3g}); "
            "export again with the versions that pyproject.toml names"
        )
    report: dict[str, Any] = {
        "reference": f"torch {torch.__version__}, float32",
        "n": images,
        "max_abs_difference": dict(found.largest),
    }
    if found.boxes:
        report |= {"boxes": found.boxes, "boxes_without_counterpart": found.unmatched}
    return report


def _compare_values(expected: Arrays, actual: Arrays, found: Comparison) -> None:
    for name, values in expected.items():
        if values.shape != actual[name].shape:
            found.failures.append(f"{name} is {actual[name].shape}, expected {values.shape}")
        else:
            found.note(name, float(np.abs(values - actual[name]).max()))


def _compare_boxes(expected: Arrays, actual: Arrays, found: Comparison) -> None:
    """Each box of torch, best first, against the nearest unused one of its label."""
    for name, axes in zip(DETECTOR_OUTPUTS, (2, 1, 1), strict=True):
        if actual[name].ndim != axes or len(actual[name]) != len(actual["scores"]):
            found.failures.append(f"{name} is {actual[name].shape}")
            return
    unused = dict.fromkeys(range(len(actual["scores"])))
    found.boxes += max(len(expected["scores"]), len(unused))
    lost = 0
    for box, label, score in zip(*(expected[name] for name in DETECTOR_OUTPUTS), strict=True):
        overlaps = {
            index: intersection_over_union(PixelBox(*box), PixelBox(*actual["boxes"][index]))
            for index in unused
            if actual["labels"][index] == label
        }
        best = max(overlaps, key=lambda index: overlaps[index], default=None)
        if best is None or overlaps[best] < MATCH_IOU:
            lost += 1
            continue
        del unused[best]
        found.note("boxes", float(np.abs(box - actual["boxes"][best]).max()))
        found.note("scores", float(abs(score - actual["scores"][best])))
    found.unmatched += max(lost, len(unused))
