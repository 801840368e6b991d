"""Who the patient is, what the study shows and how it is taken, drawn from the seed.

Nothing here knows a pixel: a plan can be made, read and changed before anything is drawn.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from training.phantoms import vocabulary as v
from training.phantoms.geometry import stream

BLOCK_STUDIES = 10
"""Studies are dealt in blocks of ten (7 train, 1 validation, 2 test), so that the first N studies
of a data set do not depend on how many are drawn in all."""

BLOCK_SPLITS = ("train",) * 7 + ("validation",) + ("test",) * 2

NORMAL_SHARE = 0.34
"""About PadChest-GR's 1,456 of 4,555."""

VIEWS = ("PA", "AP_horizontal", "AP")
VIEW_SHARES = (0.90, 0.07, 0.03)
"""PadChest-GR: 4,257, 242 and 56 of 4,555; the rarer views are drawn a little more often."""

SIDED = (
    v.APICAL_THICKENING,
    v.PLEURAL_EFFUSION,
    v.HILAR_ENLARGEMENT,
    v.ALVEOLAR_PATTERN,
    v.COSTOPHRENIC_BLUNTING,
    v.INTERSTITIAL_PATTERN,
    v.LAMINAR_ATELECTASIS,
    v.NODULE,
    v.RIB_CALLUS,
    v.DIAPHRAGM_ELEVATION,
)
"""Labels that have a side."""

BOTH_SIDES_SHARE = {
    v.APICAL_THICKENING: 0.5,
    v.PLEURAL_EFFUSION: 0.25,
    v.HILAR_ENLARGEMENT: 0.7,
    v.INTERSTITIAL_PATTERN: 0.8,
    v.COSTOPHRENIC_BLUNTING: 0.15,
}
"""How often a sided finding lies on both sides."""

EXCLUSIVE = (
    (v.AIR_TRAPPING, v.CARDIOMEGALY),
    (v.AIR_TRAPPING, v.DIAPHRAGM_ELEVATION),
    (v.PLEURAL_EFFUSION, v.COSTOPHRENIC_BLUNTING),
    (v.PLEURAL_EFFUSION, v.DIAPHRAGM_ELEVATION),
    (v.COSTOPHRENIC_BLUNTING, v.DIAPHRAGM_ELEVATION),
    (v.PLEURAL_EFFUSION, v.ALVEOLAR_PATTERN),
    (v.PLEURAL_EFFUSION, v.INTERSTITIAL_PATTERN),
    (v.PLEURAL_EFFUSION, v.LAMINAR_ATELECTASIS),
    (v.PLEURAL_EFFUSION, v.AIR_TRAPPING),
)
"""Pairs that would hide or contradict each other; the second of a pair is dropped."""

DISTRACTORS = {"ecg leads": 0.10, "central line": 0.05, "necklace": 0.02, "buttons": 0.03}
"""Things on or in the patient that no report mentions, with their shares; three times as often on
portable views."""


@dataclass(frozen=True, slots=True)
class Patient:
    """What stays the same between a patient's studies. Shapes are unitless, about 0 or 0 to 1."""

    number: int
    sex: str
    birth_year: int
    stature: float
    breadth: float
    fat: float
    muscle: float
    breast: float
    kyphosis: float


@dataclass(frozen=True, slots=True)
class Sign:
    """A finding to be drawn: how severe in [0, 1], and on which side ("", right, left, both)."""

    severity: float
    side: str


@dataclass(frozen=True)
class StudyPlan:
    """Everything decided before drawing.

    Attributes:
        seed: The data set's seed.
        index: The study's index; with the seed it decides every random detail.
        patient: Who.
        visit: 0 for the patient's first study, 1 for the next, …
        age: Whole years at the study.
        view: PA, AP or AP_horizontal.
        signs: Findings by label, in vocabulary order; empty is normal.
        distractors: Things to draw that are no findings.
        inspiration: -1 poor to 1 deep.
        yaw_deg: Rotation about the long axis.
        tilt_deg: Rotation in the image plane.
    """

    seed: int
    index: int
    patient: Patient
    visit: int
    age: int
    view: str
    signs: Mapping[str, Sign]
    distractors: tuple[str, ...]
    inspiration: float
    yaw_deg: float
    tilt_deg: float

    def severity(self, label: str) -> float:
        """Severity of a finding; 0 where it is absent."""
        sign = self.signs.get(label)
        return sign.severity if sign else 0.0

    def sides(self, label: str) -> tuple[int, ...]:
        """Sides of a finding: -1 the patient's right (image left), +1 the left; () if absent."""
        sign = self.signs.get(label)
        if sign is None:
            return ()
        return {"right": (-1,), "left": (1,), "both": (-1, 1), "": (-1, 1)}[sign.side]


@dataclass(frozen=True, slots=True)
class Seat:
    """A study's place in the data set: whose it is, which visit, which split, what came before."""

    patient: int
    visit: int
    split: str
    previous: int | None


def seat_study(*, seed: int, index: int) -> Seat:
    """Give a study a patient and a split; no patient sits in two splits.

    Args:
        seed: The data set's seed.
        index: Study index, >= 0.

    Returns:
        The seat; `previous` is the index of the same patient's study before this one.
    """
    block, place = divmod(index, BLOCK_STUDIES)
    rng = stream(seed, block, "block")
    splits = [BLOCK_SPLITS[i] for i in rng.permutation(BLOCK_STUDIES)]
    joins = rng.random(BLOCK_STUDIES) < 0.18
    owner: list[int] = []
    previous: list[int | None] = []
    for here in range(place + 1):
        earlier = [i for i in range(here) if splits[i] == splits[here]]
        if joins[here] and earlier:
            owner.append(owner[earlier[-1]])
            previous.append(block * BLOCK_STUDIES + earlier[-1])
        else:
            owner.append(block * BLOCK_STUDIES + here)
            previous.append(None)
    visit = owner.count(owner[place]) - 1
    return Seat(owner[place], visit, splits[place], previous[place])


