"""training/metrics.py against figures worked out by hand, scikit-learn and pycocotools."""

import contextlib
import io

import numpy as np
import pytest

from training import metrics
from training.metrics import ImageBoxes, average_precision, detection_figures, match


@pytest.mark.parametrize(
    ("truth", "scores", "expected"),
    [
        ([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], 0.75),  # 3 of the 4 pairs in order
        ([0, 1], [0.5, 0.5], 0.5),  # a tie is half a win
        ([1, 0], [0.1, 0.9], 0.0),
        ([0, 1, 1], [0.2, 0.2, 0.9], 0.75),  # one tie, one win
    ],
)
def test_auroc_counts_ordered_pairs(truth, scores, expected):
    assert metrics.auroc(truth, scores) == pytest.approx(expected)


def test_figures_of_one_class_alone_are_not_numbers():
    assert np.isnan(metrics.auroc([1, 1], [0.1, 0.2]))
    assert np.isnan(metrics.auprc([0, 0], [0.1, 0.2]))
    sensitivity, specificity = metrics.sensitivity_specificity([1, 1], [0.1, 0.9], threshold=0.5)
    assert sensitivity == 0.5
    assert np.isnan(specificity)


def test_auroc_and_auprc_agree_with_scikit_learn_also_with_ties():
    sklearn = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(3)
    for levels in (5, 50, 10_000):  # few levels give many ties
        truth = generator.random(400) < 0.3
        scores = np.round(generator.random(400) * levels + truth * levels / 3)
        assert metrics.auroc(truth, scores) == pytest.approx(sklearn.roc_auc_score(truth, scores))
        assert metrics.auprc(truth, scores) == pytest.approx(
            sklearn.average_precision_score(truth, scores)
        )


def test_calibration_error_is_the_gap_between_probability_and_frequency():
    # ten answers of 0.8, of which 6 come true: a gap of 0.2; ten of 0.1, one comes true: none
    truth = [1] * 6 + [0] * 4 + [1] + [0] * 9
    probabilities = [0.8] * 10 + [0.1] * 10
    assert metrics.expected_calibration_error(truth, probabilities) == pytest.approx(0.1)
    assert metrics.expected_calibration_error([1], [1.0]) == 0.0  # 1.0 belongs to the last bin


def test_threshold_itself_is_positive():
    assert metrics.sensitivity_specificity([1, 0], [0.5, 0.5], threshold=0.5) == (1.0, 0.0)


def test_bootstrap_covers_a_mean_as_theory_says():
    values = np.random.default_rng(0).normal(10, 2, 400)
    low, high = metrics.bootstrap_interval(lambda i: float(values[i].mean()), 400, seed=1)
    # 1.96 standard errors either way
    assert low == pytest.approx(values.mean() - 1.96 * values.std() / 20, abs=0.03)
    assert high == pytest.approx(values.mean() + 1.96 * values.std() / 20, abs=0.03)
    assert (low, high) == metrics.bootstrap_interval(lambda i: float(values[i].mean()), 400, seed=1)


def test_bootstrap_without_a_number_says_so():
    assert np.isnan(metrics.bootstrap_interval(lambda _: float("nan"), 5)).all()
    assert np.isnan(metrics.bootstrap_interval(lambda _: 1.0, 0)).all()


def _image(true, true_labels, boxes, labels, scores):
    return ImageBoxes(
        np.asarray(true, float).reshape(-1, 4),
        np.asarray(true_labels, int),
        np.asarray(boxes, float).reshape(-1, 4),
        np.asarray(labels, int),
        np.asarray(scores, float),
    )


def test_one_true_box_is_hit_once():
    box = [0, 0, 10, 10]
    found = match(_image([box], [1], [box, box], [1, 1], [0.3, 0.9]), 1, iou=0.5)
    assert found.scores.tolist() == [0.9, 0.3]
    assert found.hits.tolist() == [True, False]
    assert found.truths == 1


def test_a_box_of_another_label_is_no_hit():
    found = match(_image([[0, 0, 9, 9]], [1], [[0, 0, 9, 9]], [2], [0.9]), 2, iou=0.5)
    assert found.hits.tolist() == [False]
    assert found.truths == 0


