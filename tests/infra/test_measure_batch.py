"""The measurement that the page of costs is made from."""

import json
from pathlib import Path

import pytest

from infra.measure_batch import main
from tests.builders import film, png

pytestmark = pytest.mark.slow


def test_figures_are_measured_on_the_images_it_is_given(
    tmp_path: Path, tiny_models_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = png(film())
    for number in range(2):
        (tmp_path / f"{number}.png").write_bytes(data)
    (tmp_path / "README.txt").write_text("no image")
    chosen = ["--images", str(tmp_path), "--models", str(tiny_models_folder), "--batches", "3"]
    assert main(chosen) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["images"] == 4  # the first batch of three is cold
    assert figures["image_bytes"] == len(data)
    assert 0 < figures["image_cpu_ms"] < 60_000
    assert {"read_ms", "classify_ms", "report_ms"} <= set(figures["step_ms"])
    assert figures["result_bytes"] > 1000


def test_without_images_it_says_where_to_get_some(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--images", str(tmp_path)]) == 1
    assert "make demo" in capsys.readouterr().err
