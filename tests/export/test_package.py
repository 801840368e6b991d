"""Bundles as the export writes them are bundles as production loads them."""

import json

import pytest

from export.graph_edits import label
from lambdas.shared.bundle import load_bundle
from lambdas.shared.errors import ContractError, ModelMismatchError
from lambdas.shared.labels import CODES, DETECTOR_LABELS, FINDING_CODES
from lambdas.shared.onnx_model import OnnxModel
from tests.export.test_quantize import bundle, tiny_graph


def test_a_written_bundle_loads_with_codes_of_its_labels(tmp_path):
    graph = tiny_graph()
    label(graph, ("Normal", "Abnormal"))
    written = bundle(tmp_path / "models" / "classifier", graph, "float32")
    read = load_bundle(tmp_path / "models" / "classifier", task="classification")
    assert read.digest == written.digest
    assert [item.code.value for item in read.labels] == ["17621005", "263654008"]
    assert read.warnings == (
        "Thresholds not valid on patients: the triage model was trained on nothing.",
    )


def test_labels_in_the_graph_that_contradict_model_json_are_refused(tmp_path):
    graph = tiny_graph()
    label(graph, ("Abnormal", "Normal"))
    with pytest.raises(ModelMismatchError, match="exported with labels"):
        bundle(tmp_path / "classifier", graph, "float32")
    assert list(tmp_path.iterdir()) == []


def test_a_graph_with_other_names_leaves_the_old_bundle_in_place(tmp_path):
    folder = tmp_path / "classifier"
    before = bundle(folder, tiny_graph(), "float32").digest
    broken = tiny_graph()
    broken.graph.node[-1].output[0] = "scores"
    broken.graph.output[0].name = "scores"
    with pytest.raises(ContractError, match="logits"):
        bundle(folder, broken, "float32")
    assert load_bundle(folder).digest == before


def test_a_bundle_is_replaced_whole(tmp_path):
    folder = tmp_path / "classifier"
    bundle(folder, tiny_graph(), "float32")
    (folder / "left-over.txt").write_text("of another version")
    bundle(folder, tiny_graph(), "float32")
    assert sorted(path.name for path in folder.iterdir()) == ["model.json", "model.onnx"]
    OnnxModel(load_bundle(folder), threads=1)


def test_labels_are_written_where_the_runtime_looks():
    graph = tiny_graph()
    label(graph, ("Normal", "Abnormal"))
    properties = {item.key: item.value for item in graph.metadata_props}
    assert json.loads(properties["labels"]) == ["Normal", "Abnormal"]


@pytest.mark.parametrize("count", [4, 5, 8, 13])
def test_label_lists_are_alphabetical_and_known(count):
    labels = DETECTOR_LABELS[count]
    assert len(labels) == count
    assert list(labels) == sorted(labels)
    assert set(labels) <= set(FINDING_CODES)


def test_each_list_contains_the_shorter_one():
    assert set(DETECTOR_LABELS[4]) < set(DETECTOR_LABELS[5]) < set(DETECTOR_LABELS[8])
    assert set(DETECTOR_LABELS[8]) < set(DETECTOR_LABELS[13])


def test_codes_have_the_form_of_their_system():
    forms = {"SCT": str.isdigit, "DCM": str.isdigit, "UMLS": lambda value: value[0] == "C"}
    for code in filter(None, CODES.values()):
        assert forms[code.system](code.value), code
    assert CODES["Cardiomegaly"].system == "UMLS"  # its SNOMED CT code is contradicted
    assert CODES["Aortic elongation"] is None
