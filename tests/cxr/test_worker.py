import hashlib
import multiprocessing
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from cxr import worker
from cxr.discover import Image
from cxr.worker import Analysed, Failed, Ready, read_source, serve, source_digest
from tests.cxr.fakes import FakeAnalyser, image


def test_no_more_than_one_byte_beyond_the_limit_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "MAX_FILE_BYTES", 1000)
    path = tmp_path / "large"
    path.write_bytes(bytes(5000))
    assert read_source(path) == bytes(1001)
    assert source_digest(path) == hashlib.sha256(bytes(1001)).hexdigest()


def test_the_digest_is_of_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "film"
    path.write_bytes(os.urandom(3_000_000))
    assert source_digest(path) == hashlib.sha256(read_source(path)).hexdigest()


def test_a_file_that_grows_while_it_is_read_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "film"
    path.write_bytes(bytes(100))
    fstat, calls = os.fstat, []

    def growing(descriptor: int) -> os.stat_result:
        calls.append(descriptor)
        if len(calls) == 2:
            with path.open("ab") as file:
                file.write(b"more")
        return fstat(descriptor)

    monkeypatch.setattr(worker.os, "fstat", growing)
    with pytest.raises(OSError, match="changed while it was read"):
        read_source(path)


def answers(monkeypatch: pytest.MonkeyPatch, *images: Image) -> list[Any]:
    """What `serve` says, run in a thread."""
    monkeypatch.setattr(worker.signal, "signal", lambda *_: None)  # main thread only
    ours, theirs = multiprocessing.Pipe()
    thread = threading.Thread(target=serve, args=(theirs, FakeAnalyser()))
    thread.start()
    received = [ours.recv()]
    for given in images:
        ours.send(given)
        received.append(ours.recv())
    ours.close()
    thread.join(10)
    assert not thread.is_alive()
    return received


def test_what_vanished_or_cannot_be_read_fails_and_the_next_image_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "1.png").write_bytes(image())
    vanished, folder, good = (
        Image(tmp_path / "vanished.png", "vanished.png"),
        Image(tmp_path, "folder"),
        Image(tmp_path / "1.png", "1.png"),
    )
    ready, first, second, third = answers(monkeypatch, vanished, folder, good)
    assert isinstance(ready, Ready)
    assert first == Failed(vanished, "cannot be read: No such file or directory")
    assert second == Failed(folder, "cannot be read: Is a directory")
    assert isinstance(third, Analysed)
    assert third.record["source"]["sha256"] == hashlib.sha256(image()).hexdigest()
