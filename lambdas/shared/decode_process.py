"""The child process that reads files nobody vouches for; `isolated_reader` starts and kills it.

A decoder that computes for ever gets SIGXCPU, one that allocates too much gets MemoryError, one
that writes outside its memory takes only this process with it. The child opens no file, and its
core is never dumped: pixels must not reach a disk.

Protocol, on standard input and output, big endian: a request is a length (8 bytes) and the file; an
answer is the length of a JSON header (4 bytes), the header, and the pixels it announces (float32,
row by row). A length with `TAGS_WANTED` set asks for a header with the file's passthrough tags
instead. One header is sent before the first request, when everything is imported.
"""

import contextlib
import json
import os
import resource
import signal
import struct
import sys
import threading
from dataclasses import asdict
from typing import Any, BinaryIO, Final

REQUEST_HEAD: Final = struct.Struct(">Q")
ANSWER_HEAD: Final = struct.Struct(">I")

TAGS_WANTED: Final = 1 << 63
"""Bit of a request's length; no file is that long."""

CPU_GRACE_SECONDS: Final = 5
"""Between SIGXCPU, which ends the process, and SIGKILL, should a library have blocked the first."""


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until the parent closes its end."""
    from lambdas.shared.errors import InputError
    from lambdas.shared.limits import DECODE_CPU_SECONDS, DECODE_MEMORY_BYTES, DECODE_WALL_SECONDS
    from lambdas.shared.passthrough import PASSTHROUGH_TAGS, read_tags
    from lambdas.shared.read import read_radiograph

    _import_decoders()
    _limit_memory(DECODE_MEMORY_BYTES)
    _send(answers, {"ready": True})
    while head := requests.read(REQUEST_HEAD.size):
        (length,) = REQUEST_HEAD.unpack(head)
        data = requests.read(length & ~TAGS_WANTED)
        _limit_time(cpu_seconds=DECODE_CPU_SECONDS, wall_seconds=DECODE_WALL_SECONDS)
        try:
            if length & TAGS_WANTED:
                _send(answers, {"tags": read_tags(data, PASSTHROUGH_TAGS)})
                continue
            radiograph = read_radiograph(data)
        except InputError as error:
            answer = {"error": type(error).__name__, "message": error.message, "code": error.code}
            _send(answers, answer)
        except MemoryError:
            _send(answers, {"error": "MemoryError"})
        else:
            found = {"shape": radiograph.pixels.shape, "facts": asdict(radiograph.facts)}
            _send(answers, found, radiograph.pixels.tobytes())
        finally:
            signal.alarm(0)


def _send(answers: BinaryIO, header: dict[str, Any], body: bytes = b"") -> None:
    encoded = json.dumps(header).encode()
    answers.write(ANSWER_HEAD.pack(len(encoded)) + encoded)
    answers.write(body)
    answers.flush()


def _import_decoders() -> None:
    """Load the codecs now, so that no image's time is spent on it."""
    import imagecodecs

    for name in ("jpeg8", "ljpeg", "jpegls", "jpeg2k", "dicomrle", "png"):
        getattr(imagecodecs, f"{name}_decode")
    from PIL import Image

    Image.init()


def _limit_memory(extra_bytes: int) -> None:
    """Let the address space grow by this much from here, on systems that can limit it."""
    statm = "/proc/self/statm"
    if not os.path.exists(statm):  # noqa: PTH110 - importing pathlib just for this is not worth it
        return
    with open(statm) as file:  # noqa: PTH123
        size_bytes = int(file.read().split()[0]) * resource.getpagesize()
    limit = size_bytes + extra_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _limit_time(*, cpu_seconds: int, wall_seconds: int) -> None:
    """From now: SIGXCPU after so much processor time, SIGALRM after so much time (parent gone)."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime) + cpu_seconds + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    if hard == resource.RLIM_INFINITY or hard >= limit:
        resource.setrlimit(resource.RLIMIT_CPU, (limit, hard))
    signal.alarm(wall_seconds + CPU_GRACE_SECONDS)


def main() -> None:
    """Serve on standard input and output; libraries that print must not break the protocol."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    threading.excepthook = lambda _: None
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
