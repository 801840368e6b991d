from pathlib import Path

import pytest

from cxr.discover import Image
from cxr.worker import Analysed, Failed
from cxr.workers import analyse_images
from tests.conftest import REPOSITORY
from tests.cxr.fakes import FakeAnalyser, image


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(REPOSITORY))


def test_a_worker_that_hangs_is_killed_and_its_image_fails(tmp_path: Path) -> None:
    images = []
    for name, behaviour in (("1", f"sleep 600 {tmp_path / 'begun'}"), ("2", "normal")):
        (tmp_path / name).write_bytes(image(behaviour))
        images.append(Image(tmp_path / name, name))
    events = list(
        analyse_images(
            images,
            analyser=FakeAnalyser(),
            workers=1,
            stop_level=lambda: 0,
            image_limit_s=1.0,
        )
    )
    done = [event.image.key for event in events if isinstance(event, Analysed)]
    failed = [event for event in events if isinstance(event, Failed)]
    assert done == ["2"]
    assert [event.image.key for event in failed] == ["1"]
    assert "2 times" in failed[0].reason


def test_nothing_to_do_starts_nothing() -> None:
    assert list(analyse_images([], analyser=FakeAnalyser(), workers=4, stop_level=lambda: 0)) == []
