"""PadChest-GR's files, filled with phantoms: grounded reports, master table, 16 bit PNGs.

Columns, keys and their order are those of the published release of 2024-08-19.
"""

import csv
import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lambdas.shared.boxes import UnitBox
from training.annotations import TABLE_COLUMNS
from training.phantoms import vocabulary as v
from training.phantoms.dicom import write_dicom
from training.phantoms.draw import Finding, Phantom, draw_study
from training.phantoms.geometry import stream
from training.phantoms.plan import StudyPlan, plan_study, seat_study
from training.phantoms.readers import FIRST_READER_SPREAD, MISSED_SHARE, read_box, reader_spread

REPORTS_NAME = "grounded_reports_20240819.json"
TABLE_NAME = "master_table.csv"
PARENT_TABLE_NAME = "PADCHEST_chest_x_ray_images_labels.csv"
PARENT_COLUMNS = ("ImageID", "StudyID", "PatientID", "Projection")
"""Of PadChest's own table, where the view of PadChest-GR's images stands."""

IMAGES_NAME = "PadChest_GR"
DICOM_NAME = "DICOM"

UNBOXED_SHARE = 0.01
"""Share of positive sentences that neither reader boxes: `boxes: []` occurs in the release."""

BOX_DIGITS = 6

CONTRADICTED = (
    frozenset(v.ENTRIES),
    frozenset({v.CARDIOMEGALY, v.AORTIC_ELONGATION, v.AORTIC_ATHEROMATOSIS, v.HILAR_ENLARGEMENT}),
    frozenset(
        {
            v.ALVEOLAR_PATTERN, v.INTERSTITIAL_PATTERN, v.LAMINAR_ATELECTASIS, v.NODULE,
            v.AIR_TRAPPING, v.PLEURAL_EFFUSION, v.APICAL_THICKENING,
        }
    ),
    frozenset({v.PLEURAL_EFFUSION, v.COSTOPHRENIC_BLUNTING}),
)  # fmt: skip
"""Labels beside which each of NORMAL_SENTENCES would be untrue."""


@dataclass(frozen=True, slots=True)
class StudyName:
    """Identifiers of a study; decimal strings too long for any number type."""

    study_id: str
    image_id: str
    patient_id: str
    taken: date


@dataclass(frozen=True)
class StudyRecord:
    """What the tables say of one study."""

    report: dict[str, Any]
    rows: tuple[dict[str, str], ...]
    view: str


def name_study(*, seed: int, index: int) -> StudyName:
    """Identifiers and date of a study: obviously made up, stable for (seed, index)."""
    seat = seat_study(seed=seed, index=index)
    rng = stream(seed, index, "name")
    digits = "".join(str(d) for d in rng.integers(0, 10, 30))
    suffix = "-2" if rng.random() < 0.02 else ""
    study_id = f"99{seed % 1000:03d}{index:07d}{digits}{suffix}"
    letters = "".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz0123456789"), 6))
    first = date(2015, 1, 1) + timedelta(
        days=int(stream(seed, seat.patient, "date").integers(0, 365))
    )
    return StudyName(
        study_id=study_id,
        image_id=f"{study_id}_{letters}.png",
        patient_id=f"99{seed % 1000:03d}{seat.patient:010d}",
        taken=first.replace(year=first.year + seat.visit, day=min(first.day, 28)),
    )


def describe_study(phantom: Phantom) -> StudyRecord:
    """Readers' boxes, sentences and table rows of a drawn study.

    Args:
        phantom: From `draw_study`.

    Returns:
        The report's entry and the table's rows: one per sentence and label, or a single row
        labelled Normal.
    """
    plan = phantom.plan
    seat = seat_study(seed=plan.seed, index=plan.index)
    name = name_study(seed=plan.seed, index=plan.index)
    prior = None if seat.previous is None else name_study(seed=plan.seed, index=seat.previous)
    before = None if seat.previous is None else plan_study(seed=plan.seed, index=seat.previous)
    shared = {
        "StudyID": name.study_id,
        "ImageID": name.image_id,
        "prior_study": prior.study_id if prior else "",
        "prior_imageID": prior.image_id if prior else "",
        "study_is_benchmark": "False",
        "study_is_validation": "False",
        "split": seat.split,
        "PatientID": name.patient_id,
        "patient_is_benchmark": "False",
        "PatientBirth": str(plan.patient.birth_year),
        "PatientSex_DICOM": plan.patient.sex,
        "StudyDate_DICOM": name.taken.strftime("%Y%m%d"),
        "StudyDate": name.taken.isoformat(),
        "PatientAge": str(plan.age),
        "Year": str(name.taken.year),
    }
    findings = []
    rows = []
    rng = stream(plan.seed, plan.index, "readers")
    for finding in phantom.findings:
        said = _grounded_finding(rng, finding, before)
        findings.append(said)
        row = shared | {
            "label": finding.label,
            "label_group": v.ENTRIES[finding.label].group,
            "boxes_count": str(len(said["boxes"])),
            "extra_boxes_count": str(len(said["extra_boxes"])),
            "locations": str(said["locations"]),
            "progression_status": said["progression"] or "",
            "sentence_en": said["sentence_en"],
            "sentence_es": said["sentence_es"],
        }
        rows.append(_in_order(row))
    if not rows:
        rows.append(_in_order(shared | {"label": "Normal", "label_group": "Normal"}))
    findings += _normal_sentences(rng, plan)
    report = {
        "StudyID": name.study_id,
        "ImageID": name.image_id,
        "PreviousStudyID": prior.study_id if prior else None,
        "PreviousImageID": prior.image_id if prior else None,
        "findings": findings,
    }
    return StudyRecord(report, tuple(rows), plan.view)


