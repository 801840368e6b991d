"""PadChest-GR or phantoms to evaluated checkpoints."""
