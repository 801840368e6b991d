"""The patient's shapes in millimetres, and what findings change in them.

Quantities that define a finding live here, where drawing, boxes and tests read the same number:
cardiothoracic ratio, Cobb angle, arch unfolding, dome height. Normal and abnormal ranges touch but
never overlap. Sizes are those of textbooks of radiographic anatomy, at a stature of 1.75 m.
"""

from dataclasses import dataclass

import numpy as np

from training.phantoms import vocabulary as v
from training.phantoms.geometry import Beam, smooth_curve, stream
from training.phantoms.plan import StudyPlan

SPINE_STEP_MM = 2.0
SPINE_Y_MM = np.arange(-140, 440, SPINE_STEP_MM)
"""Heights at which the spine's curve is tabulated."""

NORMAL_CTR = (0.385, 0.485)
ENLARGED_CTR = (0.52, 0.68)
"""Cardiothoracic ratio; 0.5 is the textbook limit on a PA film."""

NORMAL_COBB_DEG = (0.0, 7.0)
SCOLIOSIS_COBB_DEG = (13.0, 48.0)
"""Scoliosis is a Cobb angle of 10 degrees or more."""

NORMAL_UNFOLDING = (0.0, 0.30)
ELONGATED_UNFOLDING = (0.52, 1.0)
"""0: a young person's narrow arch; 1: knob at the clavicles and a tortuous descending aorta."""

HEART_OUTLINE_MM = np.array(
    [
        (-38, 158), (-46, 184), (-43, 208), (-31, 228), (4, 238), (48, 242), (76, 235),
        (84, 216), (75, 190), (61, 168), (47, 148), (37, 132), (14, 120), (-14, 126), (-29, 140),
    ],
    float,
)  # fmt: skip
"""Right atrium, cardiophrenic angle, apex, left ventricle, appendage, pulmonary trunk, base."""

HEART_DEPTH_Z_MM = 40.0
SPINE_Z_MM = -62.0


@dataclass(frozen=True, slots=True)
class Dome:
    """Half of the diaphragm; side is -1 for the patient's right. Film mm."""

    side: int
    top_y: float
    top_x: float
    lateral_drop: float
    medial_drop: float


@dataclass(frozen=True, slots=True)
class Aorta:
    """Ascending bulge, knob and descending part. Film mm."""

    unfolding: float
    ascending_x: float
    knob_x: float
    knob_y: float
    knob_radius: float
    descending_y: np.ndarray
    descending_x: np.ndarray
    radius: float


