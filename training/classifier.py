"""The classifier: timm's EfficientNet-B4, 380 x 380 px, one logit per label.

timm has two: `efficientnet_b4` pads symmetrically, `tf_efficientnet_b4` pads as TensorFlow did,
with another amount on either side that depends on the input's size. The first is built here: it is
the same function as torchvision's `efficientnet_b4` (the same padding and BatchNorm epsilon, 1e-5),
and its exported graph needs no padding nodes. Both have the same names and shapes of tensors, so
weights of one load into the other without complaint and answer slightly wrong: `TIMM_NAMES` lists
both, and whoever loads foreign weights says which they are.

Sources: Tan and Le 2019 (arXiv 1905.11946); timm `models/efficientnet.py`; torchvision
`models/efficientnet.py`.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from lambdas.shared.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

INPUT_SIZE_PX: Final = 380
"""Height and width: the resolution B4 was scaled for (Tan and Le 2019, table 1)."""

IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)
"""Per channel, for pixels in [0, 1]; what public pretrained backbones were trained with."""

DEFAULT_NAME: Final = "efficientnet_b4"
TIMM_NAMES: Final = ("efficientnet_b4", "tf_efficientnet_b4")
"""Architectures with the same tensors and different padding."""


def build_classifier(
    num_classes: int = 2,
    *,
    backbone_weights: Path | None = None,
    name: str = DEFAULT_NAME,
    dropout: float = 0.0,
) -> "nn.Module":
    """Build the classifier; nothing is ever downloaded.

    Args:
        num_classes: Labels, one logit each.
        backbone_weights: A state dict with timm's names to start from; its last layer is left out
            where it has another number of classes. None for random weights.
        name: One of `TIMM_NAMES`.
        dropout: Probability before the last layer, while training.

    Returns:
        A module from (N, 3, H, W) float32, normalised with `IMAGENET_MEAN` and `IMAGENET_STD`, to
        (N, num_classes) logits; in training mode.

    Raises:
        ConfigError: The name is unknown, or the weights belong to another architecture.
    """
    import timm  # slow to import

    if name not in TIMM_NAMES:
        raise ConfigError(f"classifier is {name!r}, expected one of {', '.join(TIMM_NAMES)}")
    model: nn.Module = timm.create_model(
        name, pretrained=False, num_classes=num_classes, drop_rate=dropout
    )
    if backbone_weights is not None:
        _load_backbone(model, backbone_weights)
    return model


def _load_backbone(model: "nn.Module", path: Path) -> None:
    """Load every tensor but those of a head with another number of classes."""
    import torch

    weights = torch.load(path, map_location="cpu", weights_only=True)
    own = model.state_dict()
    fitting = {
        key: value
        for key, value in weights.items()
        if key in own and getattr(value, "shape", None) == own[key].shape
    }
    lost = sorted(key for key in own if key not in fitting and not key.startswith("classifier."))
    if lost:
        raise ConfigError(
            f"{path} is no EfficientNet-B4 with timm's names: {len(lost)} of {len(own)} tensors "
            f"are missing or have another shape, first {lost[0]!r}"
        )
    model.load_state_dict(own | fitting)
