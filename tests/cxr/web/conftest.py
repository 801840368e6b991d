"""The page under Streamlit's AppTest, with models whose answers are known."""

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from lambdas.batch.analyse import Models, analyse
from lambdas.shared import records
from lambdas.shared.isolated_reader import IsolatedReader
from lambdas.shared.records import Record, Source
from tests.builders import dicom, film, png
from tests.conftest import REPOSITORY

APP = REPOSITORY / "cxr" / "web" / "app.py"

Open = Callable[..., AppTest]


def bright(seed: int = 0) -> bytes:
    """A film that the tiny classifier calls abnormal."""
    return png((4095 - film(height=300, width=300, seed=seed)).astype(np.uint16))


def dark(seed: int = 0) -> bytes:
    """A film that it calls normal."""
    return png(((film(seed=seed) / 4095) ** 3 * 4095).astype(np.uint16))


def lateral() -> bytes:
    """A DICOM file that is refused."""
    return dicom(ViewPosition="LL")


@pytest.fixture
def page(
    tiny_models_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Open]:
    """Open the page with the tiny models and further arguments."""

    def open_page(*arguments: str, models: Path = tiny_models_folder) -> AppTest:
        argv = ["app.py", f"--models={models}", f"--samples={tmp_path / 'samples'}", *arguments]
        monkeypatch.setattr(sys, "argv", argv)
        return AppTest.from_file(str(APP), default_timeout=60).run()

    yield open_page
    st.cache_data.clear()


@pytest.fixture(scope="session", autouse=True)
def _models_are_let_go() -> Iterator[None]:
    """All tests of a worker share one engine, as all sessions of a server do."""
    yield
    st.cache_resource.clear()


def upload(at: AppTest, *files: tuple[str, bytes]) -> AppTest:
    """Put files into the uploader and let the page run until all are analysed."""
    at.file_uploader[0].set_value([(name, data, "") for name, data in files])
    return at.run()


def words(at: AppTest) -> str:
    """Every text that the page shows, in order."""
    kinds = ("html", "markdown", "caption", "error", "info", "warning", "success")
    return "\n".join(str(each.value) for kind in kinds for each in at.get(kind))


def save_result(root: Path, record: Record, **files: bytes) -> None:
    """A result as the command writes it."""
    place = root / record["source"]["key"]
    place.mkdir(parents=True)
    for name, content in files.items():
        (place / name.replace("_", ".")).write_bytes(content)
    (place / "record.json").write_bytes(records.to_json(record))


KEYS = ("SMITH^JOHN/1.dcm", "2.dcm", "3.dcm")
"""Of the results: abnormal, normal, rejected."""


@pytest.fixture
def results(tmp_path: Path, models: Models, reader: IsolatedReader) -> Path:
    """Three real results: abnormal, normal, rejected."""
    root = tmp_path / "results"
    for key, data in zip(KEYS, (bright(), dark(), b"no image"), strict=True):
        _save(root, key, data, models, reader)
    return root


def _save(root: Path, key: str, data: bytes, models: Models, reader: IsolatedReader) -> Record:
    source = Source(None, key, None, hashlib.sha256(data).hexdigest())
    analysis = analyse(data, source=source, models=models, reader=reader)
    save_result(root, analysis.record, **{"report_pdf": analysis.files["report.pdf"]})
    return analysis.record


def record_in(place: Path) -> Record:
    """The record of a result."""
    found: Record = json.loads((place / "record.json").read_bytes())
    return found


def results_page(page: Open, *arguments: str) -> AppTest:
    """The second view."""
    at = page(*arguments)
    # switch_page takes files alone, and these pages are functions
    pages = {info["url_pathname"]: name for name, info in at._registered_pages.items()}
    at._page_hash = pages["results"]
    return at.run()


def opened(at: AppTest, place: Path | str, key: str) -> AppTest:
    """One result, as if its row had been ticked."""
    at.session_state["opened"] = (str(place), key)
    return at.run()
