"""The skeleton, as millimetres of water that bone adds to the ray."""

import numpy as np

from training.phantoms.anatomy import Anatomy
from training.phantoms.bars import draw_bars, join_bars
from training.phantoms.geometry import Canvas
from training.phantoms.plan import StudyPlan
from training.phantoms.ribs import cartilage_bars, draw_ribs, rib_lines
from training.phantoms.shoulders import draw_shoulders
from training.phantoms.spine import draw_spine, osteophyte_bars


def draw_bones(plan: StudyPlan, anatomy: Anatomy, canvas: Canvas) -> np.ndarray:
    """Everything that is bone, (H, W) float32 mm of water equivalent; thinner with age."""
    mineral = 1.1 - 0.004 * max(plan.age - 40, 0) - 0.05 * (plan.patient.sex == "F")
    ribs = rib_lines(plan, anatomy)
    blades, bars = draw_shoulders(plan, anatomy, canvas)
    bars += cartilage_bars(plan, ribs, anatomy) + osteophyte_bars(plan, anatomy)
    total = blades + draw_bars(canvas, join_bars(bars))
    total += draw_ribs(ribs, anatomy, canvas) + draw_spine(plan, anatomy, canvas)
    return np.asarray(total * mineral, np.float32)
