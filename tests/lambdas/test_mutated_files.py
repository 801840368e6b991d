"""500 damaged files: each ends as analysed or rejected within its limits; the worker never dies."""

import hashlib
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import uid

from lambdas.batch.analyse import Models, analyse
from lambdas.shared.errors import REJECTION_CODES
from lambdas.shared.isolated_reader import START_SECONDS, IsolatedReader
from lambdas.shared.limits import DECODE_WALL_SECONDS
from lambdas.shared.records import Source, record_validator
from tests.builders import dicom, film, jpeg, png, tiff, to_8_bit
from tests.conftest import SHARED_DATA
from training.demo_images import DEMO_IMAGES
from training.phantoms.draw import draw_study
from training.phantoms.plan import plan_study

MUTATIONS = 500
SEED = 20_261_122

SLACK_SECONDS = 10
"""Beyond the reader's own limit, for the stages after it on a busy machine."""

Mutation = Callable[[np.random.Generator, bytes, bytes], bytes]


def truncated(rng: np.random.Generator, data: bytes, _: bytes) -> bytes:
    return data[: int(rng.integers(0, len(data)))]


def bits_flipped(rng: np.random.Generator, data: bytes, _: bytes) -> bytes:
    mutated = bytearray(data)
    for position in rng.integers(0, len(data), size=int(rng.integers(1, 40))):
        mutated[position] ^= 1 << int(rng.integers(0, 8))
    return bytes(mutated)


def spliced(rng: np.random.Generator, data: bytes, other: bytes) -> bytes:
    start, end = sorted(int(value) for value in rng.integers(0, len(data), size=2))
    cut = int(rng.integers(0, len(other)))
    return data[:start] + other[cut : cut + (end - start)] + data[end:]


def header_lies(rng: np.random.Generator, data: bytes, _: bytes) -> bytes:
    """Extreme numbers where sizes, counts and offsets stand."""
    mutated = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        value = rng.choice([b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x7f\xff", b"\x01\x00\x00"])
        position = int(rng.integers(0, min(len(data), 2048)))
        mutated[position : position + len(value)] = bytes(value)
    return bytes(mutated)


def block_repeated(rng: np.random.Generator, data: bytes, _: bytes) -> bytes:
    start = int(rng.integers(0, len(data)))
    block = data[start : start + int(rng.integers(1, 4096))]
    return data[:start] + block * int(rng.integers(2, 20)) + data[start:]


MUTATORS: tuple[Mutation, ...] = (truncated, bits_flipped, spliced, header_lies, block_repeated)


def whole_files() -> list[bytes]:
    """One of each format and encoding, the demo's, and the real ones where they are at hand."""
    pixels, eight = film(), to_8_bit(film())
    made = [
        png((pixels << 4).astype(np.uint16)),
        png(eight),
        jpeg(eight),
        tiff(eight, compression="tiff_lzw"),
        dicom(pixels, preamble=False),
        dicom(eight, bits=8, syntax=uid.JPEGBaseline8Bit),
        *(
            dicom(pixels, syntax=syntax)
            for syntax in (
                uid.ImplicitVRLittleEndian,
                uid.ExplicitVRBigEndian,
                uid.DeflatedExplicitVRLittleEndian,
                uid.RLELossless,
                uid.JPEGLosslessSV1,
                uid.JPEGExtended12Bit,
                uid.JPEGLSLossless,
                uid.JPEG2000Lossless,
                uid.HTJ2KLossless,
            )
        ),
    ]
    drawn = [
        image.write(draw_study(plan_study(seed=SEED, index=image.study), size_px=400))
        for image in DEMO_IMAGES
    ]
    real = sorted(path for path in SHARED_DATA.rglob("*") if path.suffix != ".csv")
    return made + drawn + [path.read_bytes() for path in real if path.is_file()]


@pytest.mark.slow
def test_every_damaged_file_ends_as_a_record(
    models: Models, reader: IsolatedReader, tmp_path: Path
) -> None:
    files = whole_files()
    rng = np.random.default_rng(SEED)
    ends: Counter[str] = Counter()
    slowest = 0.0
    for number in range(MUTATIONS):
        data, other = files[number % len(files)], files[int(rng.integers(len(files)))]
        mutated = MUTATORS[int(rng.integers(len(MUTATORS)))](rng, data, other)
        (tmp_path / "last").write_bytes(mutated)  # what to look at should this test end here
        source = Source(None, f"{number}.bin", None, hashlib.sha256(mutated).hexdigest())
        start = time.monotonic()
        record = analyse(mutated, source=source, models=models, reader=reader).record
        slowest = max(slowest, time.monotonic() - start)
        record_validator().validate(record)
        ends[record["rejection"]["code"] if record["rejection"] else "analysed"] += 1
    print(f"slowest {slowest:.1f} s;", dict(ends.most_common()))  # noqa: T201
    assert sum(ends.values()) == MUTATIONS
    assert set(ends) <= {*REJECTION_CODES, "analysed"}
    assert ends["analysed"] >= MUTATIONS // 20
    assert ends["broken_file"] >= MUTATIONS // 10
    assert slowest < START_SECONDS + DECODE_WALL_SECONDS + SLACK_SECONDS
