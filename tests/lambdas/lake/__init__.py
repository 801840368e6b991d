"""Tests of the data lake."""
