"""Tests of the way from a checkpoint to a bundle."""
