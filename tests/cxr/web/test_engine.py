"""What all sessions share: models, and readers that serve one image at a time."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cxr.web.engine import Engine
from tests.cxr.web.conftest import bright, dark, lateral

NONE: frozenset[str] = frozenset()


@pytest.fixture(scope="module")
def engine(tiny_models_folder: Path) -> Iterator[Engine]:
    opened = Engine(tiny_models_folder, readers=2)
    yield opened
    opened.close()


def test_many_at_once_get_their_own_answers(engine: Engine) -> None:
    films = {f"{index}.png": (bright if index % 2 else dark)(index) for index in range(8)}
    alone = {
        name: engine.analyse(data, name=name, detect_all=False, formats=NONE).record
        for name, data in films.items()
    }
    together: dict[str, dict[str, object]] = {}
    start = threading.Barrier(len(films))

    def run(name: str, data: bytes) -> None:
        start.wait()
        image = engine.analyse(data, name=name, detect_all=False, formats=NONE)
        assert image.radiograph is not None
        together[name] = image.record | {"seen": image.radiograph.facts.sha256}

    threads = [threading.Thread(target=run, args=item) for item in films.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(together) == len(films)
    for name, record in together.items():
        assert record["triage"] == alone[name]["triage"]
        assert record["findings"] == alone[name]["findings"]
        assert record["seen"] == alone[name]["source"]["sha256"]


def test_refused_image_keeps_no_pixels_of_the_one_before(engine: Engine) -> None:
    for _ in range(3):  # of either reader
        engine.analyse(bright(), name="1", detect_all=False, formats=NONE)
    image = engine.analyse(lateral(), name="2", detect_all=False, formats=NONE)
    assert image.record["status"] == "rejected"
    assert image.radiograph is None


def test_detector_is_asked_at_other_thresholds(engine: Engine) -> None:
    image = engine.analyse(dark(), name="1", detect_all=False, formats=NONE)
    assert image.radiograph is not None
    assert [e["score"] for e in engine.findings_from(image.radiograph, None)] == [0.9, 0.4]
    found = engine.findings_from(image.radiograph, 0.5)
    assert [(e["label"], e["threshold"]) for e in found] == [("Cardiomegaly", 0.5)]
    assert set(found[0]) == {"label", "code", "score", "threshold", "box", "box_normalised"}


def test_readers_end_with_the_engine(tiny_models_folder: Path) -> None:
    opened = Engine(tiny_models_folder, readers=2)
    with opened.reader() as one, opened.reader() as two:
        children = [one._child, two._child]
    opened.close()
    assert [child.poll() is not None for child in children if child] == [True, True]
