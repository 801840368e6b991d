"""The first view: what goes in, what stands on the screen, and what the sliders change."""

from pathlib import Path

import pytest
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager

from tests.cxr.web.conftest import Open, bright, dark, lateral, upload, words

NAME = "SMITH^JOHN"
"""What must never be logged."""


def test_first_screen_says_what_this_is(page: Open) -> None:
    at = page()
    assert not at.exception
    assert "Research use only. Not a medical device. Not a diagnosis." in words(at)
    assert "trained on nothing: a mean, not trained" in words(at)
    assert "Thresholds not valid on patients" in words(at)
    assert "make demo" in words(at)


def test_upload_shows_triage_and_findings(page: Open) -> None:
    at = upload(page(), ("SMITH^JOHN.png", bright()))
    assert not at.exception
    assert "<strong>Abnormal</strong>" in words(at)
    assert "Cardiomegaly" in words(at)
    assert "Not calibrated" in words(at)
    assert at.radio(key="worklist").value is not None
    assert "Cardiomegaly" in at.radio(key="worklist").proto.captions[0]


def test_uploader_is_empty_again_and_holds_no_file(page: Open) -> None:
    at = upload(page(), ("1.png", bright()))
    assert at.file_uploader[0].value == []
    images = at.session_state["images"]
    assert images.waiting == []