@dataclass(frozen=True)
class Anatomy:
    """One patient's shapes as projected on one film.

    Attributes:
        beam: How the film is taken.
        size: Linear scale, 1 at 1.75 m.
        half_width: Inner half-width of the thorax at its widest, film mm.
        base_y: Height of the lateral costophrenic angles, film mm.
        half_depth: Inner half-depth of the thorax, mm.
        wall: Thickness of the lateral chest wall, mm.
        lung_density: Of water, in [0, 1].
        apex_x: Distance of the lung apices from the midline, film mm.
        domes: Right, left.
        spine_x: Spine's midline at SPINE_Y_MM, film mm.
        cobb_deg: Largest Cobb angle of that curve.
        cobb_span: Heights between which the curve is measured, film mm.
        discs: Heights of the discs from C4/C5 down; element 4 lies above T1.
        rib_tilt: Drop per depth of the ribs' planes.
        heart: (N, 2) outline, film mm.
        ctr: Width of that outline over the inner width of the thorax.
        aorta: Its parts.
        carina: x, y.
        hila: Right and left, x, y.
        field: Film's edges in film mm: x_min, x_max, y_min, y_max.
    """

    beam: Beam
    size: float
    half_width: float
    base_y: float
    half_depth: float
    wall: float
    lung_density: float
    apex_x: float
    domes: tuple[Dome, Dome]
    spine_x: np.ndarray
    cobb_deg: float
    cobb_span: tuple[float, float]
    discs: np.ndarray
    rib_tilt: float
    heart: np.ndarray
    ctr: float
    aorta: Aorta
    carina: tuple[float, float]
    hila: tuple[tuple[float, float], tuple[float, float]]
    field: tuple[float, float, float, float]

    def spine_at(self, y: np.ndarray | float) -> np.ndarray:
        """Film mm of the spine's midline at a height."""
        return np.asarray(np.interp(y, SPINE_Y_MM, self.spine_x))

    def lung_outer(self, y: np.ndarray) -> np.ndarray:
        """Distance of the lateral lung border from the midline; apex_x above the apex."""
        down = np.clip(y / (0.74 * self.base_y), 0, 1)
        bulge = (1 - (1 - down) ** 2.7) ** 0.52
        below = np.clip((y - 0.74 * self.base_y) / (0.26 * self.base_y), 0, 2)
        return np.asarray(self.apex_x + (self.half_width - self.apex_x) * bulge - 4 * below**2)

    def lung_inner(self, y: np.ndarray) -> np.ndarray:
        """Distance of the medial lung border from the midline."""
        down = np.clip(y / (0.26 * self.base_y), 0, 1)
        return np.asarray(self.apex_x - (self.apex_x - 13.0) * np.sqrt(1 - (1 - down) ** 2))

    def dome_y(self, side: int, x: np.ndarray) -> np.ndarray:
        """Height of the diaphragm at distance |x| from the midline, film mm."""
        dome = self.domes[0 if side < 0 else 1]
        away = x - dome.top_x
        lateral = np.clip(away / (self.half_width - dome.top_x), 0, 1.3)
        medial = np.clip(-away / dome.top_x, 0, 1)
        return np.asarray(
            dome.top_y + dome.lateral_drop * lateral**2.6 + dome.medial_drop * medial**2
        )


def build_anatomy(plan: StudyPlan) -> Anatomy:
    """Derive every shape of a study from its plan; deterministic."""
    patient = plan.patient
    rng = stream(plan.seed, patient.number, "anatomy")
    male = patient.sex == "M"
    trapping = 0.45 + 0.55 * plan.severity(v.AIR_TRAPPING) if plan.sides(v.AIR_TRAPPING) else 0.0
    size = (1.0 if male else 0.93) * (1 + 0.03 * patient.stature)
    half_width = (140 if male else 127) * (1 + 0.035 * patient.breadth) * (1 + 0.02 * trapping)
    depth = (84 if male else 76) * (1 + 0.04 * rng.normal()) + 10 * patient.kyphosis + 9 * trapping
    base_y = size * (258 + 13 * plan.inspiration + 22 * trapping)
    beam = _beam(plan, depth)
    fat = patient.fat
    domes = _domes(plan, base_y, half_width, trapping)
    spine_x, cobb, span = _spine(plan, size, beam)
    pitch = size * np.concatenate((np.full(4, 16.0), 20.3 + 0.58 * np.arange(12), np.full(5, 30)))
    discs = np.concatenate(([0], np.cumsum(pitch))) - pitch[:4].sum() - 9
    carina = (float(beam.project_x(2, -10)), float(size * (100 + rng.normal(0, 4))))
    hilum_y = carina[1] + size * rng.uniform(30, 38)
    hila = ((-37.0 * size, hilum_y), (40.0 * size, hilum_y - 10 * size))
    heart, ctr = _heart(plan, beam, half_width, domes, trapping)
    return Anatomy(
        beam=beam,
        size=size,
        half_width=half_width,
        base_y=base_y,
        half_depth=depth,
        wall=16 + 12 * patient.muscle + 34 * fat**1.5,
        lung_density=0.27 - 0.09 * trapping - 0.03 * plan.inspiration + 0.02 * rng.normal(),
        apex_x=half_width * rng.uniform(0.36, 0.40),
        domes=domes,
        spine_x=spine_x,
        cobb_deg=cobb,
        cobb_span=span,
        discs=discs,
        rib_tilt=0.62 + 0.05 * rng.normal() - 0.10 * trapping - 0.07 * plan.inspiration,
        heart=heart,
        ctr=ctr,
        aorta=_aorta(plan, size, beam, domes[1].top_y),
        carina=carina,
        hila=hila,
        field=_field(plan, half_width, base_y),
    )


