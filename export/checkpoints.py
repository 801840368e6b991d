"""Checkpoints as they are found: read without running their code, and built into a model.

Taken as they come: a plain state dict or one wrapped with other things; names that start with
`module.` (DataParallel), `model.`, `_orig_mod.` (torch.compile) or any other prefix;
EfficientNet-B4 as timm or as torchvision names it, with one last layer of any name; Faster R-CNN
ResNet-50 FPN. The number of labels is read from the shapes of the weights.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lambdas.shared.errors import ConfigError, ModelMismatchError, StorageUnavailableError
from training.classifier import DEFAULT_NAME, build_classifier
from training.detector import PROPOSALS, TRAINABLE_NORM_EPS, build_detector

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torchvision.models.detection import FasterRCNN

STATE_KEYS: Final = ("model_state_dict", "state_dict", "model_state", "model", "net", "weights")
"""Under which wrapped checkpoints hold the weights."""

LABEL_KEYS: Final = ("labels", "class_names", "classes")
"""Under which checkpoints name their labels."""

TIMM_STEM: Final = "conv_stem.weight"
TORCHVISION_STEM: Final = "features.0.0.weight"
DETECTOR_STEM: Final = "backbone.body.conv1.weight"
"""A tensor that only this architecture's naming has; what stands before it is the prefix."""

TIMM_TRUNK: Final = ("conv_stem.", "bn1.", "blocks.", "conv_head.", "bn2.")
TORCHVISION_TRUNK: Final = ("features.",)
"""Names before the head."""

HTTP_SERVER_ERROR: Final = 500

DETECTOR_SCORES: Final = "roi_heads.box_predictor.cls_score.weight"
DETECTOR_BOX_HEAD: Final = "roi_heads.box_head.fc6.weight"

COCO_NORM_EPS: Final = 0.0
"""What torchvision's `overwrite_eps` sets."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a file held.

    Attributes:
        source: Path or s3:// address.
        weights: Tensors by name, without the prefix.
        kind: `timm`, `torchvision` or `detector`: which naming the weights have.
        labels: As the checkpoint names them, without background; None where it does not.
        architecture: timm's or torchvision's name for it, where the checkpoint says.
        size_px: Height and width of its input, where the checkpoint says.
        norm_eps: Epsilon of a detector's BatchNorm.
    """

    source: str
    weights: "Mapping[str, Tensor]"
    kind: str
    labels: tuple[str, ...] | None
    architecture: str | None
    size_px: int | None
    norm_eps: float

    @property
    def task(self) -> str:
        """`classification` or `detection`."""
        return "detection" if self.kind == "detector" else "classification"

    @property
    def label_count(self) -> int:
        """Labels that the weights have, without background; one yes-or-no output is two labels."""
        outputs = len(self.weights[_score_layer(self)])
        if self.kind == "detector":
            return outputs - 1
        return max(outputs, 2)


def load_checkpoint(source: str) -> Checkpoint:
    """Read a checkpoint; it never runs code.

    Args:
        source: A path, or `s3://bucket/key`.

    Raises:
        ConfigError: There is no such file, or it is no checkpoint of tensors alone.
        ModelMismatchError: The tensors are of no architecture known here.
        StorageUnavailableError: S3 did not answer.
    """
    content = _read(source)
    state = _state_dict(source, content)
    kind, prefix = _naming(source, state)
    # a head beside the backbone, as in a wrapper with `self.backbone` and `self.fc`, keeps its name
    weights = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    details = content if content is not state else {}
    labels = next((details[key] for key in LABEL_KEYS if details.get(key)), None)
    architecture = details.get("architecture", details.get("arch"))
    return Checkpoint(
        source=source,
        weights=weights,
        kind=kind,
        labels=_label_names(labels),
        architecture=architecture if isinstance(architecture, str) else None,
        size_px=_stated_size(details),
        norm_eps=_norm_eps(weights, details),
    )


def _stated_size(details: Mapping[str, Any]) -> int | None:
    """As this project's trainers write it."""
    stated = details.get("input")
    size = stated.get("size_px") if isinstance(stated, Mapping) else None
    return size if isinstance(size, int) else None


def _norm_eps(weights: Mapping[str, Any], details: Mapping[str, Any]) -> float:
    """Epsilon of a detector's BatchNorm, which no tensor tells.

    torchvision's is 1e-5; but it sets 0 with weights from COCO, the usual start elsewhere, and then
    BatchNorm is frozen, which shows in the counters that it lacks.
    """
    frozen = "backbone.body.bn1.num_batches_tracked" not in weights
    ours = "code_version" in details
    return COCO_NORM_EPS if frozen and not ours else TRAINABLE_NORM_EPS


