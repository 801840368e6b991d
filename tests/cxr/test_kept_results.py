"""Results that the page keeps lie as `cxr analyze` writes them."""

from pathlib import Path

import pytest

from cxr.kept_results import is_kept, keep_result
from cxr.stored_results import FolderResults
from lambdas.shared.errors import InvalidRequestError
from tests.cxr.review_examples import record

FILES = {"report.pdf": b"%PDF", "thumbnail.jpg": b"\xff\xd8\xff", "dicom/sr.dcm": b"SR"}


def test_kept_result_is_whole(tmp_path: Path) -> None:
    of, folder = record(key="1.png"), tmp_path / "new"
    assert not is_kept(folder, of)
    keep_result(folder, of, FILES)
    assert is_kept(folder, of)
    store = FolderResults(folder)
    assert store.record("1.png") == of
    assert {name: store.file("1.png", name) for name in FILES} == FILES
    keep_result(folder, of, FILES)  # once more does no harm


def test_folder_holds_one_model_set(tmp_path: Path) -> None:
    keep_result(tmp_path, record(key="1.png"), {})
    other = record(key="2.png") | {"model_set": "f" * 16}
    with pytest.raises(InvalidRequestError, match="another model set"):
        keep_result(tmp_path, other, {})


def test_another_image_of_that_name_is_not_overwritten(tmp_path: Path) -> None:
    keep_result(tmp_path, record(key="1.png", data=b"one"), {})
    other = record(key="1.png", data=b"two")
    with pytest.raises(InvalidRequestError, match="give this one another name"):
        keep_result(tmp_path, other, {})
    assert not is_kept(tmp_path, other)


@pytest.mark.parametrize("name", ["..", "a/b", "nul\0"])
def test_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    of = record(key="x")
    of = of | {"source": of["source"] | {"key": name}}
    assert not is_kept(tmp_path, of)
    with pytest.raises(InvalidRequestError, match="is not the name of a file"):
        keep_result(tmp_path, of, {})
