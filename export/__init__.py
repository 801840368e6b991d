"""Checkpoints to checked model bundles."""
