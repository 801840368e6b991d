"""From torchvision's Faster R-CNN to its graph: the same boxes by another way.

Input `image` (1, 1, S, S) float32, grey in [0, 1], the radiograph letterboxed. Outputs `boxes`
(n, 4) in pixels of the input, `labels` (n,) int64 from 1, `scores` (n,), best first; n is open.

What torchvision does and a graph for CPUs should not is done differently here, with equal results:

- anchors are computed for the candidates alone, not kept as a table of 160,000;
- deltas are decoded for the candidates alone;
- suppression stops as soon as it has as many boxes as anyone will look at;
- every tensor has a fixed shape until regions are dealt to the levels of the pyramid;
- regions pooled from the levels are put in order by one Gather, where torchvision's code becomes a
  ScatterElements that took a quarter of the time and 400 MB.
"""

import math
from typing import TYPE_CHECKING, Any, Final

import torch
import torchvision
from onnxscript import opset18 as op
from torch import Tensor, nn
from torch.nn import functional

from export.graph_edits import export_graph, label
from lambdas.shared.errors import ContractError

if TYPE_CHECKING:
    import onnx
    from torchvision.models.detection import FasterRCNN

INPUT: Final = "image"
OUTPUTS: Final = ("boxes", "labels", "scores")

MIN_FINAL_SIDE_PX: Final = 1e-2
"""torchvision's `RoIHeads.postprocess_detections` drops smaller boxes."""

LEVEL_EPS: Final = 1e-6
"""torchvision's `LevelMapper` adds it before rounding down."""

NO_SCORE: Final = -1.0
"""Of a place that holds no box; below every threshold."""


@torch.library.custom_op("cxr::suppress", mutates_args=())
def suppress(
    boxes: Tensor, scores: Tensor, iou_threshold: float, score_threshold: float, most: int
) -> Tensor:
    """Non-maximum suppression within each group.

    Args:
        boxes: (G, N, 4) edges.
        scores: (G, N).
        iou_threshold: Boxes that overlap a better one by more are dropped.
        score_threshold: Boxes are kept where their score is above.
        most: Boxes kept of one group at most, the best ones.

    Returns:
        (kept, 2) int64: group and position within it, best first within a group.
    """
    kept = []
    for group, (group_boxes, group_scores) in enumerate(zip(boxes, scores, strict=True)):
        candidates = torch.nonzero(group_scores > score_threshold)[:, 0]
        best = torchvision.ops.nms(
            group_boxes[candidates], group_scores[candidates], iou_threshold
        )[:most]
        kept.append(torch.stack([torch.full_like(best, group), candidates[best]], dim=1))
    return torch.cat(kept)


@suppress.register_fake
def _suppress_shape(
    boxes: Tensor, scores: Tensor, iou_threshold: float, score_threshold: float, most: int
) -> Tensor:
    kept = torch.library.get_ctx().new_dynamic_size()
    return boxes.new_empty((kept, 2), dtype=torch.int64)


def _suppress_in_onnx(
    boxes: Any, scores: Any, iou_threshold: float, score_threshold: float, most: int
) -> Any:
    """A group is what ONNX calls a batch, with one class."""
    selected = op.NonMaxSuppression(
        boxes, op.Unsqueeze(scores, [1]), [most], [iou_threshold], [score_threshold]
    )
    return op.Gather(selected, op.Constant(value_ints=[0, 2]), axis=1)