def _in_order(row: dict[str, str]) -> dict[str, str]:
    return {column: row.get(column, "") for column in TABLE_COLUMNS}


def _grounded_finding(
    rng: np.random.Generator, finding: Finding, before: StudyPlan | None
) -> dict[str, Any]:
    """A positive sentence as the reports hold it."""
    entry = v.ENTRIES[finding.label]
    unboxed = rng.random() < UNBOXED_SHARE
    spread = reader_spread(entry.reader_iou)
    boxes, extra = [], []
    for truth in finding.boxes:
        first = read_box(rng, truth, spread=FIRST_READER_SPREAD)
        second = read_box(rng, truth, spread=spread)
        missed = rng.random() < MISSED_SHARE
        if not unboxed:
            boxes.append(_edges(first))
            if not missed:
                extra.append(_edges(second))
    return {
        "sentence_en": entry.english.format(side=v.SIDE_ENGLISH[finding.side]),
        "sentence_es": entry.spanish.format(side=v.SIDE_SPANISH[finding.side]),
        "abnormal": True,
        "boxes": boxes,
        "extra_boxes": extra,
        "labels": [finding.label],
        "locations": _locations(entry.places, finding.side),
        "progression": _progression(finding, before),
    }


def _edges(box: UnitBox) -> list[float]:
    """x1, y1, x2, y2."""
    return [round(e, BOX_DIGITS) for e in (box.x_min, box.y_min, box.x_max, box.y_max)]


def _locations(places: Sequence[str], side: str) -> list[str]:
    sides = {"both": ["bilateral"], "": []}.get(side, [side])
    return [*places, *sides]


def _progression(finding: Finding, before: StudyPlan | None) -> str | None:
    """Change since the prior study; None where there is none."""
    if before is None:
        return None
    if finding.label not in before.signs:
        return "new"
    change = finding.severity - before.severity(finding.label)
    if abs(change) < 0.12:
        return "stable"
    return "worsening" if change > 0 else "improving"


def _normal_sentences(rng: np.random.Generator, plan: StudyPlan) -> list[dict[str, Any]]:
    """Sentences without an abnormality, none of which contradicts a finding."""
    chosen = [
        sentence
        for sentence, untrue in zip(v.NORMAL_SENTENCES, CONTRADICTED, strict=True)
        if not untrue & set(plan.signs) and rng.random() < 0.45
    ]
    if not chosen and not plan.signs:
        chosen = [v.NORMAL_SENTENCES[0]]
    return [{"sentence_en": en, "sentence_es": es, "abnormal": False} for en, es in chosen]


def write_study(
    index: int, *, out: Path, seed: int, size_px: int, dicom_share: float
) -> StudyRecord:
    """Draw one study and write its picture.

    Args:
        index: Study index.
        out: The data set's folder; its image folders exist.
        seed: The data set's seed.
        size_px: Long side of the picture.
        dicom_share: Chance that a DICOM file is written beside the PNG.

    Returns:
        What the tables say of it.
    """
    phantom = draw_study(plan_study(seed=seed, index=index), size_px=size_px)
    record = describe_study(phantom)
    write_png(out / IMAGES_NAME / record.report["ImageID"], phantom.pixels)
    if stream(seed, index, "dicom").random() < dicom_share:
        name = name_study(seed=seed, index=index)
        write_dicom(
            out / DICOM_NAME / f"{Path(name.image_id).stem}.dcm",
            phantom,
            patient_id=name.patient_id,
            study_date=name.taken,
        )
    return record


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write (H, W) uint16 as a 16 bit greyscale PNG, Pillow mode I;16."""
    # noise hardly compresses: matching longer strings costs twice the time and gains nothing
    Image.fromarray(pixels).save(path, compress_level=1, compress_type=zlib.Z_RLE)


def write_tables(out: Path, records: Iterable[StudyRecord]) -> None:
    """Write the grounded reports and both tables, studies in the order given."""
    kept = list(records)
    text = json.dumps([record.report for record in kept], ensure_ascii=False, indent=1)
    (out / REPORTS_NAME).write_text(text, encoding="utf-8")
    with (out / TABLE_NAME).open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, TABLE_COLUMNS)
        writer.writeheader()
        for record in kept:
            writer.writerows(record.rows)
    with (out / PARENT_TABLE_NAME).open("w", encoding="utf-8", newline="") as handle:
        parent = csv.DictWriter(handle, PARENT_COLUMNS, extrasaction="ignore")
        parent.writeheader()
        for record in kept:
            parent.writerow(record.rows[0] | {"Projection": record.view})
