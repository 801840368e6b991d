"""Teach a trunk where findings are, cell by cell: many answers an image instead of one.

From random weights and few images, one bit an image (abnormal or not) teaches slowly; the readers'
boxes say for every cell of a grid which findings lie there. The classifier takes this as a second
objective and drops its head afterwards; the detector's backbone starts from it.

Sources: Long et al., Fully convolutional networks, 2015 (heads on several strides, summed); Lin et
al., Focal loss for dense object detection, 2017.
"""

import math
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

STRIDE_PX: Final = 8
"""The finest map that a cell is judged on: about 1 cm on a chest film at 380 px."""

FOCAL_ALPHA: Final = 0.5
FOCAL_GAMMA: Final = 2.0
"""Gamma as published. The loss is normalised for each label, so alpha need not balance it."""

BACKGROUND_CELLS: Final = 0.01
"""Part of all cells added to a label's own as the loss's denominator: a batch without the label
must not divide by nothing."""

PRIOR: Final = 0.02
"""Chance of a cell to be occupied before anything is learnt; sets the first bias."""

B4_STAGES: Final = {2: 56, 4: 160}
"""EfficientNet-B4's last stages of stride 8 and 16, and their channels."""

B4_FEATURES: Final = 1792
"""Channels before the classifier."""


class OccupancyHead(nn.Module):
    """Logits of each label in each cell, summed over maps of several strides.

    Args:
        channels: Of each map, finest first.
        labels: Number of labels.
    """

    def __init__(self, channels: list[int], labels: int) -> None:
        super().__init__()
        layers = [nn.Conv2d(c, labels, 1) for c in channels]
        for layer in layers:
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.constant_(layer.bias, 0.0)
        nn.init.constant_(layers[0].bias, math.log(PRIOR / (1 - PRIOR)))
        self.scores = nn.ModuleList(layers)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """(N, L, H, W) logits at the size of the first map."""
        size = maps[0].shape[-2:]
        scores = [layer(features) for layer, features in zip(self.scores, maps, strict=True)]
        return torch.stack([_resized(score, size) for score in scores]).sum(dim=0)


class LocalisingClassifier(nn.Module):
    """A timm EfficientNet-B4 that also says where.

    Args:
        classifier: From `build_classifier`; trained in place and of use without this module.
        labels: Number of labels to localise.
    """

    def __init__(self, classifier: nn.Module, labels: int) -> None:
        super().__init__()
        self.classifier = classifier
        self.head = OccupancyHead([*B4_STAGES.values(), B4_FEATURES], labels)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, classes) as the classifier alone gives them, and (N, L, H / 8, W / 8)."""
        net: Any = self.classifier
        features = net.bn1(net.conv_stem(images))
        maps = []
        for number, stage in enumerate(net.blocks):
            features = stage(features)
            if number in B4_STAGES:
                maps.append(features)
        features = net.bn2(net.conv_head(features))
        return net.forward_head(features), self.head([*maps, features])


class LocalisingPyramid(nn.Module):
    """A detector's backbone and pyramid that say where, at every stride of the pyramid.

    Args:
        backbone: Of torchvision's Faster R-CNN; trained in place.
        labels: Number of labels to localise.
        channels: Of each level.
    """

    def __init__(self, backbone: nn.Module, labels: int, *, channels: int = 256) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = OccupancyHead([channels], labels)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Logits (N, L, H / s, W / s) for the strides s of 4, 8, 16 and 32."""
        levels = self.backbone(images)
        return [self.head([levels[name]]) for name in ("0", "1", "2", "3")]


def occupancy_loss(logits: Tensor, cells: Tensor, known: Tensor) -> Tensor:
    """Focal loss of cells, weighted so that every label counts alike.

    Args:
        logits: (N, L, H, W).
        cells: (N, L, G, G) in [0, 1], from `training.batches.occupancy`; resized to the logits.
        known: (N, L, 1, 1): 0 where the cells do not tell.

    Returns:
        A scalar, float32.
    """
    truth = functional.adaptive_avg_pool2d(cells, (logits.shape[-2], logits.shape[-1])) * known
    each = sigmoid_focal_loss(logits.float(), truth, alpha=FOCAL_ALPHA, gamma=FOCAL_GAMMA) * known
    per_label: Tensor = each.sum(dim=(0, 2, 3))
    occupied = truth.sum(dim=(0, 2, 3)) + BACKGROUND_CELLS * truth[:, 0].numel()
    return (per_label / occupied).mean()


def _resized(scores: Tensor, size: Any) -> Tensor:
    if scores.shape[-2:] == size:
        return scores
    return functional.interpolate(scores, size=size, mode="bilinear", align_corners=False)
