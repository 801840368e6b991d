"""Medians, ratios, percent of the peak, and how they read."""

from pathlib import Path

import pytest

from export.bench_backends import Backend
from export.bench_cases import EAGER, EAGER_FEWER, FLOAT32, INT8, OPENVINO, Case
from export.bench_figures import case_figures, headline, our_row, rate, ratio
from export.bench_report import cells, markdown, summary, terminal
from export.bench_rounds import Measured


def measured(path, name, rounds, *, task="detection", precision="float32", proposals=300, gop=2):
    backend = Backend(
        name=name,
        engine="bundle",
        path=str(path),
        task=task,
        size=512,
        input="",
        operations=gop * 10**9,
        precision=precision,
        proposals=None if task == "peak" else proposals,
    )
    return Measured(
        backend,
        rounds=rounds,
        load_s=[0.3, 0.1, 0.2],
        start_s=[1.0, 3.0, 2.0],
        peak_mb=214.0,
        processor_s=1.9,
        wall_s=1.0,
    )


@pytest.fixture
def weights(tmp_path) -> Path:
    path = tmp_path / "weights"
    path.write_bytes(bytes(3_000_000))
    return path


def figures(path, *, key="detector_512", size=512):
    found = [
        measured(path, EAGER, [[1200.0, 1300.0], [1190.0, 1210.0]], proposals=1000, gop=4),
        measured(path, EAGER_FEWER, [[800.0]]),
        measured(path, FLOAT32, [[400.0]]),
        measured(path, INT8, [[210.0, 190.0, 200.0]], precision="int8"),
        measured(path, "slow product", [[100.0]], task="peak", gop=1),
        measured(path, "product", [[20.0, 10.0, 30.0]], task="peak", gop=1),
        measured(path, "int8 product", [[50.0]], task="peak", precision="int8", gop=1),
    ]
    case = Case(key, f"Detector, {size} px", "detection", size, 1, ())
    return case_figures(case, found)


def by_name(case):
    return {row["backend"]: row for row in case["rows"]}


def test_figures_are_medians_of_all_runs(weights):
    row = by_name(figures(weights))[EAGER]
    assert row["median_ms"] == 1205.0
    assert row["min_ms"] == 1190.0
    assert row["round_medians_ms"] == [1250.0, 1200.0]
    assert row["runs"] == 4
    assert (row["load_s"], row["start_s"], row["loads"]) == (0.2, 2.0, 3)
    assert row["disk_mb"] == 3.0


def test_ratios_are_against_eager_and_against_as_many_proposals(weights):
    rows = by_name(figures(weights))
    assert rows[EAGER]["ratio"] == 1.0
    assert rows[INT8]["ratio"] == pytest.approx(1205 / 200)
    assert rows[INT8]["ratio_of_best"] == pytest.approx(1190 / 190)
    assert rows[INT8]["ratio_equal_proposals"] == pytest.approx(800 / 200)
    assert rows[EAGER]["ratio_equal_proposals"] is None
    assert ratio({"a": 1.0}, "a", "b") is None


def test_the_peak_is_the_fastest_product_of_the_same_precision(weights):
    case = figures(weights)
    assert case["peak_gops"] == {"float32": pytest.approx(100), "int8": pytest.approx(20)}
    rows = by_name(case)
    # 2 billion operations in 200 ms are 10 billion a second
    assert rows[INT8]["percent_of_peak"] == pytest.approx(50)
    assert rows[FLOAT32]["percent_of_peak"] == pytest.approx(5)
    assert set(rows) == {EAGER, EAGER_FEWER, FLOAT32, INT8}


def test_a_batch_counts_for_each_image(weights):
    found = [measured(weights, EAGER, [[400.0]], task="classification")]
    (row,) = case_figures(Case("c", "c", "classification", 380, 4, ()), found)["rows"]
    assert row["median_ms"] == 100.0
    assert row["gops"] == pytest.approx(rate(found[0]) * 4)


def test_the_size_of_a_bundle_is_that_of_its_files(tmp_path):
    (tmp_path / "model.onnx").write_bytes(bytes(2_000_000))
    (tmp_path / "model.json").write_bytes(bytes(500_000))
    found = [measured(tmp_path, EAGER, [[1.0]])]
    (row,) = case_figures(Case("d", "d", "detection", 512, 1, ()), found)["rows"]
    assert row["disk_mb"] == 2.5


def test_the_headline_is_the_form_that_ships(weights):
    detectors = [figures(weights), figures(weights, key="detector_800", size=800)]
    found = headline(detectors, int8_tasks={"detection"})
    assert found["detector_form"] == INT8
    assert found["detector_ratio"] == by_name(detectors[0])[INT8]["ratio"]
    assert found["detector_ratio_800"] == by_name(detectors[1])[INT8]["ratio"]
    assert found["detector_percent_of_peak"] == pytest.approx(50)
    assert found["detector_peak_memory_mb"] == 214.0
    assert "classifier_ratio" not in found


def test_where_float32_ships_the_headline_is_float32_and_says_so(weights):
    case = figures(weights)
    assert our_row(case, {"classification"})["backend"] == FLOAT32
    assert headline([case], int8_tasks=())["detector_form"] == FLOAT32


def result(weights):
    cases = [figures(weights)]
    return {
        "date": "2026-11-23T05:00:00+00:00",
        "quick": False,
        "rounds": 2,
        "machine": {
            "cpu": "A processor",
            "flags": ["avx2"],
            "processors": 2,
            "memory_gb": 8.0,
            "system": "Linux",
            "python": "3.11.7",
            "versions": {"onnxruntime": "1.32", "openvino": None},
        },
        "warnings": ["somebody else was here"],
        "left_out": [f"{OPENVINO}: not installed"],
        **headline(cases, int8_tasks={"detection"}),
        "path_ratio": 7.25,
        "cases": cases,
    }


def test_the_table_names_every_backend_with_its_figures(weights):
    text = terminal(result(weights))
    (ours,) = [line for line in text.splitlines() if line.startswith("  ours, int8")]
    assert ours.split()[2:] == [
        "200.0",
        "190.0",
        "6.03",
        "4.00",
        "50",
        "0.20",
        "2.00",
        "214",
        "3.0",
    ]
    assert "WARNING: somebody else was here" in text
    assert f"Left out: {OPENVINO}: not installed" in text
    assert "float32 100, int8 20" in text
    assert "onnxruntime 1.32;" in text
    assert "openvino" not in text


def test_columns_stand_under_their_headings(weights):
    lines = terminal(result(weights)).splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith("  backend"))
    assert len({len(line) for line in lines[first : first + 5]}) == 1


def test_a_column_that_nobody_fills_is_left_out(weights):
    case = figures(weights)
    for row in case["rows"]:
        row["ratio_equal_proposals"] = None
    columns, lines = cells(case)
    assert "x eager, same proposals" not in columns
    assert {len(line) for line in lines} == {len(columns)}


def test_markdown_has_a_table_of_as_many_cells_in_every_row(weights):
    text = markdown(result(weights))
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1
    assert len(rows) == 2 + 4
    assert any(row.startswith("| **ours, int8** | **200.0** |") for row in rows)


def test_the_summary_says_both_ratios(weights):
    found = dict(summary(result(weights)))
    assert found["detector, 512 px"].startswith("6.03 x torch eager (4.00 x with as many proposals")
    assert found["whole path"] == "7.25 x the proof of concept's way"
