"""Quality and format checks of a data set: what was looked for, what was found, what to do.

`fault`: training refuses the data set. `warning`: look before training. `note`: good to know.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from training.annotations import TABLE_COLUMNS, sentence_case
from training.data import Inspection
from training.errors import PatientLeakError
from training.explore_images import FilmFacts
from training.studies import SPLITS, VIEWS, Study

PUBLISHED_STUDIES: Final = {"train": 3185, "validation": 455, "test": 915}
"""PadChest-GR's splits; Castro et al. 2024."""

MIN_LEVELS: Final = 512
"""Fewer grey values than 9 bits hold: the film went through 8 bits somewhere."""

MAX_AT_HIGHEST: Final = 0.05
"""More of the film than this at the largest value is burnt out, or a large white border."""

INVERTED_CONTRAST: Final = -0.2
"""Lungs this much brighter than the mediastinum. Of 25 public films of six sources none is below
it, and 20 are when inverted; consolidated lungs come down to -0.15."""

MIN_LONG_SIDE_PX: Final = 1000
"""PadChest-GR's films are 1,650 px wide at least; less has been reduced by someone."""

MAX_BOX_AREA: Final = 0.9
MIN_BOX_AREA: Final = 0.0002
"""As parts of the image: a box of all or of nothing. The smaller is 35 px of 2,500 squared."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked for.

    Attributes:
        name: What should be so.
        status: `ok`, `note`, `warning` or `fault`.
        count: How many offend; 0 where all is well.
        meaning: What it means and what to do.
        examples: Some offenders.
    """

    name: str
    status: str
    count: int
    meaning: str
    examples: tuple[str, ...] = ()


def run_checks(inspection: Inspection, films: Mapping[str, FilmFacts]) -> list[Check]:
    """Every check, in the order of the report.

    Args:
        inspection: The data set, usable or not.
        films: Of the images that were looked at, by file name.
    """
    return [
        *_annotation_checks(inspection),
        *_box_checks(inspection),
        *_film_checks(inspection, films),
    ]


def duplicate_groups(films: Mapping[str, FilmFacts]) -> list[tuple[str, ...]]:
    """Names of images with equal samples, whatever the bytes of their files."""
    groups = defaultdict(list)
    for name, film in sorted(films.items()):
        if not film.error:
            groups[film.samples_sha256].append(name)
    return [tuple(names) for names in groups.values() if len(names) > 1]


def _check(name: str, offenders: Sequence[str], meaning: str, status: str = "warning") -> Check:
    """A check that is well where nothing offends."""
    if not offenders:
        return Check(name, "ok", 0, "")
    return Check(name, status, len(offenders), meaning, tuple(offenders[:3]))


def _annotation_checks(inspection: Inspection) -> Iterator[Check]:
    annotations, dataset = inspection.annotations, inspection.dataset
    columns = next(iter(annotations.rows.values()))[0].keys()
    yield _check(
        "master_table.csv has all 23 columns",
        [column for column in TABLE_COLUMNS if column not in columns],
        "Not needed for training, but this is not the table as published.",
        "note",
    )
    counts = Counter(study.split for study in dataset.studies)
    yield _check(
        "as many studies as PadChest-GR has",
        [
            f"{split}: {counts[split]} of {PUBLISHED_STUDIES[split]}"
            for split in SPLITS
            if counts[split] != PUBLISHED_STUDIES[split]
        ],
        "A part of PadChest-GR, another edition, or another data set such as phantoms.",
        "note",
    )
    yield _check(
        "no split is empty",
        [split for split in SPLITS if not counts[split]],
        "Without validation there is no early stopping, without test no evaluation.",
    )
    yield _check(
        "no patient stands in two splits",
        [str(fault) for fault in inspection.faults if isinstance(fault, PatientLeakError)],
        "Every figure on test would be too good. Restore the split column as published.",
        "fault",
    )
    yield _check(
        "every study can be used",
        [f"{e.image_id}: {e.reason}" for e in dataset.exclusions],
        "Left out of training; each stands with its reason under Broken, duplicate, excluded.",
    )
    yield _check(
        "the JSON and the table name the same labels",
        list(inspection.remarks),
        "A label that either file names is taken as found.",
        "note",
    )
    yield _check(
        "the table counts the boxes that the JSON holds",
        list(_miscounted(inspection)),
        "The JSON's boxes are used.",
        "note",
    )
    for name, values in (
        ("sex", [study.sex for study in dataset.studies]),
        ("age", [study.age for study in dataset.studies]),
    ):
        missing = [s.image_id for s, v in zip(dataset.studies, values, strict=True) if v is None]
        yield _check(f"every study has {name}", missing, "They drop out of subgroups.", "note")
    yield _check(
        "every study has a projection",
        [study.image_id for study in dataset.studies if study.view is None],
        "PadChest-GR's own table has none. Put PadChest's table "
        "(PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv) beside it for subgroups by view; "
        f"{', '.join(VIEWS)} are kept.",
        "note",
    )


def _miscounted(inspection: Inspection) -> Iterator[str]:
    """Usable studies whose number of boxes by label differs between the table and the JSON."""
    usable = {study.image_id for study in inspection.dataset.studies}
    for report in inspection.annotations.reports:
        if report.get("ImageID") not in usable:
            continue
        rows = inspection.annotations.rows[report["StudyID"]]
        if not {"boxes_count", "extra_boxes_count"} <= rows[0].keys():
            continue
        listed: Counter[tuple[str, str]] = Counter()
        drawn: Counter[tuple[str, str]] = Counter()
        for row in rows:
            for field in ("boxes", "extra_boxes"):
                text = row[f"{field}_count"].partition(".")[0]
                listed[sentence_case(row["label"]), field] += int(text) if text.isdigit() else 0
        for finding in report["findings"]:
            for label in finding["labels"] if finding.get("abnormal") else ():
                for field in ("boxes", "extra_boxes"):
                    drawn[sentence_case(label), field] += len(finding.get(field, ()))
        labels = {
            label for label, field in listed | drawn if listed[label, field] != drawn[label, field]
        }
        if labels:
            yield f"{report['ImageID']}: {', '.join(sorted(labels))}"


