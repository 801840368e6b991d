"""The folder that `python -m training.prepare` writes and the trainers read.

    images/<ImageID>   16-bit grey PNG: pixels as production sees them, 0 to 65,535 for 0 to 1
    dataset.json       the studies, the exclusions, and what the images were made with

An image carries the pipeline version that made it, so that a published PNG, whose values mean
something else, is never taken for a prepared one.
"""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lambdas.shared.boxes import UnitBox
from lambdas.shared.radiograph import PIPELINE_VERSION, FloatImage
from training.errors import StalePreparedError
from training.studies import Dataset, Exclusion, LabelledBox, Study

DATASET_FILE: Final = "dataset.json"
IMAGES_FOLDER: Final = "images"
FORMAT_VERSION: Final = 1
"""Of dataset.json."""

WHITE: Final = 65_535
"""The sample that stands for 1.0."""

_MARK: Final = "cxr-batch-pipeline"
"""PNG text chunk that holds the pipeline version."""

_ZLIB_LEVEL: Final = 1
"""Noise hardly compresses: level 6 takes several times as long for a few per cent."""


def encode_pixels(pixels: FloatImage) -> bytes:
    """A prepared image's file from (H, W) float32 in [0, 1]; steps of 1/65,535 are kept."""
    mark = PngInfo()
    mark.add_text(_MARK, str(PIPELINE_VERSION))
    samples = np.rint(np.clip(pixels, 0.0, 1.0) * WHITE).astype(np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(samples).save(buffer, "PNG", pnginfo=mark, compress_level=_ZLIB_LEVEL)
    return buffer.getvalue()


def load_pixels(study: Study) -> FloatImage:
    """A prepared study's pixels, ready for `lambdas.shared.preprocess.fit`.

    Returns:
        (H, W) float32 in [0, 1], MONOCHROME2 sense (bone bright).

    Raises:
        StalePreparedError: The image was not written by `training.prepare`, or by that of another
            pipeline version, or is broken.
    """
    try:
        with Image.open(study.image, formats=["PNG"]) as image:
            version = image.info.get(_MARK)
            samples = np.asarray(image) if version == str(PIPELINE_VERSION) else None
    except (OSError, SyntaxError) as error:
        raise StalePreparedError(
            f"{study.image} cannot be read ({error}); run training.prepare again"
        ) from error
    if samples is None:
        raise StalePreparedError(
            f"{study.image} is "
            + (f"from pipeline version {version}" if version else "no prepared image")
            + f", expected version {PIPELINE_VERSION}; run training.prepare first"
        )
    return samples.astype(np.float32) / np.float32(WHITE)


def save_dataset(
    root: Path,
    dataset: Dataset,
    *,
    facts: Mapping[str, Any],
    image_facts: Mapping[str, Mapping[str, Any]],
) -> None:
    """Write dataset.json, whole or not at all.

    Args:
        root: The prepared folder.
        dataset: Studies and exclusions; where the studies' images lay does not matter.
        facts: Of the preparation: long side, source.
        image_facts: Of each prepared image, by image_id.
    """
    document = {
        "format": FORMAT_VERSION,
        "pipeline_version": PIPELINE_VERSION,
        **facts,
        "studies": [_to_json(study, image_facts[study.image_id]) for study in dataset.studies],
        "exclusions": [
            {"image_id": exclusion.image_id, "reason": exclusion.reason}
            for exclusion in dataset.exclusions
        ],
    }
    write_whole(root / DATASET_FILE, json.dumps(document, indent=1, ensure_ascii=False).encode())


def load_prepared(root: Path) -> Dataset:
    """The data set in a prepared folder; each study's `image` is its prepared file.

    Raises:
        StalePreparedError: The folder is incomplete, or from another version of the pipeline.
    """
    path = root / DATASET_FILE
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise StalePreparedError(
            f"{path} cannot be read ({error.strerror}); write it with "
            "python -m training.prepare --data DIR --out DIR, or run that again if it was stopped"
        ) from error
    except ValueError as error:
        raise StalePreparedError(f"{path} is not JSON ({error}); prepare again") from error
    versions = (document.get("format"), document.get("pipeline_version"))
    if versions != (FORMAT_VERSION, PIPELINE_VERSION):
        raise StalePreparedError(
            f"{path} is of format {versions[0]} and pipeline version {versions[1]}, this code "
            f"reads {FORMAT_VERSION} and {PIPELINE_VERSION}; run training.prepare again"
        )
    studies = tuple(_from_json(entry, root) for entry in document["studies"])
    missing = [study.image_id for study in studies if not Path(study.image).is_file()]
    if missing:
        raise StalePreparedError(
            f"{root} lacks {len(missing)} of {len(studies)} images, such as {missing[0]}; "
            "copy it whole or run training.prepare again"
        )
    exclusions = tuple(Exclusion(e["image_id"], e["reason"]) for e in document["exclusions"])
    return Dataset(studies, exclusions, root)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is whole or absent, whatever happens meanwhile."""
    # one name for each file: what a killed run left behind, the next run overwrites
    partial = path.with_name(f".{path.name}.part")
    partial.write_bytes(data)
    partial.replace(path)


def _to_json(study: Study, image_facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "study_id": study.study_id,
        "image_id": study.image_id,
        "patient_id": study.patient_id,
        "split": study.split,
        "view": study.view,
        "sex": study.sex,
        "age": study.age,
        "labels": sorted(study.labels),
        "groups": sorted(study.groups),
        "abnormal": study.abnormal,
        "boxes": [
            {
                "label": drawn.label,
                "reader": drawn.reader,
                "box": [drawn.box.x_min, drawn.box.y_min, drawn.box.x_max, drawn.box.y_max],
            }
            for drawn in study.boxes
        ],
        "image": f"{IMAGES_FOLDER}/{study.image_id}",
        "image_facts": dict(image_facts),
    }


def _from_json(entry: Mapping[str, Any], root: Path) -> Study:
    return Study(
        study_id=entry["study_id"],
        image_id=entry["image_id"],
        patient_id=entry["patient_id"],
        split=entry["split"],
        view=entry["view"],
        sex=entry["sex"],
        age=entry["age"],
        labels=frozenset(entry["labels"]),
        groups=frozenset(entry["groups"]),
        abnormal=entry["abnormal"],
        boxes=tuple(
            LabelledBox(drawn["label"], UnitBox(*drawn["box"]), drawn["reader"])
            for drawn in entry["boxes"]
        ),
        image=root / entry["image"],
    )
