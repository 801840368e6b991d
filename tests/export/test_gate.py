"""The gate before a faster graph, on phantoms and a tiny classifier."""

import copy

import numpy as np
import pytest
from onnx import numpy_helper

from export.__main__ import main
from export.gate import Verdict, _shared, judge
from lambdas.shared.bundle import load_bundle
from lambdas.shared.errors import CxrError
from tests.export.test_quantize import bundle, tiny_graph
from tests.training.prepared_builder import tiny_prepared


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return tiny_prepared(tmp_path_factory.mktemp("gate"))


def changed(edit):
    graph = copy.deepcopy(tiny_graph())
    head = next(tensor for tensor in graph.graph.initializer if tensor.name == "head")
    head.CopyFrom(numpy_helper.from_array(edit(numpy_helper.to_array(head)), "head"))
    return graph


@pytest.mark.slow
def test_the_same_graph_passes_and_its_mirror_image_does_not(prepared, tmp_path):
    exact = bundle(tmp_path / "exact", tiny_graph(), "float32")
    alike = bundle(tmp_path / "alike", changed(lambda head: head * 1.00001), "int8")
    same = judge(exact, alike, data=prepared)
    assert same.passed
    assert same.float32 == same.candidate
    assert (same.fall_at_most, same.agreement) == (0, 1)
    assert same.figure == "AUROC"
    swapped = bundle(tmp_path / "swapped", changed(lambda head: head[:, ::-1].copy()), "int8")
    other = judge(exact, swapped, data=prepared)
    assert other.candidate == pytest.approx(1 - other.float32)
    assert not other.passed


@pytest.mark.slow
def test_the_command_ships_int8_or_says_why_not(prepared, tmp_path, capsys):
    """Untrained, its scores are all alike; what matters here is that both ways end well."""
    bundle(tmp_path / "tiny", tiny_graph(), "float32")
    arguments = [str(tmp_path / "tiny"), "--out", str(tmp_path / "pair"), "--data", str(prepared)]
    assert main(arguments) == 0
    written = load_bundle(tmp_path / "pair" / "classifier")
    gate = written.facts["gate"]
    passed = gate["fall_at_most"] < gate["margin"] and gate["agreement"] >= gate["agreement_needed"]
    wanted = "int8, calibrated" if passed else "int8 weights, float32 compute"
    assert written.facts["precision"] == wanted
    assert wanted in capsys.readouterr().out


def test_int8_without_data_says_what_to_do(tmp_path, capsys):
    bundle(tmp_path / "tiny", tiny_graph(), "float32")
    arguments = [str(tmp_path / "tiny"), "--out", str(tmp_path / "pair"), "--precision", "int8"]
    assert main(arguments) == 1
    assert "--precision int8 needs --data" in capsys.readouterr().err
    assert not (tmp_path / "pair").exists()


@pytest.mark.parametrize(
    ("fall", "agreement", "words"),
    [
        (0.0049, 0.97, []),
        (0.005, 0.97, ["may have fallen by up to 0.0050 (0.005 is allowed)"]),
        (0.0, 0.969, ["96.9% of its decisions are those of float32 (97% needed)"]),
        (float("nan"), float("nan"), ["may have fallen", "of its decisions"]),
    ],
    ids=["passes", "falls", "another model", "nothing to judge by"],
)
def test_what_keeps_a_graph_out_is_said(fall, agreement, words):
    verdict = Verdict(
        figure="AUROC",
        data="200 validation studies",
        n=200,
        float32=0.9,
        candidate=0.9,
        fall_at_most=fall,
        agreement=agreement,
    )
    assert verdict.passed == (not words)
    assert len(verdict.reasons) == len(words)
    for reason, word in zip(verdict.reasons, words, strict=True):
        assert word in reason


def test_findings_are_shared_by_label_and_place_and_used_once():
    first = np.array([[0, 0.9, 0.1, 0.1, 0.5, 0.5], [1, 0.8, 0.1, 0.1, 0.5, 0.5]])
    second = np.array(
        [
            [0, 0.7, 0.1, 0.1, 0.5, 0.52],
            [0, 0.6, 0.1, 0.1, 0.5, 0.51],
            [1, 0.9, 0.6, 0.6, 0.9, 0.9],
        ]
    )
    assert _shared(first, second) == 1
    assert _shared(second, first) == 1
    assert _shared(np.zeros((0, 6)), second) == 0


def test_data_that_is_no_prepared_folder_is_named(tmp_path):
    exact = bundle(tmp_path / "exact", tiny_graph(), "float32")
    with pytest.raises(CxrError, match="nowhere"):
        judge(exact, exact, data=tmp_path / "nowhere")
