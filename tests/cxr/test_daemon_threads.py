import threading

import pytest

from cxr.daemon_threads import work_in_threads
from cxr.interruption import AT_ONCE, FINISH


def test_every_item_is_worked_on_once_by_no_more_than_so_many() -> None:
    busy, most, lock = 0, 0, threading.Lock()

    def work(item: int) -> int:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        with lock:
            busy -= 1
        return item * 2

    found = list(work_in_threads(work, range(100), threads=4, stop_level=lambda: 0))
    assert sorted(each for each in found if each is not None) == [2 * item for item in range(100)]
    assert most <= 4


def test_what_fails_is_handed_on_and_the_rest_done() -> None:
    def work(item: int) -> int:
        if item == 3:
            raise ValueError(item)
        return item

    found = list(work_in_threads(work, range(5), threads=2, stop_level=lambda: 0))
    assert sorted(each for each in found if isinstance(each, int)) == [0, 1, 2, 4]
    (error,) = [each for each in found if isinstance(each, Exception)]
    assert isinstance(error, ValueError)


def test_stopped_it_finishes_what_is_in_hand_and_begins_no_more() -> None:
    begun: list[int] = []
    levels = [0]

    def work(item: int) -> int:
        begun.append(item)
        return item

    finished = 0
    for outcome in work_in_threads(work, range(1_000), threads=3, stop_level=lambda: levels[-1]):
        finished += outcome is not None
        levels.append(FINISH)
    assert finished == len(begun) <= 3


def test_stopped_at_once_it_waits_for_nobody() -> None:
    release = threading.Event()
    levels = [0]
    turns = 0
    for outcome in work_in_threads(
        lambda item: release.wait(30), range(3), threads=3, stop_level=lambda: levels[-1]
    ):
        assert outcome is None, "none is finished: the caller got a turn"
        turns += 1
        levels.append(AT_ONCE)
    assert turns == 1
    release.set()


@pytest.mark.parametrize("threads", [1, 5])
def test_nothing_to_do_is_done(threads: int) -> None:
    assert list(work_in_threads(str, [], threads=threads, stop_level=lambda: 0)) == []