def draw_patient(*, seed: int, number: int) -> Patient:
    """Draw a patient's sex, age and build."""
    rng = stream(seed, number, "patient")
    age = int(np.clip(rng.normal(60, 18), 18, 94))
    return Patient(
        number=number,
        sex="F" if rng.random() < 0.5 else "M",
        birth_year=2015 - age,
        stature=float(np.clip(rng.normal(), -2, 2)),
        breadth=float(np.clip(rng.normal(), -2, 2)),
        fat=float(rng.beta(2, 3)),
        muscle=float(rng.beta(2, 2)),
        breast=float(rng.beta(2, 2)),
        kyphosis=float(np.clip((age - 55) / 40, 0, 1) * rng.random()),
    )


def plan_study(
    *,
    seed: int,
    index: int,
    view: str | None = None,
    signs: Mapping[str, Sign] | None = None,
    distractors: tuple[str, ...] | None = None,
) -> StudyPlan:
    """Decide what a study shows.

    Args:
        seed: The data set's seed.
        index: Study index, >= 0.
        view: One of VIEWS in place of the drawn one.
        signs: Findings in place of the drawn ones; {} is a normal study.
        distractors: Names from DISTRACTORS in place of the drawn ones.

    Returns:
        The plan; the same arguments give the same plan.

    Raises:
        ValueError: An unknown view, label or distractor, or a severity outside [0, 1].
    """
    seat = seat_study(seed=seed, index=index)
    patient = draw_patient(seed=seed, number=seat.patient)
    rng = stream(seed, index, "plan")
    age = 2015 + seat.visit - patient.birth_year
    drawn_view = str(rng.choice(VIEWS, p=VIEW_SHARES))
    chosen_view = view or drawn_view
    if chosen_view not in VIEWS:
        raise ValueError(f"view is {chosen_view!r}, expected one of {VIEWS}")
    portable = 1.0 if chosen_view == "PA" else 3.0
    worn = tuple(n for n, share in DISTRACTORS.items() if rng.random() < share * portable)
    inspiration = float(np.clip(rng.normal(0.1 if chosen_view == "PA" else -0.6, 0.45), -1.2, 1))
    yaw = float(rng.normal(0, 1.6 if chosen_view == "PA" else 3.0))
    tilt = float(rng.normal(0, 0.8 if chosen_view == "PA" else 2.0))
    if signs is None:
        signs = _draw_signs(seed=seed, index=index, patient=patient, age=age)
    if distractors is None:
        distractors = worn
    _check(signs, distractors)
    ordered = {label: signs[label] for label in v.ENTRIES if label in signs}
    return StudyPlan(
        seed=seed,
        index=index,
        patient=patient,
        visit=seat.visit,
        age=age,
        view=chosen_view,
        signs=MappingProxyType(ordered),
        distractors=distractors,
        inspiration=inspiration,
        yaw_deg=yaw,
        tilt_deg=tilt,
    )


def _check(signs: Mapping[str, Sign], distractors: tuple[str, ...]) -> None:
    for label, sign in signs.items():
        if label not in v.ENTRIES:
            raise ValueError(f"label {label!r} cannot be drawn, expected one of {list(v.ENTRIES)}")
        if not 0 <= sign.severity <= 1:
            raise ValueError(f"severity of {label} is {sign.severity}, expected 0 to 1")
        if sign.side not in ("", "right", "left", "both"):
            raise ValueError(f"side of {label} is {sign.side!r}, expected right, left or both")
    unknown = set(distractors) - set(DISTRACTORS)
    if unknown:
        raise ValueError(f"unknown distractors {sorted(unknown)}, expected {list(DISTRACTORS)}")


def _draw_signs(*, seed: int, index: int, patient: Patient, age: int) -> dict[str, Sign]:
    """Findings of a study; a patient's later studies start from the first one's."""
    base = stream(seed, patient.number, "signs")
    normal = base.random() < NORMAL_SHARE
    signs = {} if normal else _draw_abnormal(base, age)
    first = index == patient.number
    if first:
        return signs
    rng = stream(seed, index, "follow-up")
    if normal:
        return {} if rng.random() < 0.75 else _draw_abnormal(rng, age)
    return {
        label: Sign(float(np.clip(sign.severity + rng.normal(0, 0.15), 0, 1)), sign.side)
        for label, sign in signs.items()
    }


def _draw_abnormal(rng: np.random.Generator, age: int) -> dict[str, Sign]:
    """At least one finding."""
    while True:
        ageing = np.clip((age - 20) / 70, 0, 1)
        chosen = [
            label
            for label, entry in v.ENTRIES.items()
            if rng.random() < entry.frequency * (1 - entry.older / 2 + entry.older * ageing)
        ]
        for kept, dropped in EXCLUSIVE:
            if kept in chosen and dropped in chosen:
                chosen.remove(dropped)
        if chosen:
            return {label: Sign(float(rng.random()), _draw_side(rng, label)) for label in chosen}


def _draw_side(rng: np.random.Generator, label: str) -> str:
    both, right = rng.random(2)
    if label not in SIDED:
        return ""
    if both < BOTH_SIDES_SHARE.get(label, 0):
        return "both"
    return "right" if right < 0.5 else "left"