def test_uploaded_bytes_are_gone_once_they_are_taken(
    page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[int] = []
    remove = MemoryUploadedFileManager.remove_file

    def counting(manager: MemoryUploadedFileManager, session_id: str, file_id: str) -> None:
        remove(manager, session_id, file_id)
        left.append(len(manager.file_storage[session_id]))

    monkeypatch.setattr(MemoryUploadedFileManager, "remove_file", counting)
    upload(page(), ("1.png", bright(1)), ("2.png", bright(2)))
    assert left == [1, 0]


def test_many_files_become_a_worklist(page: Open) -> None:
    files = [("1.png", bright()), ("2.png", dark()), ("3.dcm", lateral()), ("4.txt", b"no image")]
    at = upload(page(), *files)
    radio = at.radio(key="worklist")
    assert [option.split(" ")[0] for option in radio.options] == ["▲", "●", "✕", "✕"]
    assert list(radio.proto.captions)[1:] == ["Normal 0\\.09", "Rejected", "Rejected"]
    # the first one is shown while the others are analysed
    assert "<h1>1.png</h1>" in words(at)
    radio.set_value(list(at.session_state["images"].analysed)[2]).run()
    assert "Rejected: not assessed" in words(at)
    assert "expected a frontal view" in words(at)
    assert "Submit the frontal chest radiograph of the study" in words(at)


def test_removed_image_is_gone(page: Open) -> None:
    at = upload(page(), ("1.png", bright()), ("2.png", dark()))
    at.button(key="remove").click().run()
    assert len(at.session_state["images"].analysed) == 1
    at.button(key="remove").click().run()
    assert at.session_state["images"].analysed == {}
    assert "Add frontal chest radiographs" in words(at)


def test_hostile_name_is_only_text(page: Open) -> None:
    name = "<img src=x onerror=alert(1)>**b** $y$`z`"
    at = upload(page(), (name, bright()))
    assert "<img src=x" not in words(at)
    assert "&lt;img src=x onerror=alert(1)&gt;" in words(at)
    assert "\\*\\*b\\*\\* \\$y\\$\\`z\\`" in at.radio(key="worklist").options[0]


def test_hostile_file_is_a_result_and_its_neighbour_too(page: Open) -> None:
    bomb = b"\x89PNG\r\n\x1a\n" + b"\xff" * 4096
    at = upload(page(), ("bomb.png", bomb), ("fine.png", bright()))
    assert not at.exception
    analysed = list(at.session_state["images"].analysed.values())
    assert [image.record["status"] for image in analysed] == ["rejected", "analysed"]


def test_triage_slider_moves_the_operating_point_on_the_screen_alone(page: Open) -> None:
    at = upload(page(), ("1.png", bright()))
    (image,) = at.session_state["images"].analysed.values()
    slider = at.select_slider[0]
    assert slider.value == 0.5
    slider.set_value(1.0).run()
    assert "<strong>Normal</strong>" in words(at)
    assert "record and report keep Abnormal at 0.5" in words(at)
    assert "the detector would not have run" in words(at)
    assert image.record["triage"]["label"] == "Abnormal"
    back = next(button for button in at.button if button.label.startswith("Back to the operating"))
    back.click().run()
    assert "<strong>Abnormal</strong>" in words(at)


def test_normal_image_is_looked_at_where_the_slider_makes_it_abnormal(page: Open) -> None:
    at = upload(page(), ("1.png", dark()))
    assert "Detection was not performed" in words(at)
    at.select_slider[0].set_value(0.0).run()
    assert "<strong>Abnormal</strong>" in words(at)
    assert "only at the thresholds tried" in words(at)
    assert "Cardiomegaly" in words(at)


def test_threshold_without_a_curve_says_so(page: Open) -> None:
    at = upload(page(), ("1.png", bright()))
    assert "No validation figures exist for this threshold" in words(at)


def test_box_threshold_hides_and_adds(page: Open) -> None:
    """Of the tiny detector: Cardiomegaly 0.9 from 0.5, Pleural effusion 0.4 from 0.3."""
    at = upload(page(), ("1.png", bright()))
    modes = next(group for group in at.button_group if group.label == "Boxes from")
    modes.set_value("Own threshold").run()
    slider = next(each for each in at.slider if each.label.startswith("Show boxes"))
    slider.set_value(0.95).run()
    assert "2 findings lie below the threshold tried" in words(at)
    slider = next(each for each in at.slider if each.label.startswith("Show boxes"))
    slider.set_value(0.41).run()
    assert "1 finding lies below the threshold tried" in words(at)


def test_downloads_are_named_without_the_patient(page: Open) -> None:
    at = upload(page(), ("SMITH^JOHN.png", bright()))
    labels = [each.label for each in at.get("download_button")]
    assert labels == ["Report (PDF)", "Record (JSON)", "Thumbnail", "All (ZIP)"]


def test_samples_of_a_folder(page: Open, tmp_path: Path) -> None:
    folder = tmp_path / "samples"
    folder.mkdir()
    (folder / "a.png").write_bytes(bright())
    (folder / "b.png").write_bytes(dark())
    (folder / "README.txt").write_text("not an image")
    at = page()
    assert at.selectbox(key="sample").options == ["a.png", "b.png"]
    at.button(key="analyse-sample").click().run()
    assert "<h1>a.png</h1>" in words(at)
    at.button(key="analyse-samples").click().run()
    assert len(at.session_state["images"].analysed) == 2


def test_two_sessions_share_models_and_nothing_else(page: Open) -> None:
    first = upload(page(), ("mine.png", bright()))
    second = page()
    assert "mine.png" not in words(second)
    upload(second, ("yours.png", dark()))
    assert "yours.png" in words(second)
    first.run()
    assert "mine.png" in words(first)
    assert "yours.png" not in words(first)


def test_nothing_can_be_kept_unless_a_folder_is_named(page: Open) -> None:
    at = upload(page(), ("1.png", bright()))
    assert "keep" not in [button.key for button in at.button]


def test_kept_result_is_written_and_can_be_reviewed(page: Open, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    at = upload(page(f"--keep={kept}"), ("1.png", bright()))
    assert list(kept.iterdir()) == []
    at.button(key="keep").click().run()
    assert sorted(path.name for path in (kept / "1.png").iterdir()) == [
        "record.json",
        "report.pdf",
        "thumbnail.jpg",
    ]
    assert "keep" not in [button.key for button in at.button]
    assert "Mode" in [group.label for group in at.button_group]


def test_other_image_of_the_same_name_is_not_overwritten(page: Open, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    at = upload(page(f"--keep={kept}"), ("1.png", bright(1)))
    at.button(key="keep").click().run()
    before = (kept / "1.png" / "record.json").read_bytes()
    upload(at, ("1.png", bright(2)))
    at.button(key="keep").click().run()
    assert "another image of that name is kept already" in words(at)
    assert (kept / "1.png" / "record.json").read_bytes() == before


def test_models_that_do_not_load_are_said(page: Open, tmp_path: Path) -> None:
    at = page(models=tmp_path / "none")
    assert not at.exception
    assert "model.onnx" in words(at) or "model.json" in words(at)


def test_unforeseen_error_shows_no_message(
    page: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The message of an error may hold the name of a file."""

    def fail(*arguments: object, **options: object) -> None:
        raise KeyError(NAME)

    at = page()
    monkeypatch.setattr("cxr.web.analyse_page.show_case", fail)
    upload(at, ("SMITH^JOHN.png", bright()))
    assert "Something went wrong that was not foreseen (KeyError)" in words(at)
    assert "SMITH" not in caplog.text
    assert "analyse_page.py" in caplog.text


def test_failing_analysis_names_no_file_in_the_log(
    page: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise RuntimeError(NAME)

    at = page()
    monkeypatch.setattr("cxr.web.engine.analyse", fail)
    upload(at, ("SMITH^JOHN.png", bright()))
    assert "unexpected RuntimeError" in words(at)
    assert "SMITH" not in caplog.text


def test_no_more_images_than_fit(page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cxr.web.session.MOST_IMAGES", 2)
    at = upload(page(), *((f"{index}.png", bright(index)) for index in range(4)))
    images = at.session_state["images"]
    assert [image.name for image in images.analysed.values()] == ["0.png", "3.png"]
    assert images.dropped == 2