@pytest.mark.parametrize(("width", "hit"), [(5.0, True), (4.9, False)])
def test_overlap_of_exactly_the_threshold_is_a_hit(width, hit):
    found = match(_image([[0, 0, 10, 10]], [1], [[0, 0, width, 10]], [1], [0.9]), 1, iou=0.5)
    assert found.hits.tolist() == [hit]


def test_average_precision_of_a_hand_worked_case():
    # a hit, a miss, a hit of two true boxes: precision 1 up to recall 1/2, then 2/3
    boxes = [[0, 0, 10, 10], [50, 50, 60, 60], [20, 20, 30, 30]]
    image = _image([boxes[0], boxes[2]], [1, 1], boxes, [1, 1, 1], [0.9, 0.8, 0.7])
    expected = (51 * 1 + 50 * 2 / 3) / 101
    assert average_precision([match(image, 1, iou=0.5)]) == pytest.approx(expected)


def test_average_precision_without_detections_is_zero_and_without_truth_no_number():
    nothing = _image([], [], [], [], [])
    missed = _image([[0, 0, 1, 1]], [1], [], [], [])
    assert average_precision([match(missed, 1, iou=0.5)]) == 0.0
    assert np.isnan(average_precision([match(nothing, 1, iou=0.5)]))
    figures = detection_figures([missed], ["seen", "absent"])
    assert figures.mean_ap50 == 0.0  # the absent label does not drag the mean
    assert np.isnan(figures.ap50["absent"])
    assert np.isnan(detection_figures([nothing], ["absent"]).mean_ap)


def _random_images(count):
    generator = np.random.default_rng(11)
    for _ in range(count):
        truth = generator.integers(0, 4)
        corner = generator.uniform(0, 60, (truth, 2))
        true = np.concatenate([corner, corner + generator.uniform(8, 40, (truth, 2))], axis=1)
        labels = generator.integers(1, 4, truth)
        moved = true + generator.normal(0, 4, true.shape)
        stray = generator.uniform(0, 50, (3, 2))
        boxes = np.concatenate([moved, np.concatenate([stray, stray + 20], axis=1)])
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
        guessed = np.concatenate([labels, generator.integers(1, 4, 3)])
        # one decimal: scores repeat within and across images
        scores = np.round(generator.random(len(boxes)), 3)
        yield ImageBoxes(true, labels, boxes, guessed, scores)


def test_detection_figures_agree_with_pycocotools():
    coco = pytest.importorskip("pycocotools.coco")
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    images = list(_random_images(60))

    def xywh(box):
        return [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()]

    truth, found = [], []
    for number, image in enumerate(images, start=1):
        for box, label in zip(image.true_boxes, image.true_labels, strict=True):
            truth.append(
                {
                    "id": len(truth) + 1,
                    "image_id": number,
                    "category_id": int(label),
                    "bbox": xywh(box),
                    "area": float(np.prod(box[2:] - box[:2])),
                    "iscrowd": 0,
                }
            )
        for box, label, score in zip(image.boxes, image.labels, image.scores, strict=True):
            found.append(
                {
                    "image_id": number,
                    "category_id": int(label),
                    "bbox": xywh(box),
                    "score": float(score),
                }
            )
    with contextlib.redirect_stdout(io.StringIO()):
        reference = coco.COCO()
        reference.dataset = {
            "info": {},
            "images": [{"id": number} for number in range(1, len(images) + 1)],
            "categories": [{"id": label} for label in (1, 2, 3)],
            "annotations": truth,
        }
        reference.createIndex()
        judged = evaluation.COCOeval(reference, reference.loadRes(found), "bbox")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    figures = detection_figures(images, ["a", "b", "c"])
    assert figures.mean_ap == pytest.approx(judged.stats[0], abs=1e-3)
    assert figures.mean_ap50 == pytest.approx(judged.stats[1], abs=1e-3)
    # precision[iou 0.5, recall, label, all areas, 100 detections]
    by_label = judged.eval["precision"][0, :, :, 0, 2].mean(axis=0)
    assert list(figures.ap50.values()) == pytest.approx(by_label.tolist(), abs=1e-3)
