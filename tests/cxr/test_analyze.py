"""The whole command with fake models: every promise about files, resuming and exit codes."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from cxr.keys import PARTIAL_FOLDER
from cxr.output_folder import OutputFolder
from lambdas.shared.records import record_validator
from tests.cxr.conftest import Run
from tests.cxr.fakes import WARNING, image

Write = Callable[[Mapping[str, bytes]], None]


def files_below(folder: str) -> set[str]:
    return {str(path.relative_to(folder)) for path in Path(folder).rglob("*") if not path.is_dir()}


def times(folder: str) -> dict[str, int]:
    return {
        name: (Path(folder) / name).stat().st_mtime_ns
        for name in files_below(folder)
        if name.count("/") and not name.startswith(PARTIAL_FOLDER)  # only results of images
    }


def read_record(path: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(Path(path).read_bytes())
    return record


def test_every_file_but_text_gets_a_record(run: Run, write: Write) -> None:
    write(
        {
            "s/a/1.png": image("abnormal"),
            "s/2.png": image(),
            "s/empty.dcm": b"",
            "s/unknown": image("rejected"),
            "s/notes.txt": b"hello\n",
        }
    )
    code, summary = run("s", "--out", "out", workers=2)
    assert code == summary["exit_code"] == 0
    folders = ("2.png", "a/1.png", "empty.dcm", "unknown")
    names = ("record.json", "report.pdf", "thumbnail.jpg")
    assert files_below("out") == {f"{folder}/{name}" for folder in folders for name in names} | {
        "index.html",
        "summary.csv",
        f"{PARTIAL_FOLDER}/lock",
    }
    for folder in folders:
        record = read_record(f"out/{folder}/record.json")
        record_validator().validate(record)
        assert record["source"]["key"] == folder
    counts = {name: summary[name] for name in ("normal", "abnormal", "rejected", "images")}
    assert counts == {"normal": 1, "abnormal": 1, "rejected": 2, "images": 4}
    assert summary["skipped"] == [{"key": "notes.txt", "reason": "text, not an image"}]
    assert summary["rejections"] == {"not_an_image": 2}
    assert summary["warnings"] == [WARNING]
    assert [result["key"] for result in summary["results"]] == sorted(folders)


def test_what_is_done_is_skipped_and_left_untouched(run: Run, write: Write) -> None:
    write({"s/1.png": image(), "s/2.png": image("rejected")})
    run("s", "--out", "out")
    before = times("out")
    write({"s/3.png": image("abnormal")})
    code, summary = run("s", "--out", "out")
    assert (code, summary["already_done"]) == (0, 2)
    after = times("out")
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {
        "3.png/record.json",
        "3.png/report.pdf",
        "3.png/thumbnail.jpg",
    }
    assert len(Path("out/summary.csv").read_text().splitlines()) == 4


def test_force_does_all_again(run: Run, write: Write) -> None:
    write({"s/1.png": image()})
    run("s", "--out", "out")
    before = times("out")
    code, summary = run("s", "--out", "out", "--force")
    assert (code, summary["already_done"]) == (0, 0)
    assert all(times("out")[name] > before[name] for name in before)


@pytest.mark.parametrize("damage", ["half", "no report", "other version"])
def test_what_is_damaged_is_done_again(run: Run, write: Write, damage: str) -> None:
    write({"s/1.png": image()})
    run("s", "--out", "out")
    record = Path("out/1.png/record.json")
    if damage == "half":
        record.write_bytes(record.read_bytes()[:100])
    elif damage == "no report":
        Path("out/1.png/report.pdf").unlink()
    else:
        record.write_text(json.dumps(read_record(str(record)) | {"schema_version": "0.9"}))
    code, summary = run("s", "--out", "out")
    assert (code, summary["already_done"]) == (0, 0)
    record_validator().validate(read_record(str(record)))
    assert Path("out/1.png/report.pdf").is_file()


def test_other_bytes_under_the_same_name_are_analysed_and_counted(run: Run, write: Write) -> None:
    write({"s/1.png": image()})
    run("s", "--out", "out")
    write({"s/1.png": image("abnormal")})
    _, summary = run("s", "--out", "out")
    assert (summary["already_done"], summary["replaced"], summary["abnormal"]) == (0, 1, 1)
    assert read_record("out/1.png/record.json")["triage"]["positive"]


def test_detect_all_completes_normal_images_only(run: Run, write: Write) -> None:
    write({"s/1.png": image(), "s/2.png": image("abnormal"), "s/3.png": image("rejected")})
    run("s", "--out", "out")
    _, summary = run("s", "--out", "out", "--detect-all")
    assert summary["already_done"] == 2
    assert read_record("out/1.png/record.json")["detection"]["performed"]
    # the fuller result serves the plain command as well
    assert run("s", "--out", "out")[1]["already_done"] == 3


def test_two_arguments_with_one_key_stop_before_any_work(run: Run, write: Write) -> None:
    write({"s1/x.png": image(), "s2/x.png": image("abnormal")})
    code, summary = run("s1/x.png", "s2/x.png", "--out", "out")
    assert code == summary["exit_code"] == 2
    assert "s1/x.png" in summary["error"]
    assert "s2/x.png" in summary["error"]
    assert files_below("out") == {f"{PARTIAL_FOLDER}/lock"}


def test_results_of_other_models_are_neither_mixed_nor_removed(run: Run, write: Write) -> None:
    write({"s/1.png": image(), "s/2.png": image()})
    run("s", "--out", "out")
    before = times("out")
    code, summary = run("s", "--out", "out", "--models", "other")
    assert code == 2
    assert "another model set" in summary["error"]
    assert "--force" in summary["error"]
    # forced, but only one of the two images is named: the other's result would stay and mix
    code, summary = run("s/1.png", "--out", "out", "--models", "other", "--force")
    assert code == 2
    assert "2.png" in summary["error"]
    assert times("out") == before
    code, summary = run("s", "--out", "out", "--models", "other", "--force")
    assert code == 0
    assert {read_record(f"out/{n}.png/record.json")["model_set"] for n in (1, 2)} == {"f" * 16}


def test_a_worker_that_dies_is_replaced_and_its_image_tried_again(run: Run, write: Write) -> None:
    marker = Path("died").absolute()
    write({f"s/{n}.png": image() for n in range(4)})
    write({"s/0.png": image(f"die-once {marker}")})
    code, summary = run("s", "--out", "out", workers=2)
    assert marker.exists()
    assert (code, summary["normal"], summary["failed"]) == (0, 4, [])


def test_an_image_that_kills_two_workers_fails_alone(run: Run, write: Write) -> None:
    write({f"s/{n}.png": image() for n in range(4)})
    write({"s/1.png": image("die")})
    code, summary = run("s", "--out", "out", workers=2)
    assert (code, summary["normal"]) == (1, 3)
    (failure,) = summary["failed"]
    assert failure["key"] == "1.png"
    assert "ended 2 times (SIGKILL" in failure["reason"]
    assert not Path("out/1.png").exists()


def test_an_unexpected_error_fails_one_image(run: Run, write: Write) -> None:
    write({"s/1.png": image("raise"), "s/2.png": image()})
    code, summary = run("s", "--out", "out")
    assert (code, summary["normal"]) == (1, 1)
    assert summary["failed"] == [
        {"key": "1.png", "reason": "RuntimeError: the graph met something new"}
    ]


def test_workers_that_cannot_load_end_the_run_with_the_reason(run: Run, write: Write) -> None:
    write({"s/1.png": image(), "s/2.png": image()})
    code, summary = run("s", "--out", "out", "--models", "huge", workers=2)
    assert code == 1
    assert {entry["key"] for entry in summary["failed"]} == {"1.png", "2.png"}
    assert "memory" in summary["failed"][0]["reason"]


def test_broken_models_are_one_sentence_and_exit_code_2(run: Run, write: Write) -> None:
    write({"s/1.png": image()})
    code, summary = run("s", "--out", "out", "--models", "broken")
    assert (code, summary["error"]) == (2, "model bundle x: sha256 differs; copy the bundle again")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_fails(run: Run, write: Write) -> None:
    write({"s/1.png": image(), "s/2.png": image(), "s/closed/3.png": image()})
    Path("s/1.png").chmod(0)
    Path("s/closed").chmod(0)
    code, summary = run("s", "--out", "out")
    Path("s/closed").chmod(0o700)
    assert (code, summary["normal"]) == (1, 1)
    assert {entry["key"]: entry["reason"] for entry in summary["failed"]} == {
        "1.png": "cannot be read: Permission denied",
        "closed/": "cannot be opened: Permission denied",
    }


def test_nothing_to_analyse_is_said(run: Run, write: Write) -> None:
    write({"s/notes.txt": b"hello\n"})
    code, summary = run("s", "--out", "out")
    assert code == 2
    assert summary["error"] == "no images in s (1 skipped, such as notes.txt: text, not an image)"
    assert not Path("out").exists()


def test_the_output_folder_may_lie_among_the_images(run: Run, write: Write) -> None:
    write({"s/1.png": image()})
    for _ in range(2):
        code, summary = run("s", "--out", "s/out")
        assert (code, summary["images"]) == (0, 1)


def test_a_folder_in_use_is_refused(run: Run, write: Write) -> None:
    write({"s/1.png": image()})
    with OutputFolder(Path("out")):
        code, summary = run("s", "--out", "out")
    assert code == 2
    assert "another run is writing" in summary["error"]
    assert run("s", "--out", "out")[0] == 0


def test_hostile_names_stay_inside_and_survive(run: Run, tmp_path: Path, write: Write) -> None:
    names = [
        "index.html",
        "summary.csv",
        "<img src=x onerror=alert(1)>'\"&.png",
        "100%#?x=1.png",
        "-rf",
        "a\nb\x1b[2J.png",
        "caf\udce9.png",  # Latin-1 on disk
        "é" * 120 + ".png",  # 244 bytes
        "x\\..\\..\\etc",
        "~",
    ]
    write({f"s/{name}": image("abnormal") for name in names})
    code, summary = run("s", "--out", "out")
    assert (code, summary["abnormal"]) == (0, len(names))
    assert {path.name for path in tmp_path.iterdir()} == {"s", "out"}
    keys = {read_record(str(path))["source"]["key"] for path in Path("out").glob("*/record.json")}
    assert keys == set(names)
    assert Path("out/index.html_/record.json").is_file()
    assert run("s", "--out", "out")[1]["already_done"] == len(names)


def test_links_in_the_output_folder_are_not_followed(run: Run, write: Write) -> None:
    write({"s/a/1.png": image(), "s/2.png": image(), "s/3.png": image(), "precious": b"mine"})
    Path("elsewhere").mkdir()
    Path("out/2.png").mkdir(parents=True)
    Path("out/a").symlink_to("../elsewhere", target_is_directory=True)
    Path("out/2.png/record.json").symlink_to("../../precious")
    Path("out/index.html").symlink_to("../precious")
    code, summary = run("s", "--out", "out")
    assert code == 1
    assert [entry["key"] for entry in summary["failed"]] == ["a/1.png"]
    assert list(Path("elsewhere").iterdir()) == []
    assert Path("precious").read_bytes() == b"mine"
    assert not Path("out/2.png/record.json").is_symlink()


def test_half_written_files_of_a_killed_run_are_removed(run: Run, write: Write) -> None:
    write({"s/1.png": image(), f"out/{PARTIAL_FOLDER}/4711-3": b"half"})
    assert run("s", "--out", "out")[0] == 0
    assert files_below(f"out/{PARTIAL_FOLDER}") == {"lock"}


def test_an_output_path_that_is_a_file_is_refused(run: Run, write: Write) -> None:
    write({"s/1.png": image(), "out": b"a file"})
    code, summary = run("s", "--out", "out")
    assert code == 2
    assert "--out out cannot be used" in summary["error"]
