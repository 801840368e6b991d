"""Load PadChest-GR as it is on disk or in S3, and say which studies cannot be used and why.

This is the door for trainers and evaluation: `load_dataset` for the published files,
`load_prepared` and `load_pixels` for the folder that `python -m training.prepare` wrote.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lambdas.shared.labels import DETECTOR_LABELS, NORMAL
from training.annotations import Annotations, read_annotations
from training.errors import DatasetError, EmptyDatasetError, PatientLeakError
from training.joining import UnusableStudyError, contradictions, join_study
from training.prepared import load_pixels, load_prepared
from training.sources import Source, open_source, read_file
from training.studies import (
    SPLITS,
    VIEWS,
    Dataset,
    Exclusion,
    LabelledBox,
    Study,
    balanced,
)

__all__ = [
    "NORMAL",
    "SPLITS",
    "VIEWS",
    "Dataset",
    "Exclusion",
    "Inspection",
    "LabelledBox",
    "Study",
    "balanced",
    "class_list",
    "inspect_dataset",
    "load_dataset",
    "load_pixels",
    "load_prepared",
    "read_file",
]

PNG_END: Final = b"\x00\x00\x00\x00IEND\xaeB`\x82"
"""The last 12 bytes of every whole PNG; ISO/IEC 15948 11.2.5."""

CHECKS_AT_ONCE: Final = 16
"""Ends of files read in parallel: on S3 each is a round trip."""

_MAX_NAMED: Final = 5
"""How many offenders an error names."""


@dataclass(frozen=True)
class Inspection:
    """All that loading finds out, also of a data set that cannot be used.

    Attributes:
        dataset: Studies and exclusions.
        faults: What `load_dataset` refuses the data set for.
        remarks: Contradictions that do not hinder use, a sentence each.
        annotations: The files as parsed.
    """

    dataset: Dataset
    faults: tuple[DatasetError, ...]
    remarks: tuple[str, ...]
    annotations: Annotations


def load_dataset(root: Path | str, *, check_images: bool = True) -> Dataset:
    """Load PadChest-GR, or phantoms written in its format.

    Args:
        root: Folder or `s3://bucket/prefix` with grounded_reports_<date>.json, master_table.csv
            (or .csv.zip) and PadChest_GR/*.png.
        check_images: Whether to look at the end of every image file for truncation (existence is
            always checked). Decoding is `training.prepare`'s check.

    Raises:
        DatasetError: The data set as a whole cannot be used; the subclass says why.
    """
    inspection = inspect_dataset(root, check_images=check_images)
    if inspection.faults:
        raise inspection.faults[0]
    return inspection.dataset


def inspect_dataset(root: Path | str, *, check_images: bool = True) -> Inspection:
    """Load a data set and collect its faults rather than raise the first.

    Raises:
        DatasetError: The annotation files are absent or cannot be parsed.
    """
    source = open_source(root)
    annotations = read_annotations(source)
    repeated = _repeated(annotations.reports)
    truncated = _truncated(annotations, source) if check_images else frozenset()
    studies: list[Study] = []
    exclusions: list[Exclusion] = []
    remarks: list[str] = []
    for number, report in enumerate(annotations.reports):
        try:
            if number in repeated:
                raise UnusableStudyError(repeated[number])
            study = join_study(report, annotations, source)
            if study.image_id in truncated:
                raise UnusableStudyError("the PNG file is truncated or is no PNG; fetch it again")
        except UnusableStudyError as problem:
            exclusions.append(Exclusion(_name(report, number), str(problem)))
        else:
            studies.append(study)
            remarks.extend(contradictions(report, annotations))
    reported = {report.get("StudyID") for report in annotations.reports}
    exclusions.extend(
        Exclusion(rows[0]["ImageID"] or study_id, "in master_table.csv but not in the JSON")
        for study_id, rows in annotations.rows.items()
        if study_id not in reported
    )
    dataset = Dataset(
        studies=tuple(sorted(studies, key=lambda study: study.image_id)),
        exclusions=tuple(sorted(exclusions, key=lambda e: (e.image_id, e.reason))),
        root=root,
    )
    return Inspection(dataset, tuple(_faults(dataset, annotations)), tuple(remarks), annotations)


def class_list(n: int) -> tuple[str, ...]:
    """Labels of the detector variant with `n` classes, in the order of its outputs.

    Raises:
        ValueError: No such variant.
    """
    if n not in DETECTOR_LABELS:
        raise ValueError(f"no detector has {n} classes, expected one of {sorted(DETECTOR_LABELS)}")
    return tuple(DETECTOR_LABELS[n])


def patients_in_several_splits(annotations: Annotations) -> dict[str, tuple[str, ...]]:
    """Splits by PatientID, of the patients that stand in more than one."""
    splits: dict[str, set[str]] = {}
    for rows in annotations.rows.values():
        for row in rows:
            splits.setdefault(row["PatientID"], set()).add(row["split"])
    return {patient: tuple(sorted(s)) for patient, s in sorted(splits.items()) if len(s) > 1}


def _faults(dataset: Dataset, annotations: Annotations) -> Iterator[DatasetError]:
    leaks = patients_in_several_splits(annotations)
    if leaks:
        shown = "; ".join(f"{p}: {', '.join(s)}" for p, s in list(leaks.items())[:_MAX_NAMED])
        yield PatientLeakError(
            f"patients in more than one split: {len(leaks)} ({shown}); what was learnt from them "
            "would be tested on them. Restore the split column as published"
        )
    if not dataset.studies:
        reasons = Counter(exclusion.reason for exclusion in dataset.exclusions)
        shown = "; ".join(f"{count} x {text}" for text, count in reasons.most_common(_MAX_NAMED))
        yield EmptyDatasetError(f"{dataset.root}: no study can be used ({shown or 'none listed'})")


def _name(report: Mapping[str, Any], number: int) -> str:
    return str(report.get("ImageID") or report.get("StudyID") or f"entry {number} of the JSON")


def _repeated(reports: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    """Reason by position, for studies and images that stand in the JSON more than once."""
    reasons: dict[int, str] = {}
    for field in ("StudyID", "ImageID"):
        positions: dict[Any, list[int]] = {}
        for number, report in enumerate(reports):
            if report.get(field):
                positions.setdefault(report[field], []).append(number)
        for value, (first, *others) in positions.items():
            if not others:
                continue
            if all(reports[number] == reports[first] for number in others):
                for number in others:
                    reasons[number] = f"{field} {value} stands twice in the JSON; the first is kept"
            else:
                for number in (first, *others):
                    reasons[number] = (
                        f"{field} {value} stands in the JSON {len(others) + 1} times with "
                        "different content, and none can be told right"
                    )
    return reasons


def _truncated(annotations: Annotations, source: Source) -> frozenset[str]:
    """File names of images that do not end as a PNG does."""
    with ThreadPoolExecutor(CHECKS_AT_ONCE) as pool:
        paths = [path for path, entry in annotations.images.values() if entry.size_bytes]
        ends = pool.map(lambda path: source.tail(path, len(PNG_END)), paths)
        bad = {path for path, end in zip(paths, ends, strict=True) if end != PNG_END}
    return frozenset(
        name
        for name, (path, entry) in annotations.images.items()
        if path in bad or not entry.size_bytes
    )