def _beam(plan: StudyPlan, depth: float) -> Beam:
    rng = stream(plan.seed, plan.index, "beam")
    front = plan.view == "PA"
    source, lordosis = rng.normal(1800, 20), rng.normal(0, 0.02)
    if not front:
        source, lordosis = rng.uniform(1000, 1200), rng.uniform(0.02, 0.16)
    return Beam(
        source_mm=float(source),
        depth_mm=depth + 45,
        detector_in_front=front,
        yaw=float(np.deg2rad(plan.yaw_deg)),
        lordosis=float(lordosis),
    )


def _domes(plan: StudyPlan, base_y: float, half_width: float, trapping: float) -> tuple[Dome, Dome]:
    rng = stream(plan.seed, plan.index, "domes")
    drop = (49 + rng.normal(0, 4) - 6 * plan.inspiration) * (1 - 0.72 * trapping)
    lower_left = rng.uniform(5, 16) * (1 - 0.5 * trapping)
    domes = []
    for side, own in ((-1, drop), (1, drop - lower_left)):
        lifted = side in plan.sides(v.DIAPHRAGM_ELEVATION)
        lift = 34 + 34 * plan.severity(v.DIAPHRAGM_ELEVATION) if lifted else 0.0
        domes.append(
            Dome(
                side=side,
                top_y=base_y - own - lift,
                top_x=half_width * rng.uniform(0.44, 0.52),
                lateral_drop=own + lift,
                medial_drop=rng.uniform(8, 16) * (1 - 0.5 * trapping) + 0.5 * lift,
            )
        )
    return domes[0], domes[1]


def _spine(
    plan: StudyPlan, size: float, beam: Beam
) -> tuple[np.ndarray, float, tuple[float, float]]:
    """Midline of the spine, its Cobb angle in degrees and the heights of the end vertebrae."""
    rng = stream(plan.seed, plan.patient.number, "spine")
    half_wave = size * rng.uniform(150, 205)
    centre = size * rng.uniform(115, 165)
    s_shaped = rng.random() < 0.4
    convex = 1.0 if rng.random() < 0.75 else -1.0
    low, high = NORMAL_COBB_DEG
    cobb = low + (high - low) * rng.beta(1.5, 2)
    if plan.sides(v.SCOLIOSIS):
        low, high = SCOLIOSIS_COBB_DEG
        cobb = low + (high - low) * plan.severity(v.SCOLIOSIS)
    phase = np.pi * (SPINE_Y_MM - centre) / half_wave
    wave = np.sin(phase + 0.3) if s_shaped else np.cos(phase)
    # fading ends keep neck and pelvis over one another, as balance does
    curve = -convex * wave * np.exp(-(((SPINE_Y_MM - centre) / (0.95 * half_wave)) ** 2))
    slope = np.gradient(curve, SPINE_STEP_MM)
    up, down = float(slope.max()), float(-slope.min())
    # atan(a up) + atan(a down) = Cobb, solved for the amplitude a
    tangent = np.tan(np.deg2rad(cobb))
    total = up + down
    amplitude = 2 * tangent / (total + np.sqrt(total**2 + 4 * up * down * tangent**2))
    ends = sorted((float(SPINE_Y_MM[slope.argmax()]), float(SPINE_Y_MM[slope.argmin()])))
    return (
        np.asarray(beam.project_x(amplitude * curve, SPINE_Z_MM)),
        float(cobb),
        (ends[0] - 14 * size, ends[1] + 14 * size),
    )


