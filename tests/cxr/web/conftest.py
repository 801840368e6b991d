"""The page under Streamlit's AppTest, with models whose answers are known."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from lambdas.shared import records
from lambdas.shared.records import Record
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
