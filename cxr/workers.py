"""The crew of worker processes: hands out images, survives the death of any worker.

A pool of the standard library gives up altogether when one of its processes dies, so the crew is
kept here: one pipe and at most one image for each worker, and an image whose worker died is tried
once more on a fresh one.
"""

import contextlib
import multiprocessing
import os
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Final

from cxr.discover import Image
from cxr.interruption import AT_ONCE, FINISH
from cxr.worker import Analysed, Analyser, Failed, LoadFailed, Ready, serve
from lambdas.shared.errors import ContractError

TICK_S: Final = 0.5
"""Longest time between two looks at the request to stop."""

IMAGE_LIMIT_S: Final = 600.0
"""Longest time for one image; reading has its own, shorter limit, so only a defect takes longer."""

MAX_ATTEMPTS: Final = 2
"""An image whose worker died may only have been its victim, so it gets a second one."""

_FAREWELL_S: Final = 5.0


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    image: Image | None
    """In hand; before `ready`, set aside for it."""
    ready: bool = False
    since: float = 0.0


def analyse_images(
    images: Sequence[Image],
    *,
    analyser: Analyser,
    workers: int,
    stop_level: Callable[[], int],
    image_limit_s: float = IMAGE_LIMIT_S,
) -> Iterator[Analysed | Failed | Ready | None]:
    """Have images analysed by several processes.

    Args:
        images: Each with a key of its own.
        analyser: Sent to every worker.
        workers: Most processes at a time.
        stop_level: Asked at least every `TICK_S`; an `interruption` level.
        image_limit_s: A worker that needs longer for one image is killed.

    Yields:
        The outcome of each image in the order of completion; `Ready` for each worker that has
        loaded its models; None when nothing happened for `TICK_S`.

    Raises:
        ContractError: The models do not load.
    """
    crew = _Crew(images, analyser, workers)
    try:
        while crew.has_work():
            level = stop_level()
            if level >= AT_ONCE:
                return
            if level >= FINISH:
                crew.drop_waiting()
            else:
                crew.man()
            if not crew.has_work():
                return
            yield from crew.listen(image_limit_s)
    finally:
        crew.dismiss(kill=stop_level() >= AT_ONCE)


class _Crew:
    def __init__(self, images: Sequence[Image], analyser: Analyser, size: int) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._analyser = analyser
        self._size = size
        self._waiting = deque(images)
        self._retries: deque[Image] = deque()
        self._attempts: Counter[str] = Counter()
        self._workers: dict[Connection, _Worker] = {}

    def has_work(self) -> bool:
        busy = any(worker.image for worker in self._workers.values())
        return busy or bool(self._waiting or self._retries)

    def drop_waiting(self) -> None:
        """Keep only images in the hands of workers that can begin at once."""
        self._waiting.clear()
        self._retries.clear()
        for connection, worker in list(self._workers.items()):
            if not (worker.ready and worker.image):
                self._release(connection)

    def man(self) -> None:
        """Start the workers that are missing; a retried image has one of its own."""
        idle = sum(worker.image is None for worker in self._workers.values())
        while len(self._workers) < self._size and (self._retries or len(self._waiting) > idle):
            image = self._retries.popleft() if self._retries else None
            self._start(image)
            idle += image is None

    def listen(self, image_limit_s: float) -> Iterator[Analysed | Failed | Ready | None]:
        """Handle what the workers say within one tick."""
        connections = wait(list(self._workers), timeout=TICK_S)
        for connection in connections:
            assert isinstance(connection, Connection)
            worker = self._workers[connection]
            try:
                message = connection.recv()
            except (EOFError, OSError):
                yield from self._bury(connection)
                continue
            if isinstance(message, LoadFailed):
                raise ContractError(message.message)
            if isinstance(message, Ready):
                worker.ready = True
                self._hand(connection, worker.image)
            else:
                self._hand(connection, None)
            yield message
        if not connections:
            yield None
        for worker in self._workers.values():
            if worker.ready and worker.image and time.monotonic() - worker.since > image_limit_s:
                worker.process.kill()  # the next tick finds it dead

    def dismiss(self, *, kill: bool) -> None:
        """End every worker."""
        workers = list(self._workers.values())
        for worker in workers:
            if kill or worker.image:  # in the middle of an image it would not look at its pipe
                worker.process.terminate()
        for connection in list(self._workers):
            self._release(connection)
        for worker in workers:
            worker.process.join(_FAREWELL_S)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()

    def _start(self, image: Image | None) -> None:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=serve, args=(theirs, self._analyser))
        # An ignored signal stays ignored in the child: no window in which Ctrl-C could break into
        # its start. The few milliseconds in which it is lost here cost one more key press.
        previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
        # Where the command is called must not decide what is imported: without this, a json.py
        # there would stand in for Python's own, in the child and in the reader that it starts.
        os.environ.setdefault("PYTHONSAFEPATH", "1")
        try:
            process.start()
        finally:
            signal.signal(signal.SIGINT, previous)
        theirs.close()
        self._workers[ours] = _Worker(process, image)

    def _hand(self, connection: Connection, image: Image | None) -> None:
        """Give a worker its next image, or its leave."""
        worker = self._workers[connection]
        worker.image = image or (self._waiting.popleft() if self._waiting else None)
        if worker.image is None:
            self._release(connection)
            return
        worker.since = time.monotonic()
        # If it died meanwhile, its pipe says so at the next look.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.send(worker.image)

    def _release(self, connection: Connection) -> None:
        worker = self._workers.pop(connection)
        if not worker.ready:  # it is loading, and would not look at its pipe for seconds
            worker.process.terminate()
        connection.close()  # the worker finds the end of its pipe, and leaves

    def _bury(self, connection: Connection) -> Iterator[Failed]:
        """Draw the consequences of a worker's death."""
        worker = self._workers.pop(connection)
        connection.close()
        worker.process.join(_FAREWELL_S)
        if not worker.ready:
            yield from self._shrink(worker)
            return
        if (image := worker.image) is None:
            return
        self._attempts[image.key] += 1
        if self._attempts[image.key] < MAX_ATTEMPTS:
            self._retries.append(image)
        else:
            yield Failed(
                image,
                f"the process that analysed it ended {self._attempts[image.key]} times "
                f"({_cause(worker.process)})",
            )

    def _shrink(self, worker: _Worker) -> Iterator[Failed]:
        """One that dies while it loads its models had too little memory: go on with fewer."""
        if worker.image:
            self._retries.appendleft(worker.image)
        self._size -= 1
        if self._size > 0:
            return
        reason = (
            f"no process could load the models ({_cause(worker.process)}); each needs about "
            "1 GB of memory: end other programs, or use --workers 1"
        )
        for image in (*self._retries, *self._waiting):
            yield Failed(image, reason)
        self._retries.clear()
        self._waiting.clear()


def _cause(process: BaseProcess) -> str:
    code = process.exitcode
    if code is None or code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return f"{name}, most often for want of memory" if name == "SIGKILL" else name