def build_from(
    checkpoint: Checkpoint,
    *,
    size: int,
    proposals: int = PROPOSALS,
    architecture: str | None = None,
    norm_eps: float | None = None,
) -> "nn.Module":
    """Build the model that the weights belong to, and load all of them.

    Args:
        checkpoint: Of `load_checkpoint`.
        size: Height and width of a detector's input in px; a classifier takes any.
        proposals: Of a detector.
        architecture: Which of `training.classifier.TIMM_NAMES`, as the weights cannot tell; None
            for what the checkpoint says, else the first.
        norm_eps: Epsilon of a detector's BatchNorm; None for the checkpoint's.

    Returns:
        In evaluation mode.

    Raises:
        ModelMismatchError: A tensor is missing, superfluous or of another shape.
    """
    if checkpoint.kind == "detector":
        model: nn.Module = _detector(checkpoint, size=size, proposals=proposals, norm_eps=norm_eps)
        weights = checkpoint.weights
    else:
        model, weights = _classifier(checkpoint, architecture)
    _load(checkpoint.source, model, weights)
    return model.eval()


def label_names(
    checkpoint: Checkpoint,
    given: tuple[str, ...] | None,
    *,
    usual: Mapping[int, tuple[str, ...]],
) -> tuple[str, ...]:
    """The labels of a model: as given, else as the checkpoint says, else the usual ones.

    Args:
        checkpoint: Of `load_checkpoint`.
        given: By the user; None where not given.
        usual: By their number.

    Raises:
        ConfigError: There are none, or not as many as the weights have outputs.
    """
    count = checkpoint.label_count
    labels = given or checkpoint.labels or usual.get(count)
    if labels is None:
        raise ConfigError(
            f"checkpoint {checkpoint.source} has {count} labels and does not name them; name them "
            "in the order of the outputs with --labels A,B,…"
        )
    if len(labels) != count:
        origin = "--labels gives" if given else "the checkpoint names"
        raise ConfigError(
            f"{origin} {len(labels)} labels, but the last layer of {checkpoint.source} has {count}"
            f" ({'background not counted' if checkpoint.kind == 'detector' else 'one each'}); name "
            "one for each with --labels A,B,…"
        )
    return labels


def _read(source: str) -> dict[str, Any]:
    if not source.startswith("s3://"):
        return _unpickle(source, Path(source))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.pth"
        _fetch(source, path)
        return _unpickle(source, path)


def _fetch(address: str, path: Path) -> None:
    """Copy an object of S3 to a file."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, _, key = address.removeprefix("s3://").partition("/")
    if not bucket or not key:
        raise ConfigError(f"checkpoint is {address!r}, expected s3://bucket/key")
    try:
        boto3.client("s3").download_file(bucket, key, str(path))
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] >= HTTP_SERVER_ERROR:
            raise StorageUnavailableError(f"checkpoint {address}: {error}") from error
        raise ConfigError(
            f"checkpoint {address} cannot be fetched ({error.response['Error']['Code']}); check "
            "the address and that these credentials may read it"
        ) from error
    except BotoCoreError as error:
        raise StorageUnavailableError(f"checkpoint {address} cannot be fetched: {error}") from error


def _unpickle(source: str, path: Path) -> dict[str, Any]:
    import torch

    if not path.is_file():
        raise ConfigError(f"checkpoint {source} does not exist")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises what its unpickler and its zip reader raise
        raise ConfigError(
            f"checkpoint {source} is not a file of tensors alone ({type(error).__name__}); a file "
            "that holds a pickled model or other objects would run code and is never opened: save "
            "model.state_dict() with torch.save instead"
        ) from error
    if not isinstance(content, dict):
        raise ConfigError(
            f"checkpoint {source} holds a {type(content).__name__}, expected a state dict; save "
            "model.state_dict()"
        )
    return content


def _state_dict(source: str, content: dict[str, Any]) -> "dict[str, Tensor]":
    """The tensors, from a plain or a wrapped checkpoint."""
    import torch

    inner: Any = content
    for key in STATE_KEYS:
        if isinstance(content.get(key), Mapping):
            inner = content[key]
            break
    tensors = {
        name: value
        for name, value in inner.items()
        if isinstance(name, str) and isinstance(value, torch.Tensor)
    }
    if not tensors:
        raise ModelMismatchError(
            f"checkpoint {source} has no tensors; it holds {sorted(map(str, content))[:8]}, and "
            f"weights are looked for at the top or under {', '.join(STATE_KEYS)}"
        )
    return tensors if inner is not content else content


def _naming(source: str, state: "Mapping[str, Any]") -> tuple[str, str]:
    """Which naming the tensors have, and what stands before it."""
    for kind, stem in (
        ("detector", DETECTOR_STEM),
        ("timm", TIMM_STEM),
        ("torchvision", TORCHVISION_STEM),
    ):
        for name in state:
            if name == stem or name.endswith(f".{stem}"):
                return kind, name.removesuffix(stem)
    raise ModelMismatchError(
        f"checkpoint {source} is neither EfficientNet-B4 (no tensor {TIMM_STEM!r} or "
        f"{TORCHVISION_STEM!r}) nor Faster R-CNN ResNet-50 FPN (no {DETECTOR_STEM!r}); its first "
        f"tensor is {next(iter(state))!r}"
    )


def _label_names(labels: Any) -> tuple[str, ...] | None:
    """Names from a list, or from a dict in either direction; background is left out."""
    if isinstance(labels, Mapping):
        if all(isinstance(key, int) for key in labels):
            labels = [labels[key] for key in sorted(labels)]
        else:
            labels = sorted(labels, key=lambda name: labels[name])
    if not isinstance(labels, (list, tuple)) or not all(isinstance(item, str) for item in labels):
        return None
    named = [item for item in labels if item.lower() not in ("background", "__background__")]
    return tuple(named)


def _score_layer(checkpoint: Checkpoint) -> str:
    """Name of the last layer's weight, one row for each output."""
    weights = checkpoint.weights
    if checkpoint.kind == "detector":
        for name in (DETECTOR_SCORES, DETECTOR_BOX_HEAD):
            if name not in weights:
                raise ModelMismatchError(
                    f"checkpoint {checkpoint.source} has a ResNet with a pyramid but no {name!r}, "
                    "so it is not torchvision's fasterrcnn_resnet50_fpn (its v2, RetinaNet and FCOS"
                    " have other heads); export it from the code that trained it"
                )
        return DETECTOR_SCORES
    trunk = TORCHVISION_TRUNK if checkpoint.kind == "torchvision" else TIMM_TRUNK
    heads = [
        name for name, tensor in weights.items() if tensor.dim() == 2 and not name.startswith(trunk)
    ]
    if len(heads) != 1:
        raise ModelMismatchError(
            f"checkpoint {checkpoint.source} has {len(heads)} linear layers after its features "
            f"({', '.join(heads) or 'none'}), expected one; a head of several layers cannot be "
            "rebuilt, because weights do not say what stands between them: export it from the code "
            "that trained it"
        )
    return heads[0]