def _box_checks(inspection: Inspection) -> Iterator[Check]:
    studies = inspection.dataset.studies
    yield _check(
        "every abnormal study has a box",
        [study.image_id for study in studies if study.abnormal and not study.boxes],
        "Normal in PadChest-GR: such a study trains the classifier alone.",
        "note",
    )
    areas = [
        (study.image_id, drawn.label, (box.x_max - box.x_min) * (box.y_max - box.y_min))
        for study in studies
        for drawn in study.boxes
        for box in (drawn.box,)
    ]
    yield _check(
        "no box covers nearly the whole image",
        [f"{image}: {label}" for image, label, area in areas if area > MAX_BOX_AREA],
        f"More than {100 * MAX_BOX_AREA:.0f} % of the image: it locates nothing. Look at it.",
    )
    yield _check(
        "no box is a speck",
        [f"{image}: {label}" for image, label, area in areas if area < MIN_BOX_AREA],
        f"Less than {100 * MIN_BOX_AREA:.2f} % of the image: a slip, or a very small finding.",
    )


def _film_checks(inspection: Inspection, films: Mapping[str, FilmFacts]) -> Iterator[Check]:
    annotations, dataset = inspection.annotations, inspection.dataset
    named = {report.get("ImageID") for report in annotations.reports}
    yield _check(
        "every image belongs to a study",
        sorted(set(annotations.images) - named),
        "Never read by training.",
        "note",
    )
    readable = {name: film for name, film in films.items() if not film.error}
    yield _check(
        "every image can be read",
        [f"{name}: {film.error}" for name, film in films.items() if film.error],
        "Left out by training.prepare. Fetch these files again.",
    )
    yield _check(
        "no image stands under two names",
        [" = ".join(names) for names in duplicate_groups(films)],
        "One copy is kept by training.prepare; test comes first, then validation.",
    )
    splits = {study.image_id: study.split for study in dataset.studies}
    yield _check(
        "no image stands in two splits",
        [
            " = ".join(names)
            for names in duplicate_groups(films)
            if len({splits[name] for name in names if name in splits}) > 1
        ],
        "A leak that patient ids do not show. training.prepare keeps the test copy alone.",
    )
    tests: tuple[tuple[str, list[str], str], ...] = (
        (
            "16-bit grey, MONOCHROME2",
            [n for n, f in readable.items() if (f.bits, f.photometric) != (16, "MONOCHROME2")],
            "Not as published; colour or 8-bit copies have lost contrast.",
        ),
        (
            "the depth is used",
            [n for n, f in readable.items() if f.levels < MIN_LEVELS],
            f"Fewer than {MIN_LEVELS} grey values: the image went through 8 bits somewhere.",
        ),
        (
            "nothing burnt out",
            [n for n, f in readable.items() if f.at_highest > MAX_AT_HIGHEST],
            f"More than {100 * MAX_AT_HIGHEST:.0f} % of the samples have the largest value.",
        ),
        (
            "bone is bright",
            [n for n, f in readable.items() if f.contrast < INVERTED_CONTRAST],
            "Lungs brighter than the mediastinum: inverted (MONOCHROME1), rotated, or both lungs "
            "white with disease. Look at each; PadChest has inverted films.",
        ),
        (
            "full size",
            [n for n, f in readable.items() if max(f.width_px, f.height_px) < MIN_LONG_SIDE_PX],
            f"Longer side below {MIN_LONG_SIDE_PX} px: reduced copies.",
        ),
        (
            "upright format",
            [n for n, f in readable.items() if not 0.6 <= f.width_px / f.height_px <= 1.7],
            "No chest film is this long: a spine or limb film, or a crop.",
        ),
    )
    for name, offenders, meaning in tests:
        yield _check(name, offenders, meaning)


def shortcuts(
    studies: Sequence[Study], films: Mapping[str, FilmFacts]
) -> dict[str, tuple[list[bool], list[float]]]:
    """Whether abnormal, and the value, by the name of a fact that is no finding.

    Where such a fact tells abnormal from normal, a network can learn it in place of the disease.
    Studies of which a fact is not known are left out of it.
    """
    facts: dict[str, Callable[[Study, FilmFacts], float | None]] = {
        "patient's age": lambda study, film: study.age,
        "male": lambda study, film: None if study.sex is None else study.sex == "M",
        "taken AP or supine": lambda study, film: (
            None if study.view is None else study.view != "PA"
        ),
        "image width": lambda study, film: film.width_px,
        "image height": lambda study, film: film.height_px,
        "file size": lambda study, film: film.size_bytes,
        "grey values in use": lambda study, film: film.levels,
        "mean intensity, as a model sees it": lambda study, film: film.mean,
        "exposed part of the film": lambda study, film: film.exposed,
    }
    seen = [(study, films[study.image_id]) for study in studies if study.image_id in films]
    pairs = {}
    for name, fact in facts.items():
        values = [(s.abnormal, fact(s, film)) for s, film in seen if not film.error]
        known = [(abnormal, float(value)) for abnormal, value in values if value is not None]
        pairs[name] = ([abnormal for abnormal, _ in known], [value for _, value in known])
    return pairs
