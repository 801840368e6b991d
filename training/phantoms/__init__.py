"""Synthetic frontal chest radiographs in PadChest-GR's format: see README.md in this folder."""
