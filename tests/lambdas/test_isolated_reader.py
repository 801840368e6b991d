"""A decoder that hangs, spins, crashes or eats memory costs one image, never the worker."""

import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from lambdas.shared import decode_process, isolated_reader
from lambdas.shared.errors import ContractError, InputError
from lambdas.shared.isolated_reader import IsolatedReader
from lambdas.shared.read import read_radiograph
from tests.builders import dicom, film, png

FILM = png((film() << 4).astype(np.uint16))


def child(tmp_path: Path, reading: str, *, setup: str = "") -> tuple[str, ...]:
    """A command that runs the real child with another function in the place of the reader."""
    script = tmp_path / "child.py"
    body = f"""
        import os, sys, time
        from pathlib import Path
        from lambdas.shared import decode_process, limits, read
        real = read.read_radiograph
        {setup}
        def reading(data):
            {reading}
        read.read_radiograph = reading
        decode_process.main()
    """
    script.write_text(textwrap.dedent(body))
    return (sys.executable, str(script))


def rejection(reader: IsolatedReader, data: bytes = FILM) -> str:
    with pytest.raises(InputError) as caught:
        reader.read(data)
    return caught.value.code


def test_gives_what_reading_in_process_gives(reader: IsolatedReader) -> None:
    for data in (FILM, dicom()):
        isolated, plain = reader.read(data), read_radiograph(data)
        assert isolated.facts == plain.facts
        assert np.array_equal(isolated.pixels, plain.pixels)


def test_rejection_crosses_the_boundary_whole(reader: IsolatedReader) -> None:
    data = dicom(Modality="CT")
    with pytest.raises(InputError) as plain:
        read_radiograph(data)
    with pytest.raises(type(plain.value)) as isolated:
        reader.read(data)
    assert (isolated.value.code, isolated.value.message) == (plain.value.code, plain.value.message)


def test_decoder_that_waits_is_stopped(tmp_path: Path) -> None:
    with IsolatedReader(command=child(tmp_path, "time.sleep(600)"), wall_seconds=1) as reader:
        assert rejection(reader) == "decode_time"


def test_decoder_that_computes_for_ever_is_stopped(tmp_path: Path) -> None:
    command = child(tmp_path, "while True: pass", setup="limits.DECODE_CPU_SECONDS = 0")
    with IsolatedReader(command=command) as reader:
        assert rejection(reader) == "decode_time"


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no limit on memory here")
def test_decoder_that_eats_memory_is_stopped(tmp_path: Path) -> None:
    command = child(
        tmp_path, "return bytearray(200 << 20)", setup="limits.DECODE_MEMORY_BYTES = 100 << 20"
    )
    with IsolatedReader(command=command) as reader:
        assert rejection(reader) == "decode_memory"


def test_decoder_that_crashes_is_tried_once_more_then_named(tmp_path: Path) -> None:
    tries = tmp_path / "tries"
    # the child may not write to files, but may make them
    crash = f"os.mkdir({str(tries)!r} + str(os.getpid())); os.abort()"
    with IsolatedReader(command=child(tmp_path, crash)) as reader:
        assert rejection(reader) == "decoder_crashed"
    assert len(list(tmp_path.glob("tries*"))) == 2


def test_crash_of_the_machine_does_not_blame_the_image(tmp_path: Path) -> None:
    """Killed once, as by a machine short of memory: the second child reads the image."""
    first = tmp_path / "first"
    first.mkdir()
    reading = f"if os.path.isdir({str(first)!r}): os.rmdir({str(first)!r}); os.kill(os.getpid(), 9)"
    command = child(tmp_path, reading + "\n            return real(data)")
    with IsolatedReader(command=command) as reader:
        assert reader.read(FILM).pixels.shape == film().shape


def test_reader_goes_on_after_a_bad_image(tmp_path: Path) -> None:
    reading = "if data == b'bad': os.abort()\n            return real(data)"
    with IsolatedReader(command=child(tmp_path, reading)) as reader:
        assert reader.read(FILM).facts.format == "png"
        assert rejection(reader, b"bad") == "decoder_crashed"
        assert reader.read(FILM).facts.format == "png"


def test_what_a_library_prints_does_not_break_the_protocol(tmp_path: Path) -> None:
    command = child(tmp_path, "print('libtiff: warning'); return real(data)")
    with IsolatedReader(command=command) as reader:
        assert reader.read(FILM).facts.format == "png"


def test_child_that_cannot_start_is_our_fault_not_the_images() -> None:
    with (
        IsolatedReader(command=(sys.executable, "-c", "raise SystemExit(3)")) as reader,
        pytest.raises(ContractError, match="does not start"),
    ):
        reader.read(FILM)


def test_child_is_replaced_after_many_images(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(isolated_reader, "IMAGES_PER_PROCESS", 2)
    with IsolatedReader() as reader:
        children = []
        for _ in range(3):
            reader.read(FILM)
            children.append(reader._child)
        assert children[0] is children[1]
        assert children[1] is not children[2]


def test_child_ends_with_its_parent() -> None:
    reader = IsolatedReader()
    reader.read(FILM)
    process = reader._child
    assert process is not None
    assert process.stdin is not None
    process.stdin.close()  # as when the parent is killed
    assert process.stdout is not None
    with process.stdout:
        assert process.wait(timeout=10) == 0


def test_file_beyond_the_limit_is_not_sent(
    reader: IsolatedReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolated_reader, "MAX_FILE_BYTES", 1000)
    assert rejection(reader) == "too_many_bytes"


def test_protocol_heads_have_fixed_sizes() -> None:
    assert (decode_process.REQUEST_HEAD.size, decode_process.ANSWER_HEAD.size) == (8, 4)