def _heart(
    plan: StudyPlan,
    beam: Beam,
    half_width: float,
    domes: tuple[Dome, Dome],
    trapping: float,
) -> tuple[np.ndarray, float]:
    """Outline of the heart in film mm and its cardiothoracic ratio."""
    rng = stream(plan.seed, plan.patient.number, "heart")
    low, high = NORMAL_CTR
    wide = 0.012 * (plan.view != "PA") - 0.01 * plan.inspiration
    ctr = float(np.clip(rng.normal(0.442, 0.024) + wide, low, high))
    if trapping:
        ctr = float(rng.uniform(low - 0.03, low + 0.03))
    if plan.sides(v.CARDIOMEGALY):
        low, high = ENLARGED_CTR
        ctr = low + (high - low) * plan.severity(v.CARDIOMEGALY)
    right_share = rng.uniform(0.32, 0.38)
    outline = HEART_OUTLINE_MM + rng.normal(0, 1.5, HEART_OUTLINE_MM.shape)
    curve = smooth_curve(outline, 180, closed=True)
    x, y = curve.T
    width = ctr * 2 * half_width
    x = np.where(x < 0, x / -x.min() * right_share, x / x.max() * (1 - right_share)) * width
    # an enlarged heart grows upwards less than sideways, and its apex sinks
    tall = (ctr / 0.445) ** 0.55 * float(beam.scale(HEART_DEPTH_Z_MM)) * (1 + 0.05 * trapping)
    bottom = (domes[0].top_y + domes[1].top_y) / 2 + 21
    # a raised half of the diaphragm does not lift the heart with it
    lift = max(0.0, abs(domes[0].top_y - domes[1].top_y) - 18)
    y = bottom + lift / 2 + (y - y.max()) * tall * (half_width / 140) ** 0.5
    shift = HEART_DEPTH_Z_MM * np.sin(beam.yaw)
    return np.column_stack((x + shift, y)), ctr


def _aorta(plan: StudyPlan, size: float, beam: Beam, dome_top_y: float) -> Aorta:
    rng = stream(plan.seed, plan.patient.number, "aorta")
    low, high = NORMAL_UNFOLDING
    ageing = np.clip((plan.age - 25) / 60, 0, 1)
    unfolding = float(low + (high - low) * np.clip(0.75 * ageing + rng.uniform(0, 0.25), 0, 1))
    if plan.sides(v.AORTIC_ELONGATION):
        low, high = ELONGATED_UNFOLDING
        unfolding = low + (high - low) * plan.severity(v.AORTIC_ELONGATION)
    radius = size * (14.0 + 4.0 * unfolding + rng.normal(0, 0.6))
    knob_radius = radius * (1.0 + 0.12 * unfolding)
    knob_x = size * (36 + 25 * unfolding) - knob_radius + 12 * np.sin(beam.yaw)
    knob_y = size * (88 - 30 * unfolding + rng.normal(0, 3)) + knob_radius - 13
    swing = size * unfolding * 17
    y = np.array([knob_y, 120 * size + 10, 160 * size + 10, 200 * size + 10, dome_top_y + 40])
    x = np.array([knob_x - 2, 20 + 0.5 * swing, 19 + swing, 16 + 0.9 * swing, 8 + 0.3 * swing])
    curve = smooth_curve(np.column_stack((x, y)), 60)
    return Aorta(
        unfolding=unfolding,
        ascending_x=-size * (14 + 17 * unfolding) + 30 * np.sin(beam.yaw),
        knob_x=float(knob_x),
        knob_y=float(knob_y),
        knob_radius=float(knob_radius),
        descending_y=curve[:, 1],
        descending_x=curve[:, 0] + SPINE_Z_MM * np.sin(beam.yaw) * 0.7,
        radius=float(radius),
    )


def _field(plan: StudyPlan, half_width: float, base_y: float) -> tuple[float, float, float, float]:
    rng = stream(plan.seed, plan.index, "field")
    across = 2 * half_width * rng.uniform(1.28, 1.52)
    x_min = -across / 2 + rng.normal(0, 6)
    y_min = -rng.uniform(38, 72)
    y_max = base_y + rng.uniform(30, 75)
    return float(x_min), float(x_min + across), float(y_min), float(y_max)
