import errno
import os
from pathlib import Path

import pytest

from cxr.output_folder import OutputFolder
from lambdas.shared.errors import InvalidRequestError, StorageUnavailableError

FILES = {"report.pdf": b"report", "thumbnail.jpg": b"thumbnail"}


def test_the_record_comes_last_and_an_old_one_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = []
    replace = os.replace

    def watched(source: str, target: str, **descriptors: int) -> None:
        order.append((target, (tmp_path / "out/a/1.png/record.json").exists()))
        replace(source, target, **descriptors)

    with OutputFolder(tmp_path / "out") as folder:
        folder.save_result("a/1.png", record=b"{}", files=FILES)
        monkeypatch.setattr("cxr.output_folder.os.replace", watched)
        folder.save_result("a/1.png", record=b"{}", files=FILES)
    assert order == [("report.pdf", False), ("thumbnail.jpg", False), ("record.json", False)]


def test_files_of_an_earlier_result_do_not_stay_beside_a_new_one(tmp_path: Path) -> None:
    with OutputFolder(tmp_path) as folder:
        folder.save_result("1.png", record=b"{}", files=FILES)
        folder.save_result("1.png", record=b"{}", files={"report.pdf": b"rejected"})
    assert sorted(path.name for path in (tmp_path / "1.png").iterdir()) == [
        "record.json",
        "report.pdf",
    ]


@pytest.mark.parametrize("place", ["..", "../x", "a/../../x", "/etc", "a//b", ""])
def test_no_folder_leads_outside(tmp_path: Path, place: str) -> None:
    with OutputFolder(tmp_path / "out") as folder, pytest.raises(OSError, match="not the name"):
        folder.save_result(place, record=b"{}", files={})
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_partial_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/precious").touch()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/.cxr-partial").symlink_to("../elsewhere", target_is_directory=True)
    with pytest.raises(InvalidRequestError, match="cannot be used"), OutputFolder(tmp_path / "out"):
        pass
    assert (tmp_path / "elsewhere/precious").exists()


def test_a_full_disk_ends_the_run_and_leaves_no_partial_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with OutputFolder(tmp_path) as folder:
        monkeypatch.setattr("cxr.output_folder.os.fsync", full)
        with pytest.raises(StorageUnavailableError, match="No space left on device"):
            folder.save_result("1.png", record=b"{}", files=FILES)
        with pytest.raises(StorageUnavailableError, match="the same command goes on"):
            folder.save_file("index.html", b"")
    assert [path.name for path in (tmp_path / ".cxr-partial").iterdir()] == ["lock"]


def test_one_run_at_a_time(tmp_path: Path) -> None:
    with (
        OutputFolder(tmp_path),
        pytest.raises(InvalidRequestError, match="another run"),
        OutputFolder(tmp_path),
    ):
        pass
    with OutputFolder(tmp_path):
        pass


def test_names_are_folded_as_the_file_system_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with OutputFolder(tmp_path) as folder:
        real = (tmp_path / "Probe").touch() or (tmp_path / "probe").exists()
        assert (folder.fold("A") == folder.fold("a")) is real
    with OutputFolder(tmp_path) as folder:
        monkeypatch.setattr(folder, "_is_one_name", lambda first, second: True)
        assert folder.fold("Caf\u00c9") == folder.fold("cafe\u0301")
