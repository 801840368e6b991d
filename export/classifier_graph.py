"""From a classifier in torch to its graph.

Input `image` (N, 1, H, W) float32, grey in [0, 1]; N is open. The channel is repeated and
normalised in the graph. Output `logits` (N, labels).
"""

from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn

from export.graph_edits import export_graph, global_average_pools, label
from training.classifier import IMAGENET_MEAN, IMAGENET_STD

if TYPE_CHECKING:
    import onnx

INPUT: Final = "image"
OUTPUT: Final = "logits"


class GreyClassifier(nn.Module):
    """A classifier that takes grey images in [0, 1].

    Args:
        model: From (N, 3, H, W) normalised to (N, labels) logits, or (N, 1) where it was trained as
            one yes-or-no answer.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Logits (N, labels) of (N, 1, H, W) grey in [0, 1]."""
        logits: Tensor = self.model((image - self.mean) / self.std)
        if logits.shape[1] == 1:
            # softmax over (0, z) is the sigmoid of z that the model was trained with
            return torch.cat([torch.zeros_like(logits), logits], dim=1)
        return logits


def classifier_graph(model: nn.Module, *, size: int, labels: tuple[str, ...]) -> "onnx.ModelProto":
    """Export a classifier for square inputs.

    Args:
        model: As `GreyClassifier` takes it; put into evaluation mode.
        size: Height and width of the input in px.
        labels: In the order of the logits.
    """
    wrapped = GreyClassifier(model).eval()
    # two images: with one, the exporter takes the batch for a constant
    graph = export_graph(
        wrapped,
        torch.zeros(2, 1, size, size),
        input_name=INPUT,
        output_names=(OUTPUT,),
        dynamic_shapes={INPUT: {0: torch.export.Dim("batch", min=1)}},
    )
    global_average_pools(graph)
    label(graph, labels)
    return graph
