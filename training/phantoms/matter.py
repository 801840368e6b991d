"""What the beam meets: how much more than water each kind of tissue takes from it."""

WATER_PER_MM = 0.0175
"""Attenuation of water at the mean energy of a filtered 120 kV beam, 1/mm."""

CORTEX_WATER = 2.7
"""Extra water-equivalent mm per mm of compact bone: about twice the density, some photoelectric."""

TRABECULAR_WATER = 0.34
"""Extra water-equivalent mm per mm of spongy bone."""

CALCIUM_WATER = 2.6
"""Extra water-equivalent mm per mm of calcified plaque or cartilage."""

METAL_WATER = 28.0
"""Extra water-equivalent mm per mm of steel or platinum wire: white at any exposure."""
