"""Bundles as sources of other bundles."""

import numpy as np
import pytest

from export.from_bundle import float32_graph
from export.quantize import FLOAT32, INT8_WEIGHTS, quantize_weights
from lambdas.shared.errors import ContractError
from lambdas.shared.onnx_model import OnnxModel
from tests.export.test_quantize import SIZE, bundle, tiny_graph


def test_weights_come_back_as_they_are_when_the_graph_runs(tmp_path):
    small = bundle(tmp_path / "small", quantize_weights(tiny_graph()), INT8_WEIGHTS)
    again = bundle(tmp_path / "again", float32_graph(small), FLOAT32)
    image = np.random.default_rng(1).random((1, 1, SIZE, SIZE), np.float32)
    given, wanted = (OnnxModel(b, threads=1).run(image)["logits"] for b in (again, small))
    np.testing.assert_allclose(given, wanted, rtol=1e-5)
    assert not any(node.op_type == "DequantizeLinear" for node in float32_graph(small).graph.node)


def test_a_bundle_that_computes_in_int8_is_no_source(tmp_path):
    rounded = bundle(tmp_path / "rounded", tiny_graph(), "int8, calibrated")
    with pytest.raises(ContractError, match="name a bundle in float32, or the checkpoint"):
        float32_graph(rounded)
