"""The detector: torchvision's Faster R-CNN with a ResNet-50 and a feature pyramid.

Sources: Ren et al. 2015 (arXiv 1506.01497); Lin et al. 2017 (arXiv 1612.03144); torchvision
`models/detection/faster_rcnn.py`.
"""

import functools
from typing import TYPE_CHECKING, Final

from lambdas.shared.errors import ConfigError

if TYPE_CHECKING:
    from torchvision.models.detection import FasterRCNN

INPUT_SIZE_PX: Final = 800
"""Default height and width: torchvision's own shorter side."""

STRIDE_PX: Final = 32
"""The input's sides are multiples of this, the coarsest stride, so that nothing is padded twice."""

PROPOSALS: Final = 300
"""Default number of regions that the second stage looks at. torchvision's 1,000 is for crowded
street scenes; a chest film has a handful of findings."""

PYRAMID_LEVELS: Final = 5
"""Four from the ResNet and one pooled from the coarsest of them."""

TRAINABLE_NORM_EPS: Final = 1e-5
"""PyTorch's default."""


def build_detector(
    num_classes_with_background: int,
    *,
    size: int = INPUT_SIZE_PX,
    proposals: int = PROPOSALS,
    candidates_per_level: int = 1000,
    detections: int = 100,
    score_threshold: float = 0.05,
    frozen_norm: bool = False,
    norm_eps: float = TRAINABLE_NORM_EPS,
    trainable_layers: int = 5,
) -> "FasterRCNN":
    """Build the detector; nothing is ever downloaded.

    Args:
        num_classes_with_background: Labels + 1; label 0 is background.
        size: Height and width in px of the square input; a multiple of `STRIDE_PX`. Images of this
            size pass the model's own resize unchanged.
        proposals: Regions kept for the second stage at inference.
        candidates_per_level: Regions of each pyramid level that enter non-maximum suppression.
        detections: Most boxes for one image.
        score_threshold: Boxes with a lower score are dropped inside the model; operating thresholds
            lie above it.
        frozen_norm: Whether the ResNet's BatchNorm keeps its statistics, as torchvision has it for
            pretrained backbones; right for batches of one or two images.
        norm_eps: Epsilon of the ResNet's BatchNorm. torchvision sets 0 with weights from COCO.
        trainable_layers: Stages of the ResNet that train, 0 to 5, from the last one.

    Returns:
        torchvision's model in training mode. It takes a list of (3, size, size) float32 in [0, 1]
        and normalises with ImageNet's mean and standard deviation itself.

    Raises:
        ConfigError: The size is no multiple of the stride, or a number is out of range.
    """
    from torch import nn  # slow to import
    from torchvision.models.detection import FasterRCNN
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
    from torchvision.ops import FrozenBatchNorm2d

    if size < STRIDE_PX or size % STRIDE_PX:
        raise ConfigError(f"detector size is {size} px, expected a multiple of {STRIDE_PX}")
    if num_classes_with_background < 2:
        raise ConfigError("a detector needs background and at least one label")
    if not 1 <= proposals <= PYRAMID_LEVELS * candidates_per_level:
        most = PYRAMID_LEVELS * candidates_per_level
        raise ConfigError(f"proposals is {proposals}, expected 1 to {most}")
    norm = FrozenBatchNorm2d if frozen_norm else nn.BatchNorm2d
    backbone = resnet_fpn_backbone(
        backbone_name="resnet50",
        weights=None,
        norm_layer=functools.partial(norm, eps=norm_eps),
        trainable_layers=trainable_layers,
    )
    return FasterRCNN(
        backbone,
        num_classes=num_classes_with_background,
        min_size=size,
        max_size=size,
        rpn_pre_nms_top_n_test=candidates_per_level,
        rpn_post_nms_top_n_test=proposals,
        box_detections_per_img=detections,
        box_score_thresh=score_threshold,
    )
