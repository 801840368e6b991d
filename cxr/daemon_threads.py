"""Work on many items in threads that end with the program, whatever they do."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

from cxr.interruption import AT_ONCE, FINISH

Item = TypeVar("Item")
Done = TypeVar("Done")

TICK_S: Final = 0.2
"""How soon a signal is answered."""


def work_in_threads(
    work: Callable[[Item], Done],
    items: Iterable[Item],
    *,
    threads: int,
    stop_level: Callable[[], int],
) -> Iterator[Done | Exception | None]:
    """Do the work, most `threads` items at a time; yields each outcome as it comes.

    A file on its way to a bucket cannot be called back: a pool of the standard library would have
    the program wait for it, even after a second Ctrl-C.

    Args:
        work: Called in threads.
        items: Taken one by one, in the caller's thread.
        threads: How many.
        stop_level: Asked again and again: `interruption.FINISH` begins no more items, `AT_ONCE`
            waits for none.

    Yields:
        What `work` returned or raised; None now and then, so that the caller gets a turn.
    """
    todo: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
    done: queue.SimpleQueue[Done | Exception] = queue.SimpleQueue()

    def run() -> None:
        while (item := todo.get()) is not None:
            try:
                done.put(work(item))
            except Exception as error:
                done.put(error)

    for number in range(threads):
        threading.Thread(target=run, daemon=True, name=f"work-{number}").start()
    source = iter(items)
    in_hand = 0
    try:
        while True:
            while in_hand < threads and stop_level() < FINISH:
                item = next(source, None)
                if item is None:
                    break
                todo.put(item)
                in_hand += 1
            if not in_hand or stop_level() >= AT_ONCE:
                return
            try:
                outcome = done.get(timeout=TICK_S)
            except queue.Empty:
                yield None
                continue
            in_hand -= 1
            yield outcome
    finally:
        for _ in range(threads):
            todo.put(None)
