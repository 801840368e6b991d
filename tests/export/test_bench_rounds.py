"""Whose turn it is, and processes that hold a backend."""

import json
import subprocess
import sys

import numpy as np
import onnx
import pytest

from export.bench_backends import Backend, as_image, as_normalised
from export.bench_machine import BusyMeter, Turn, load_average, machine, warnings_about
from export.bench_peak import example, peak_graphs
from export.bench_rounds import Child, measure, order
from lambdas.shared.errors import ContractError
from training.classifier import IMAGENET_MEAN, IMAGENET_STD


@pytest.mark.parametrize("count", [1, 2, 5])
def test_everyone_has_one_turn_a_round(count):
    for number in range(2 * count):
        assert sorted(order(count, number)) == list(range(count))


def test_the_order_rotates_and_runs_backwards_every_other_round():
    assert [order(3, number) for number in range(4)] == [[0, 1, 2], [2, 1, 0], [1, 2, 0], [0, 2, 1]]


def test_over_the_rounds_everyone_stands_first_and_last():
    turns = [order(4, number) for number in range(8)]
    assert {turn[0] for turn in turns} == {0, 1, 2, 3}
    assert {turn[-1] for turn in turns} == {0, 1, 2, 3}


def test_nobody_needs_no_turn():
    assert order(0, 3) == []


@pytest.fixture
def product(tmp_path):
    """A backend that multiplies two matrices."""
    name, precision, graph, operations = next(peak_graphs())
    onnx.save(graph, tmp_path / "product.onnx")
    np.save(tmp_path / "x.npy", example(graph))
    return Backend(
        name=name,
        engine="onnxruntime",
        path=str(tmp_path / "product.onnx"),
        task="peak",
        size=0,
        input=str(tmp_path / "x.npy"),
        operations=operations,
        precision=precision,
        runs=2,
        loads=2,
    )


@pytest.mark.slow
def test_backends_are_measured_in_processes_of_their_own(product, tmp_path):
    meter, told = BusyMeter(), []
    found = measure([product, product], rounds=3, logs=tmp_path, meter=meter, tell=told.append)
    for one in found:
        assert [len(turn) for turn in one.rounds] == [2, 2, 2]
        assert all(value > 0 for turn in one.rounds for value in turn)
        assert len(one.load_s) == len(one.start_s) == product.loads
        assert all(0 < load < start for load, start in zip(one.load_s, one.start_s, strict=True))
        assert one.peak_mb > 10
        assert one.processor_s > 0
    assert told[-1] == "  round 3 of 3"


@pytest.mark.slow
def test_a_backend_that_fails_says_what_it_wrote(product, tmp_path):
    (tmp_path / "product.onnx").write_bytes(b"no graph")
    with pytest.raises(ContractError, match=r"'MatMul float32' ended; the last it wrote:\n[^$]+"):
        Child(product, tmp_path / "log")


def test_a_process_that_runs_ours_never_imports_torch():
    code = (
        "import json, sys\n"
        "from export import bench_child\n"
        "from export.bench_backends import Backend, import_engine\n"
        "import_engine(Backend('', 'bundle', '', 'detection', 0, '', None))\n"
        "print(json.dumps(sorted(sys.modules)))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    loaded = set(json.loads(found))
    assert "onnxruntime" in loaded
    assert not {"torch", "onnx", "openvino", "matplotlib"} & loaded


def test_inputs_are_what_each_library_takes():
    grey = np.linspace(0, 1, 2 * 6, dtype=np.float32).reshape(2, 1, 2, 3)
    assert as_image(grey[:1]).shape == (3, 2, 3)
    assert np.array_equal(as_image(grey[:1])[2], grey[0, 0])
    normalised = as_normalised(grey)
    assert normalised.shape == (2, 3, 2, 3)
    assert normalised.dtype == np.float32
    expected = (grey[1, 0] - IMAGENET_MEAN[2]) / IMAGENET_STD[2]
    assert np.allclose(normalised[1, 2], expected)


def test_others_get_what_the_benchmark_did_not_use():
    meter = BusyMeter(processors=2)
    # half of the turn was timed: 1.8 of 2 s of the timed half were our own
    meter.note(Turn(processor_s=1.8, wall_s=1.0), busy_s=4.0, total_s=4.0)
    assert meter.others_share == pytest.approx(0.1)


def test_a_machine_of_our_own_has_no_others():
    meter = BusyMeter(processors=2)
    assert meter.others_share is None
    meter.note(Turn(processor_s=2.1, wall_s=1.0), busy_s=2.0, total_s=2.0)
    assert meter.others_share == 0


@pytest.mark.parametrize(
    ("share", "load", "expected"),
    [
        (0.0, 0.0, []),
        (None, None, []),
        (0.5, 0.0, ["other processes used 50%"]),
        (0.0, 1e3, ["the load average before the first run was 1000.0"]),
    ],
)
def test_a_busy_machine_is_warned_about(share, load, expected):
    found = warnings_about(share, load)
    assert len(found) == len(expected)
    assert all(text.startswith(start) for text, start in zip(found, expected, strict=True))


def test_the_machine_names_itself():
    found = machine()
    assert found["cpu"]
    assert found["processors"] >= 1
    assert found["versions"]["onnxruntime"]
    assert json.loads(json.dumps(found)) == found
    average = load_average()
    assert average is None or average >= 0
