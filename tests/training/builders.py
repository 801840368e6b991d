"""A small data set in PadChest-GR's published files and columns, whole or with one thing wrong."""

import csv
import functools
import io
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from training.annotations import TABLE_COLUMNS

GROUPS = {
    "cardiomegaly": "cardiomegaly",
    "aortic elongation": "aortic elongation",
    "scoliosis": "scoliosis",
    "apical pleural thickening": "pleural thickening",
}
"""Fine labels of the fixture and their label_group, in the lower case that is published."""

REPORTS_NAME = "grounded_reports_20240819.json"


@dataclass
class PublishedFiles:
    """The content of the published files; tests damage it before it is written."""

    reports: list[dict[str, Any]] = field(default_factory=list)
    rows: list[dict[str, str]] = field(default_factory=list)
    images: dict[str, bytes] = field(default_factory=dict)
    projections: dict[str, str] = field(default_factory=dict)

    def write(self, root: Path, *, zipped: bool = False, folder: str = "PadChest_GR") -> Path:
        """Write the files as they are published and return the folder."""
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / REPORTS_NAME).write_text(json.dumps(self.reports))
        table = _csv(self.rows, list(self.rows[0]))
        if zipped:
            with zipfile.ZipFile(root / "master_table.csv.zip", "w") as archive:
                archive.writestr("master_table.csv", table)
        else:
            (root / "master_table.csv").write_text(table)
        if self.projections:
            rows = [{"ImageID": i, "Projection": p} for i, p in self.projections.items()]
            name = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
            (root / name).write_text(_csv(rows, ["ImageID", "Projection"]))
        for name, data in self.images.items():
            (root / folder / name).write_bytes(data)
        return root

    def rows_of(self, index: int) -> list[dict[str, str]]:
        """The table's rows of the study at this place in the JSON."""
        return [row for row in self.rows if row["StudyID"] == self.reports[index]["StudyID"]]

    def finding(self, index: int) -> dict[str, Any]:
        """The first finding of the study at this place in the JSON."""
        first: dict[str, Any] = self.reports[index]["findings"][0]
        return first


def published(*, train: int = 6, validation: int = 2, test: int = 2) -> PublishedFiles:
    """Studies in three splits; every second one, from the first on, is abnormal."""
    files = PublishedFiles()
    splits = ["train"] * train + ["validation"] * validation + ["test"] * test
    for index, split in enumerate(splits):
        add_study(
            files, split=split, label=list(GROUPS)[index // 2 % 4] if index % 2 == 0 else None
        )
    return files


def add_study(
    files: PublishedFiles, *, split: str, label: str | None, patient_id: str | None = None
) -> str:
    """Append a study with one finding (None: normal) and its image; returns its ImageID."""
    index = len(files.reports)
    study_id = f"2168401113669640136860425485325320{index:05d}"
    image_id = f"{study_id}_{'abcdefghij'[index % 10] * 6}.png"
    # 36 digits, as published
    patient_id = patient_id or f"8398604886942923316379882356814{index:05d}"
    finding: dict[str, Any] = {
        "sentence_en": f"{label or 'No findings'}.",
        "sentence_es": "Texto.",
        "abnormal": label is not None,
    }
    if label is not None:
        finding |= {
            "boxes": [[0.2, 0.25, 0.6, 0.75]],
            "extra_boxes": [[0.2, 0.25, 0.6, 0.5]],
            "labels": [label],
            "locations": ["cardiac"],
            "progression": None,
        }
    files.reports.append(
        {
            "StudyID": study_id,
            "ImageID": image_id,
            "PreviousStudyID": None,
            "PreviousImageID": None,
            "findings": [finding],
        }
    )
    row = dict.fromkeys(TABLE_COLUMNS, "")
    row |= {
        "StudyID": study_id,
        "ImageID": image_id,
        "label": label or "Normal",
        "label_group": GROUPS[label] if label else "Normal",
        "boxes_count": "1" if label else "0",
        "extra_boxes_count": "1" if label else "0",
        "locations": "['cardiac']" if label else "",
        "split": split,
        "PatientID": patient_id,
        "PatientSex_DICOM": "FM"[index % 2],
        "PatientAge": f"{40 + index}.0",
    }
    files.rows.append(row)
    files.images[image_id] = film_png(seed=index)
    return image_id


@functools.cache
def film_png(
    *,
    seed: int,
    height_px: int = 240,
    width_px: int = 208,
    bits: int = 16,
    inverted: bool = False,
    compress_level: int = 6,
) -> bytes:
    """A grey PNG with two dark lungs in a bright oval, and noise; no anatomy, but distinct."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : height_px * 1j, -1 : 1 : width_px * 1j]
    body = np.clip(1.2 - x**2 - y**2, 0, 1) * 0.8
    lungs = sum(np.exp(-(((x - side) / 0.22) ** 2 + (y / 0.5) ** 2)) for side in (-0.45, 0.45))
    shade = body * (1 - 0.6 * lungs) + generator.normal(0, 0.03, (height_px, width_px))
    if inverted:
        shade = 0.8 - shade
    top = 2**bits - 1
    samples = np.clip(shade * top, 0, top).astype(np.uint16 if bits == 16 else np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(samples).save(buffer, "PNG", compress_level=compress_level)
    return buffer.getvalue()


def _csv(rows: list[dict[str, str]], columns: list[str]) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