class GreyDetector(nn.Module):
    """A Faster R-CNN for one square grey image, written for export.

    Args:
        model: Of `training.detector.build_detector`, in evaluation mode.
    """

    def __init__(self, model: "FasterRCNN") -> None:
        super().__init__()
        self.model = model
        self.size = int(model.transform.min_size[0])
        mean, std = model.transform.image_mean, model.transform.image_std
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes (n, 4) in pixels, labels (n,) from 1, scores (n,) of a grey (1, 1, S, S)."""
        roi = self.model.roi_heads
        features = self.model.backbone((image - self.mean) / self.std)
        proposals, valid = self._propose(list(features.values()))
        pooled = self._pool(features, proposals)
        logits, deltas = roi.box_predictor(roi.box_head(pooled))
        return self._detect(logits, deltas, proposals=proposals, valid=valid)

    def _propose(self, levels: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Proposals (P, 4), best first, and which of the P places hold one."""
        rpn = self.model.rpn
        anchors = rpn.anchor_generator.cell_anchors
        objectness, deltas = rpn.head(levels)
        found = [self._candidates(*maps) for maps in zip(objectness, deltas, anchors, strict=True)]
        longest = max(len(scores) for _, scores in found)
        boxes = torch.stack(
            [functional.pad(boxes, (0, 0, 0, longest - len(boxes))) for boxes, _ in found]
        )
        scores = torch.stack(
            [
                functional.pad(scores, (0, longest - len(scores)), value=NO_SCORE)
                for _, scores in found
            ]
        )
        most = rpn.post_nms_top_n()
        kept = suppress(boxes, scores, rpn.nms_thresh, NO_SCORE / 2, most)
        best, _, valid = _best(boxes, scores, kept, most=most)
        return best, valid

    def _candidates(
        self, objectness: Tensor, deltas: Tensor, anchors: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The boxes (n, 4) and scores (n,) of one level that enter suppression.

        Args:
            objectness: (1, A, H, W) logits.
            deltas: (1, 4 A, H, W) from an anchor to its box.
            anchors: (A, 4) around the centre of a cell.
        """
        rpn = self.model.rpn
        count, height, width = objectness.shape[1:]
        cells = height * width
        most = min(rpn.pre_nms_top_n(), count * cells)
        logits, index = objectness.reshape(-1).topk(most)
        anchor, cell = index // cells, index % cells
        # torchvision's AnchorGenerator: whole strides, also where a level was rounded up
        x = (cell % width) * (self.size // width)
        y = (cell // width) * (self.size // height)
        placed = torch.stack([x, y, x, y], dim=1) + anchors[anchor]
        chosen = deltas.reshape(count, 4, cells).permute(0, 2, 1).reshape(-1, 4)[index]
        boxes = rpn.box_coder.decode_single(chosen, placed).clamp(0, self.size)
        scores = torch.where(_at_least(boxes, rpn.min_size), logits.sigmoid(), NO_SCORE)
        return boxes, scores

    def _pool(self, features: dict[str, Tensor], boxes: Tensor) -> Tensor:
        """(P, C, 7, 7) of each box from its level of the pyramid (Lin et al. 2017, equation 1)."""
        pool = self.model.roi_heads.box_roi_pool
        names = pool.featmap_names
        sides = [self.size // features[name].shape[-1] for name in names]
        least, greatest = math.log2(sides[0]), math.log2(sides[-1])
        width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
        target = pool.canonical_level + torch.log2(
            torch.sqrt(width * height) / pool.canonical_scale
        )
        level = (torch.floor(target + LEVEL_EPS).clamp(least, greatest) - least).to(torch.int64)
        regions = torch.cat([torch.zeros_like(boxes[:, :1]), boxes], dim=1)
        pooled = [
            torchvision.ops.roi_align(
                features[name],
                regions[torch.nonzero(level == position)[:, 0]],
                pool.output_size,
                spatial_scale=1 / side,
                sampling_ratio=pool.sampling_ratio,
            )
            for position, (name, side) in enumerate(zip(names, sides, strict=True))
        ]
        return torch.cat(pooled)[_places_by_level(level, levels=len(names))]

    def _detect(
        self, logits: Tensor, deltas: Tensor, *, proposals: Tensor, valid: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Decode, suppress for each label, and keep the best."""
        roi = self.model.roi_heads
        count, classes = logits.shape
        boxes = roi.box_coder.decode_single(deltas, proposals).reshape(count, classes, 4)
        boxes = boxes.clamp(0, self.size)[:, 1:].permute(1, 0, 2)  # label 0 is background
        scores = logits.softmax(dim=1)[:, 1:].permute(1, 0)
        scores = torch.where(valid & _at_least(boxes, MIN_FINAL_SIDE_PX), scores, NO_SCORE)
        most = roi.detections_per_img
        kept = suppress(boxes, scores, roi.nms_thresh, roi.score_thresh, most)
        best, best_scores, filled = _best(boxes, scores, kept, most=most)
        # the group's number rides along as a box would
        groups = torch.arange(classes - 1).reshape(-1, 1, 1).expand(-1, count, 1)
        best_groups, _, _ = _best(groups, scores, kept, most=most)
        found = torch.nonzero(filled)[:, 0]
        return best[found], best_groups[found, 0] + 1, best_scores[found]


def _at_least(boxes: Tensor, side: float) -> Tensor:
    """Which boxes (..., 4) have both sides at least this long."""
    return ((boxes[..., 2:] - boxes[..., :2]) >= side).all(dim=-1)


def _best(
    values: Tensor, scores: Tensor, kept: Tensor, *, most: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The best of what suppression kept, in a fixed number of places.

    Args:
        values: (G, N, D).
        scores: (G, N).
        kept: (kept, 2): group and position.
        most: Number of places.

    Returns:
        (most, D) values, best first; their (most,) scores; which (most,) places are filled.
    """
    flat = kept[:, 0] * scores.shape[1] + kept[:, 1]
    kept_scores = functional.pad(scores.reshape(-1)[flat], (0, most), value=NO_SCORE)
    kept_values = functional.pad(values.reshape(-1, values.shape[2])[flat], (0, 0, 0, most))
    best_scores, best = kept_scores.topk(most)
    return kept_values[best], best_scores, best_scores > NO_SCORE / 2


def _places_by_level(level: Tensor, *, levels: int) -> Tensor:
    """Where each region stands once all are dealt to the levels and laid end to end.

    Args:
        level: (P,) int64, the level of each region.
        levels: Number of levels.
    """
    member = (level[:, None] == torch.arange(levels)).to(torch.int64)
    rank = member.cumsum(dim=0) - 1
    totals = member.sum(dim=0)
    first = totals.cumsum(dim=0) - totals
    return ((rank + first) * member).sum(dim=1)


def detector_graph(model: "FasterRCNN", *, labels: tuple[str, ...]) -> "onnx.ModelProto":
    """Export a detector for the square input that it was built for.

    Args:
        model: Of `training.detector.build_detector`; its size and number of proposals become part
            of the graph.
        labels: Without background, in the order of the label ids.

    Raises:
        ContractError: The number of labels is not the model's, or torch cannot express the model.
    """
    outputs = model.roi_heads.box_predictor.cls_score.out_features
    if outputs != len(labels) + 1:
        raise ContractError(
            f"the detector has {outputs - 1} labels and background, but {len(labels)} labels are "
            "named; name one for each"
        )
    wrapped = GreyDetector(model.eval()).eval()
    graph = export_graph(
        wrapped,
        torch.zeros(1, 1, wrapped.size, wrapped.size),
        input_name=INPUT,
        output_names=OUTPUTS,
        translations={torch.ops.cxr.suppress.default: _suppress_in_onnx},
    )
    label(graph, labels)
    return graph
