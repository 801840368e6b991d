"""Ranges for eight bits."""

import numpy as np
import pytest

from export import activation_ranges
from export.activation_ranges import measure_ranges
from tests.export.test_quantize import SIZE, tiny_graph


def error_of(values, found):
    step = (found.high - found.low) / 255
    zero = round(-found.low / step)
    whole = np.clip(np.rint(values / step) + zero, 0, 255)
    return float(np.mean(((whole - zero) * step - values) ** 2))


def images(count, scale=1.0):
    generator = np.random.default_rng(1)
    return [generator.random((1, 1, SIZE, SIZE), np.float32) * scale for _ in range(count)]


def test_a_lone_outlier_is_cut_off_where_that_loses_less():
    """One value of 10 among 102,400 in [0, 1]: all others pay for keeping it whole."""
    inputs = images(400)
    inputs[3][0, 0, 0, 0] = 10
    found = measure_ranges(tiny_graph(), inputs, ["image"])["image"]
    values = np.concatenate(inputs)
    assert 1 < found.high < 10
    whole = activation_ranges.Range(0.0, 10.0)
    assert error_of(values, found) < error_of(values, whole)


def test_even_values_keep_their_whole_range_and_zero_is_in_it():
    found = measure_ranges(tiny_graph(), [image + 2 for image in images(4)], ["image"])["image"]
    assert found.low == 0
    assert found.high == pytest.approx(3, abs=0.01)


def test_inner_tensors_have_both_ends_and_portions_change_nothing(monkeypatch):
    inputs, names = images(3), ["map", "pooled", "image"]
    together = measure_ranges(tiny_graph(), inputs, names)
    assert set(together) == set(names)
    assert together["map"].low < 0 < together["map"].high
    monkeypatch.setattr(activation_ranges, "ELEMENTS_AT_ONCE", 1)
    assert measure_ranges(tiny_graph(), inputs, names) == together
