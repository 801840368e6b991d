"""Arithmetic and tables of the whole-path benchmark, and one small run of it."""

import json

import pytest

from export.bench_path import PathPlan, jpeg2000_summary, measure_path, medians, summary
from export.bench_path_table import path_markdown, path_table
from lambdas.shared.errors import ConfigError
from tests.conftest import REPOSITORY


def answer(total, **others):
    parts = {"read": 1.0, "classify": 2.0, "detect": 3.0, "report": 4.0, "total": total}
    return {"ms": parts, "boxes": 2, **others}


def found(ours, seed, *, px, film, decoder="pydicom"):
    return {
        (f"ours {px}", film): [answer(total) for total in ours],
        (f"seed {px}", film): [answer(total, decoder=decoder) for total in seed],
    }


@pytest.fixture
def result():
    answers = (
        found([100.0, 120.0, 900.0], [600.0, 1200.0, 700.0], px=800, film="PNG")
        | found([50.0], [100.0], px=512, film="PNG")
        | found([10.0], [90.0], px=800, film="DICOM", decoder="imagecodecs (no other)")
        | found([10.0], [50.0], px=512, film="DICOM")
        | {("shipped", "PNG"): [answer(70.0)], ("shipped", "DICOM"): [answer(80.0)]}
    )
    measured = summary(answers, {"PNG": 10_400_000, "DICOM": 12_300_000}, detector_px=(800, 512))
    return measured | {
        "film_px": 2500,
        "repeats": 3,
        "threads": 2,
        "classifier_px": 380,
        "proposals": 300,
        "precision": "int8",
        "shipped": {"precision": "float32", "detector_px": 256},
        "jpeg2000": {
            "full_ms": {"ours": 700.0, "gdcm": 500.0},
            "reduced_ms": {"ours": 300.0},
            "left_out": ["pylibjpeg-openjpeg"],
        },
    }


def test_a_ratio_is_of_medians_so_that_one_slow_turn_changes_nothing(result):
    png = result["formats"][0]
    assert png["ours_ms"]["total"] == 120.0
    assert png["seed_ms"]["total"] == 700.0
    assert png["ratio"] == pytest.approx(700 / 120)


def test_the_path_ratio_is_the_median_over_formats_of_the_first_size(result):
    assert result["path_ratio"] == pytest.approx((700 / 120 + 9) / 2)
    assert result["path_ratios"]["512"] == pytest.approx((2 + 5) / 2)


def test_medians_are_taken_part_by_part():
    turns = [answer(10.0), answer(30.0), answer(20.0)]
    turns[0]["ms"]["read"] = 99.0
    assert medians(turns) == {
        "read": 1.0,
        "classify": 2.0,
        "detect": 3.0,
        "report": 4.0,
        "total": 20.0,
    }


def test_decoders_get_the_median_of_their_turns():
    turns = [
        {"full_ms": {"ours": ms}, "reduced_ms": {"ours": ms / 4}, "left_out": []}
        for ms in (900.0, 700.0, 800.0)
    ]
    assert jpeg2000_summary(turns) == {
        "full_ms": {"ours": 800.0},
        "reduced_ms": {"ours": 200.0},
        "left_out": [],
    }
    assert jpeg2000_summary([]) is None


@pytest.mark.parametrize("table", [path_table, path_markdown])
def test_tables_say_what_was_compared_and_what_was_not(result, table):
    text = table(result)
    assert "detector at 800 px" in text
    assert "reads DICOM by imagecodecs" in text  # another decoder than the usual one is told
    assert "not compared: pylibjpeg-openjpeg" in text
    assert "without a ratio" in text  # the shipped pair does less work


def test_columns_of_the_terminal_stand_under_each_other(result):
    lines = path_table(result).splitlines()
    head = next(line for line in lines if line.startswith("Format"))
    end = head.index("Total ms") + len("Total ms")
    rows = [line for line in lines if " ours 800 " in line or " shipped " in line]
    assert [row[:end].split()[-1] for row in rows] == ["120", "70", "10", "80"]
    assert max(map(len, lines)) <= 110


def test_a_model_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError, match="no folder of bundles"):
        measure_path(models=tmp_path / "none", repeats=1, tell=print)


def test_no_repeats_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="repeats is 0"):
        measure_path(models=tmp_path, repeats=0, tell=print)


def test_an_unknown_format_is_told_with_those_there_are(tmp_path):
    plan = PathPlan(formats=("GIF",), work=tmp_path)
    with pytest.raises(ConfigError, match=r"\['GIF'\]; there are PNG 8 bit, PNG 16 bit"):
        measure_path(models=tmp_path, repeats=1, tell=print, plan=plan)


@pytest.mark.slow
def test_a_small_run_measures_both_ways_and_never_imports_torch_in_ours(tmp_path):
    pytest.importorskip("torch")
    plan = PathPlan(
        film_px=400,
        formats=("PNG 16 bit", "DICOM JPEG 2000 lossless"),
        classifier_px=96,
        detector_px=(128,),
        proposals=50,
        work=tmp_path,
    )
    # a process of ours that has imported torch ends the run with an error
    measured = measure_path(
        models=REPOSITORY / "models" / "demo", repeats=1, tell=lambda line: None, plan=plan
    )
    assert json.loads(json.dumps(measured)) == measured
    assert [entry["format"] for entry in measured["formats"]] == list(plan.formats)
    for entry in measured["formats"]:
        assert entry["boxes"] == {"ours": 2, "seed": 2}  # the same to draw in both
        for way in ("ours_ms", "seed_ms", "shipped_ms"):
            times = entry[way]
            parts = times["read"] + times["classify"] + times["detect"] + times["report"]
            assert all(value > 0 for value in times.values())
            assert parts <= times["total"] + 1  # the record's times are rounded
    assert set(measured["jpeg2000"]["full_ms"]) > set(measured["jpeg2000"]["reduced_ms"])
    assert "ours 128" in path_table(measured)
    built = sorted(path.name for path in tmp_path.glob("*/*"))
    assert built == ["classifier-96", "detector-128-50", "pair-96-128-50-int8-d"]
