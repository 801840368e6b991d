"""Compose one radiograph: anatomy, findings, devices, exposure. The entry for other code.

plan = plan_study(seed=1, index=0, signs={"cardiomegaly": Sign(0.7, "")})
phantom = draw_study(plan, size_px=1024)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lambdas.shared.boxes import UnitBox
from training.phantoms import vocabulary as v
from training.phantoms.anatomy import Anatomy, build_anatomy
from training.phantoms.bars import Bars, draw_bars, join_bars
from training.phantoms.bones import draw_bones
from training.phantoms.devices import device_bars, distractor_bars
from training.phantoms.exposure import (
    Film,
    add_noise,
    collimate,
    detector_signal,
    digitise,
    draw_technique,
    frame_film,
    present,
)
from training.phantoms.findings import Outline, callus_bars, plaque_bars, structural_outlines
from training.phantoms.geometry import Canvas, smooth_noise, stream
from training.phantoms.parenchyma import (
    atelectasis_bars,
    draw_consolidation,
    draw_nodule,
    interstitial_bars,
)
from training.phantoms.plan import StudyPlan
from training.phantoms.pleura import draw_pleura
from training.phantoms.soft import draw_soft_tissue
from training.phantoms.vessels import draw_vessels

DEFAULT_SIZE_PX = 2400
"""Long side of a film as large as PadChest-GR's."""

BLOOD_WATER = 1.7
"""Visibility of the vessel tree: above 1, since few of its many small branches are drawn."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One drawn finding: PadChest label, severity in [0, 1], side, true boxes."""

    label: str
    severity: float
    side: str
    boxes: tuple[UnitBox, ...]


@dataclass(frozen=True)
class Phantom:
    """A drawn study.

    Attributes:
        pixels: (H, W) uint16, 0 to 65535, MONOCHROME2 (bone bright); image right is the
            patient's left.
        findings: In vocabulary order; empty for a normal study.
        plan: What was drawn.
        pixel_mm: Pixel pitch at the detector, mm.
        ctr: Cardiothoracic ratio of the drawn heart.
        cobb_deg: Cobb angle of the drawn spine, degrees.
        unfolding: Unfolding of the drawn aorta, 0 to 1.
    """

    pixels: np.ndarray
    findings: tuple[Finding, ...]
    plan: StudyPlan
    pixel_mm: float
    ctr: float
    cobb_deg: float
    unfolding: float

    @property
    def view(self) -> str:
        """PA, AP or AP_horizontal."""
        return self.plan.view

    @property
    def sex(self) -> str:
        """M or F."""
        return self.plan.patient.sex

    @property
    def age(self) -> int:
        """Whole years."""
        return self.plan.age


def draw_study(plan: StudyPlan, *, size_px: int = DEFAULT_SIZE_PX) -> Phantom:
    """Draw one study.

    Args:
        plan: From `plan_study`.
        size_px: Long side of the picture in pixels, 64 to 4096.

    Returns:
        Pixels and findings; the same plan and size give the same bits.

    Raises:
        ValueError: size_px is out of range.
    """
    if not 64 <= size_px <= 4096:
        raise ValueError(f"size_px is {size_px}, expected 64 to 4096")
    anatomy = build_anatomy(plan)
    film, canvas = frame_film(plan, anatomy, size_px=size_px)
    technique = draw_technique(plan)
    water, lung, outlines = _attenuation(plan, anatomy, canvas)
    signal = detector_signal(water, technique)
    level = film.take(present(signal, technique, pixel_mm=canvas.pixel_mm, lungs=lung), canvas)
    level = collimate(add_noise(level, plan, technique, film), technique, film)
    return Phantom(
        pixels=digitise(level),
        findings=_findings(plan, outlines, film),
        plan=plan,
        pixel_mm=film.pixel_mm * anatomy.beam.magnification,
        ctr=anatomy.ctr,
        cobb_deg=anatomy.cobb_deg,
        unfolding=anatomy.aorta.unfolding,
    )


def _attenuation(
    plan: StudyPlan, anatomy: Anatomy, canvas: Canvas
) -> tuple[np.ndarray, np.ndarray, list[Outline]]:
    """Water-equivalent thickness and lung path, (H, W) mm each, and the findings' outlines."""
    outlines = structural_outlines(plan, anatomy)
    soft = draw_soft_tissue(plan, anatomy, canvas)
    hila, tree = draw_vessels(plan, anatomy, canvas)
    fluid, fluid_outlines = draw_pleura(plan, anatomy, canvas, soft.cavity)
    cloud, cloud_outlines = draw_consolidation(plan, anatomy, canvas, soft.cavity)
    nodule, nodule_outlines = draw_nodule(plan, anatomy, canvas)
    lines, line_outlines = _merge(interstitial_bars(plan, anatomy), atelectasis_bars(plan, anatomy))
    hard, hard_outlines = _merge(
        plaque_bars(plan, anatomy), callus_bars(plan, anatomy), device_bars(plan, anatomy)
    )
    for found in (fluid_outlines, cloud_outlines, nodule_outlines, line_outlines, hard_outlines):
        outlines += found
    # in place where it can be: fresh arrays of this size cost a fifth of the time
    aerated = soft.lung - hila
    np.maximum(aerated, 0.04 * soft.cavity, out=aerated)
    aerated *= 1 - fluid
    aerated *= 1 - cloud
    grain = smooth_noise(stream(plan.seed, plan.index, "lung texture"), canvas, 6, 2)
    water = soft.body - soft.gas
    water -= (1 - anatomy.lung_density * (1 + 0.05 * grain)) * aerated
    fine = BLOOD_WATER * tree
    fine += nodule
    if lines:
        fine += draw_bars(canvas, join_bars(lines))
    fine *= np.clip(aerated / 90, 0, 1)
    water += fine
    water += draw_bones(plan, anatomy, canvas)
    water += draw_bars(canvas, join_bars(hard + distractor_bars(plan, anatomy)))
    return water, aerated, outlines


def _merge(*parts: tuple[list[Bars], list[Outline]]) -> tuple[list[Bars], list[Outline]]:
    """Bars and outlines of several findings, in order."""
    return [b for bars, _ in parts for b in bars], [o for _, outlines in parts for o in outlines]


def _findings(plan: StudyPlan, outlines: Sequence[Outline], film: Film) -> tuple[Finding, ...]:
    """Findings in vocabulary order with their boxes on the picture."""
    findings = []
    for label, sign in plan.signs.items():
        boxes = [_box(o.points, film) for o in outlines if o.label == label]
        findings.append(
            Finding(label, sign.severity, sign.side, tuple(b for b in boxes if b is not None))
        )
    order = list(v.ENTRIES)
    return tuple(sorted(findings, key=lambda finding: order.index(finding.label)))


def _box(points: np.ndarray, film: Film) -> UnitBox | None:
    """Bounding box of film mm on the picture; None where less than 2 px of it are left."""
    pixels = film.to_pixels(points) / (film.width_px, film.height_px)
    low = np.clip(pixels.min(axis=0), 0, 1)
    high = np.clip(pixels.max(axis=0), 0, 1)
    smallest = 2 / min(film.width_px, film.height_px)
    if (high - low).min() < smallest:
        return None
    return UnitBox(float(low[0]), float(low[1]), float(high[0]), float(high[1]))
