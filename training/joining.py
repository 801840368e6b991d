"""One study out of the two annotation files, or the reason why it cannot be used."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from lambdas.shared.boxes import UnitBox
from lambdas.shared.labels import NORMAL
from training.annotations import Annotations, sentence_case
from training.sources import Source
from training.studies import SPLITS, VIEWS, LabelledBox, Study

BOX_TOLERANCE: Final = 1e-4
"""An edge this far outside [0, 1] is rounding (a third of a pixel at 3,000) and is clipped."""


class UnusableStudyError(Exception):
    """A study cannot be used; the message is the exclusion's reason. Never leaves the loader."""


def join_study(report: Mapping[str, Any], annotations: Annotations, source: Source) -> Study:
    """One study of the JSON joined with its rows of the table.

    Args:
        report: The study's entry in the JSON.
        annotations: The files that it comes from.
        source: Where the image lies.

    Raises:
        UnusableStudyError: The study cannot be used; the message is the reason.
    """
    study_id, image_id = report.get("StudyID"), report.get("ImageID")
    if not study_id or not image_id:
        raise UnusableStudyError("StudyID or ImageID is missing in the JSON")
    rows = annotations.rows.get(study_id)
    if not rows:
        raise UnusableStudyError(
            f"study {study_id} is not in master_table.csv, so its split is unknown"
        )
    if image_id not in annotations.images:
        raise UnusableStudyError("the image file is missing from PadChest_GR/")
    split = _same(rows, "split")
    if split not in SPLITS:
        raise UnusableStudyError(f"split is {split!r}, expected one of {', '.join(SPLITS)}")
    if _same(rows, "ImageID") != image_id:
        raise UnusableStudyError(
            f"master_table.csv names the image {rows[0]['ImageID']} for this study"
        )
    patient_id = _same(rows, "PatientID")
    if not patient_id:
        raise UnusableStudyError(
            "PatientID is empty, so leakage between splits cannot be ruled out"
        )
    view = annotations.projections.get(image_id)
    if view is not None and view not in VIEWS:
        raise UnusableStudyError(f"projection is {view!r}, expected one of {', '.join(VIEWS)}")
    findings = report.get("findings")
    if not isinstance(findings, list) or not all(isinstance(f, dict) for f in findings):
        raise UnusableStudyError("findings is no list of findings")
    boxes, reported = _findings(findings, annotations.groups)
    labels = frozenset(sentence_case(row["label"]) for row in rows if row["label"].strip())
    return Study(
        study_id=study_id,
        image_id=image_id,
        patient_id=patient_id,
        split=split,
        view=view,
        sex=_sex(rows[0]["PatientSex_DICOM"]),
        age=_age(rows[0]["PatientAge"]),
        labels=labels | reported,  # a label that one of the files lacks is still a finding
        groups=frozenset(annotations.groups[label] for label in labels | reported),
        abnormal=_abnormal(labels, reported),
        boxes=boxes,
        image=source.locate(annotations.images[image_id][0]),
    )


def _abnormal(labels: frozenset[str], reported: frozenset[str]) -> bool:
    """Whether a study is abnormal; the table and the JSON must say the same."""
    if not labels:
        raise UnusableStudyError("master_table.csv has no label for this study")
    if NORMAL in labels and len(labels) > 1:
        raise UnusableStudyError(f"labelled Normal and also {', '.join(sorted(labels - {NORMAL}))}")
    if (NORMAL in labels) == bool(reported):
        raise UnusableStudyError(
            f"master_table.csv says {', '.join(sorted(labels))} but the JSON has "
            f"{'abnormal findings' if reported else 'none'}"
        )
    return NORMAL not in labels


def _findings(
    findings: Sequence[Mapping[str, Any]], groups: Mapping[str, str]
) -> tuple[tuple[LabelledBox, ...], frozenset[str]]:
    """Boxes of both readers and labels, of the abnormal findings of one study."""
    boxes: dict[LabelledBox, None] = {}
    labels: set[str] = set()
    for number, finding in enumerate(findings, 1):
        if not finding.get("abnormal"):
            continue  # nothing to localise; its boxes and labels are not even written
        names = finding.get("labels")
        if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
            raise UnusableStudyError(f"finding {number} is abnormal but has no labels")
        for name in names:
            if sentence_case(name) not in groups or sentence_case(name) == NORMAL:
                raise UnusableStudyError(
                    f"finding {number} has the unknown label {name!r}: master_table.csv puts it "
                    "in no group"
                )
        labels.update(map(sentence_case, names))
        for reader, field in enumerate(("boxes", "extra_boxes"), 1):
            drawn = finding.get(field, [])
            if not isinstance(drawn, list):
                raise UnusableStudyError(f"finding {number}: {field} is no list of boxes")
            for edges in drawn:
                # one bad box costs the study: without it a finding would be taught as background
                box = _box(edges, f"finding {number}, {field}")
                boxes.update((LabelledBox(sentence_case(n), box, reader), None) for n in names)
    return tuple(boxes), frozenset(labels)


def _box(edges: Any, place: str) -> UnitBox:
    """A box from [x1, y1, x2, y2]; edges beyond the image by rounding alone are clipped."""
    if (
        not isinstance(edges, list)
        or len(edges) != 4
        or not all(isinstance(e, (int, float)) and not isinstance(e, bool) for e in edges)
    ):
        raise UnusableStudyError(f"{place}: {edges!r} is no box of four numbers")
    if not all(-BOX_TOLERANCE <= edge <= 1 + BOX_TOLERANCE for edge in edges):
        raise UnusableStudyError(f"{place}: box {edges} leaves [0, 1]")
    x_min, y_min, x_max, y_max = (min(1.0, max(0.0, float(edge))) for edge in edges)
    if not (x_min < x_max and y_min < y_max):
        raise UnusableStudyError(
            f"{place}: box {edges} is empty or inside out (x2 <= x1 or y2 <= y1)"
        )
    return UnitBox(x_min, y_min, x_max, y_max)


def _same(rows: Sequence[Mapping[str, str]], column: str) -> str:
    """A column's value, which all rows of one study must share."""
    values = {row[column].strip() for row in rows}
    if len(values) > 1:
        raise UnusableStudyError(
            f"master_table.csv gives several values of {column}: {sorted(values)}"
        )
    return values.pop()


def _sex(text: str) -> str | None:
    return text.strip().upper() if text.strip().upper() in ("F", "M") else None


def _age(text: str) -> int | None:
    """Years from `62`, `62.0` or DICOM's `062Y`."""
    match = re.fullmatch(r"(\d{1,3})(\.0*)?Y?", text.strip())
    return int(match[1]) if match else None


def contradictions(report: Mapping[str, Any], annotations: Annotations) -> Iterator[str]:
    """What the two files say differently of a study that can be used all the same."""
    listed = {sentence_case(row["label"]) for row in annotations.rows[report["StudyID"]]} - {NORMAL}
    found = {
        sentence_case(label)
        for finding in report["findings"]
        if finding.get("abnormal")
        for label in finding["labels"]
    }
    for labels, place in ((found - listed, "the JSON"), (listed - found, "master_table.csv")):
        if labels:
            yield f"{report['ImageID']}: {', '.join(sorted(labels))} in {place} alone"
