"""Tests of what runs in production."""