def _classifier(
    checkpoint: Checkpoint, architecture: str | None
) -> "tuple[nn.Module, Mapping[str, Tensor]]":
    """A classifier with as many outputs as the weights, and the weights under its own names."""
    head = _score_layer(checkpoint)
    classes = len(checkpoint.weights[head])
    if checkpoint.kind == "torchvision":
        from torchvision.models import efficientnet_b4

        model: nn.Module = efficientnet_b4(weights=None, num_classes=classes)
        own = "classifier.1"
    else:
        name = architecture or checkpoint.architecture or DEFAULT_NAME
        model, own = build_classifier(classes, name=name), "classifier"
    layer = head.removesuffix(".weight")
    renamed = {
        (own + name.removeprefix(layer) if name.startswith(f"{layer}.") else name): tensor
        for name, tensor in checkpoint.weights.items()
    }
    return model, renamed


def _detector(
    checkpoint: Checkpoint, *, size: int, proposals: int, norm_eps: float | None
) -> "FasterRCNN":
    """A detector with as many labels as the weights."""
    scores = checkpoint.weights[_score_layer(checkpoint)]
    # built with ordinary BatchNorm either way: in evaluation it is the same function, and the
    # exporter can fold it into the convolutions
    return build_detector(
        len(scores),
        size=size,
        proposals=proposals,
        norm_eps=checkpoint.norm_eps if norm_eps is None else norm_eps,
    )


def _load(source: str, model: "nn.Module", weights: "Mapping[str, Tensor]") -> None:
    """Load every tensor, or say which one does not fit."""
    own = model.state_dict()
    counters = {name for name in own if name.endswith("num_batches_tracked")}
    missing = sorted(set(own) - set(weights) - counters)
    extra = sorted(set(weights) - set(own))
    shapes = [
        f"{name} is {list(weights[name].shape)} instead of {list(own[name].shape)}"
        for name in own
        if name in weights and name not in counters and weights[name].shape != own[name].shape
    ]
    problems = [
        f"{len(items)} tensors {what}, first {items[0]!r}"
        for what, items in (("are missing", missing), ("are superfluous", extra))
        if items
    ]
    problems += [f"{len(shapes)} tensors have another shape, first {shapes[0]}"] if shapes else []
    if problems:
        raise ModelMismatchError(
            f"checkpoint {source} does not fit {type(model).__name__}: {'; '.join(problems)}; "
            "check that it was trained with this architecture and saved whole"
        )
    model.load_state_dict({name: weights.get(name, own[name]) for name in own})
