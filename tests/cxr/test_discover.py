import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from cxr.discover import discover
from lambdas.shared.errors import InvalidRequestError
from tests.cxr.fakes import image

Write = Callable[[Mapping[str, bytes]], None]
OUT = Path("out")


@pytest.fixture(autouse=True)
def _working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def keys(*arguments: str) -> list[str]:
    return [found.key for found in discover(arguments, out=OUT).images]


def skipped(*arguments: str) -> dict[str, str]:
    return {omission.key: omission.reason for omission in discover(arguments, out=OUT).skipped}


def test_keys_of_one_folder_are_paths_below_it(write: Write) -> None:
    write({"scans/a/1.dcm": image(), "scans/2.png": image()})
    assert keys("scans") == keys("scans/") == keys("./scans") == ["2.png", "a/1.dcm"]


def test_the_key_of_one_file_is_its_name(write: Write) -> None:
    write({"scans/a/1.dcm": image()})
    assert keys("scans/a/1.dcm") == ["1.dcm"]


def test_several_arguments_put_their_name_in_front(write: Write) -> None:
    write({"s1/1.png": image(), "x/s2/1.png": image(), "y/lone.png": image()})
    assert keys("s1", "x/s2/", "y/lone.png") == ["lone.png", "s1/1.png", "s2/1.png"]


def test_dots_have_the_name_of_the_folder_they_mean(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write({"here/1.png": image(), "there/1.png": image()})
    monkeypatch.chdir("here")
    assert keys(".", "../there") == ["here/1.png", "there/1.png"]
    assert keys("..", "1.png")[0] == "1.png"


def test_a_pattern_counts_from_its_first_wildcard(write: Write) -> None:
    write({"s/a/1.dcm": image(), "s/a/2.png": image(), "s/b/c/3.dcm": image()})
    assert keys("s/**/*.dcm") == ["a/1.dcm", "b/c/3.dcm"]
    assert keys("s/a*") == ["a/1.dcm", "a/2.png"]
    assert keys("s/**/*.dcm", "s/a/2.png") == ["2.png", "s/a/1.dcm", "s/b/c/3.dcm"]


def test_a_file_with_wildcards_in_its_name_is_itself(write: Write) -> None:
    write({"s/x[1].png": image(), "s/x1.png": image()})
    assert keys("s/x[1].png") == ["x[1].png"]


def test_the_same_file_named_twice_is_one_image(write: Write) -> None:
    write({"s/1.png": image()})
    assert keys("s/1.png", "s/1.png", "./s/1.png") == ["1.png"]


def test_text_is_told_by_content_and_listed(write: Write) -> None:
    write({"s/list.png": b"key,label\n1,2\n", "s/real.csv": image(), "s/empty.txt": b""})
    assert skipped("s") == {"list.png": "text, not an image"}
    assert keys("s") == ["empty.txt", "real.csv"]


def test_hidden_files_and_folders_are_left_out(write: Write) -> None:
    write({"s/.DS_Store": image(), "s/.git/x": image(), "s/1.png": image()})
    assert keys("s") == keys("s/**") == ["1.png"]


def test_the_output_folder_is_left_out_wherever_it_lies(write: Write) -> None:
    write({"s/1.png": image(), "s/out/1.png/thumbnail.jpg": image()})
    found = discover(["s"], out=Path("s/out"))
    assert [found.key for found in found.images] == ["1.png"]
    assert found.skipped == ()


def test_results_of_earlier_runs_are_not_taken_for_images(write: Write) -> None:
    write({"s/old/.cxr-partial/lock": b"", "s/old/1.png/thumbnail.jpg": image()})
    write({"s/1.png": image()})
    assert keys("s") == ["1.png"]
    assert skipped("s") == {"old/": "results of an earlier run"}


@pytest.mark.parametrize("argument", ["out", "out/a", "out/a/1.png", "out/*"])
def test_images_within_the_output_folder_are_refused(write: Write, argument: str) -> None:
    write({"out/a/1.png": image()})
    with pytest.raises(InvalidRequestError, match="lies in --out"):
        discover([argument], out=OUT)


def test_loops_of_links_end(write: Write) -> None:
    write({"s/a/1.png": image()})
    Path("s/a/up").symlink_to("..", target_is_directory=True)
    Path("s/a/self").symlink_to("self")
    found = discover(["s"], out=OUT)
    assert [image.key for image in found.images] == ["a/1.png"]
    assert [omission.key for omission in found.skipped] == ["a/up/"]
    assert [omission.key for omission in found.failed] == ["a/self"]


def test_a_linked_folder_is_entered_once_and_known_by_its_own_path(write: Write) -> None:
    write({"s/z/1.png": image(), "elsewhere/2.png": image()})
    Path("s/a").symlink_to("z", target_is_directory=True)
    Path("s/b").symlink_to("../elsewhere", target_is_directory=True)
    assert keys("s") == ["b/2.png", "z/1.png"]
    assert skipped("s") == {"a/": "link to a folder that is already included"}


def test_a_link_to_nothing_is_a_failure_and_a_pipe_is_skipped(write: Write) -> None:
    write({"s/1.png": image()})
    Path("s/gone.png").symlink_to("nowhere.png")
    os.mkfifo("s/pipe")
    found = discover(["s"], out=OUT)
    assert [(o.key, o.reason) for o in found.failed] == [
        ("gone.png", "a link to a file that does not exist")
    ]
    assert skipped("s") == {"pipe": "not a regular file"}


def test_names_that_are_not_utf8_survive(write: Write) -> None:
    write({"s/caf\udce9.png": image()})  # the byte E9, Latin-1
    assert os.listdir(b"s") == [b"caf\xe9.png"]  # noqa: PTH208 - as bytes
    assert keys("s") == ["caf\udce9.png"]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("nothing", "nothing does not exist; check the path"),
        ("nowhere/*.png", "there is no folder nowhere"),
    ],
)
def test_an_argument_that_names_nothing_is_refused(argument: str, message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        discover([argument], out=OUT)
