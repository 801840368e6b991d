"""First view: radiographs in, results on the screen."""

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import streamlit as st

from cxr.discover import discover
from cxr.kept_results import folder_of, is_kept, keep_result
from cxr.web import markup, server_state
from cxr.web.assessment import FindingsFrom
from cxr.web.case import Case, Reviewing
from cxr.web.case_view import show_case
from cxr.web.engine import LOWEST_SCORE, Analysed, Engine
from cxr.web.markup import block, markdown, short, text
from cxr.web.session import MOST_IMAGES, Images, Waiting, session_images
from cxr.web.settings import Settings
from cxr.web.uploads import take_bytes
from lambdas.report.words import compare_numbers
from lambdas.shared.errors import CxrError
from lambdas.shared.limits import MAX_FILE_BYTES, MIB
from lambdas.shared.records import Record

_LOG: Final = logging.getLogger(__name__)

UPLOAD_HELP: Final = (
    f"PNG, JPEG, TIFF or DICOM, with or without an extension, up to {MAX_FILE_BYTES // MIB} MB "
    "each."
)

PRIVACY: Final = (
    "Files stay in this computer's memory while they are analysed, results until this tab is "
    "closed. Nothing is written to disk unless you ask for it, and nothing leaves the machine that "
    "runs this page."
)


def show() -> None:
    """The page."""
    settings = server_state.settings()
    try:
        engine = server_state.engine(settings.models)
    except CxrError as error:
        st.error(str(error))
        return
    images = session_images()
    with st.sidebar:
        _uploads(images)
        _samples(images, settings)
        _worklist(images)
        block(f'<p class="soft">{text(PRIVACY)}</p>')
    bundles = (engine.models.classifier.bundle, engine.models.detector.bundle)
    markup.banner(
        [bundle.facts for bundle in bundles],
        [warning for bundle in bundles for warning in bundle.warnings],
    )
    progress = st.empty()
    for name, reason in images.failed:
        st.error(f"{markdown(short(name))} has no result: {markdown(reason)}")
    if images.dropped:
        st.info(
            f"Only the last {MOST_IMAGES} images are held here; {images.dropped} were let go. "
            "For many images use `cxr analyze`."
        )
    if images.chosen is not None:
        chosen = images.analysed[images.chosen]
        if problem := st.session_state.get("keep-problem"):
            st.error(problem)
        show_case(_case(chosen, engine, settings), actions=lambda: _keeping(chosen, settings))
    elif not images.waiting:
        _welcome()
    if images.waiting:
        _analyse_next(images, engine, settings, progress)


def _uploads(images: Images) -> None:
    key = f"upload-{images.uploads}"

    def taken() -> None:
        files = st.session_state[key] or []
        images.ask(Waiting(file.name, partial(take_bytes, file)) for file in files)
        images.uploads += 1  # an empty uploader

    st.file_uploader(
        "Add radiographs",
        accept_multiple_files=True,
        key=key,
        on_change=taken,
        help=UPLOAD_HELP,
    )


def _samples(images: Images, settings: Settings) -> None:
    found = _sample_files(settings.samples)
    if not found:
        block(
            '<p class="soft">No samples here: <code>make demo</code> draws some, '
            "<code>--samples</code> names a folder.</p>"
        )
        return

    def taken(names: Sequence[str]) -> None:
        images.ask(Waiting(name, found[name].read_bytes) for name in names)

    name = st.selectbox("Samples", list(found), key="sample")
    some = list(found)[:MOST_IMAGES]
    with st.container(horizontal=True, gap="small"):
        st.button("Analyse", key="analyse-sample", on_click=taken, args=([name],))
        st.button(f"All {len(some)}", key="analyse-samples", on_click=taken, args=(some,))


@st.cache_data(show_spinner=False, ttl=30)
def _sample_files(folder: Path) -> dict[str, Path]:
    """Images below a folder, by the name that they are shown under."""
    if not folder.is_dir():
        return {}
    return {image.key: image.path for image in discover([str(folder)], out=folder / ".out").images}


def _worklist(images: Images) -> None:
    """The images of this session; the chosen one is shown."""
    if not images.analysed:
        return
    st.session_state["worklist"] = images.chosen

    def chosen() -> None:
        images.chosen = st.session_state["worklist"]

    def removed() -> None:
        if images.chosen is not None:
            images.remove(images.chosen)

    st.radio(
        "Images",
        list(images.analysed),
        format_func=lambda image_id: _worklist_name(images.analysed[image_id]),
        captions=[_worklist_caption(image.record) for image in images.analysed.values()],
        key="worklist",
        on_change=chosen,
    )
    st.button("Remove this image", key="remove", on_click=removed, type="tertiary")


def _worklist_name(image: Analysed) -> str:
    sign = markup.SIGNS[markup.result_kind(image.record)]
    return f"{sign} {markdown(short(image.name, 40))}"


def _worklist_caption(record: Record) -> str:
    if record["status"] == "rejected":
        return "Rejected"
    triage = record["triage"]
    number, _ = compare_numbers(
        triage["probability"], triage["threshold"], reached=triage["positive"]
    )
    labels = list(dict.fromkeys(entry["label"] for entry in record["findings"]))
    return markdown(f"{triage['label']} {number}" + "".join(f", {label}" for label in labels))


def _analyse_next(images: Images, engine: Engine, settings: Settings, progress: Any) -> None:
    """One image, then the page again: a result shows as soon as it is there."""
    waiting = images.waiting[0]
    done = images.asked - len(images.waiting)
    progress.progress(
        done / max(1, images.asked),
        f"Analysing {done + 1} of {images.asked}: {markdown(short(waiting.name, 60))}",
    )
    try:
        image = engine.analyse(
            waiting.read(),
            name=waiting.name,
            detect_all=settings.detect_all,
            formats=settings.formats,
        )
    except CxrError as error:
        images.failed.append((waiting.name, str(error)))
    except Exception as error:  # one image must not end the session; names stay out of the log
        _LOG.error("an image could not be analysed: %s", type(error).__name__)
        images.failed.append((waiting.name, f"unexpected {type(error).__name__}"))
    else:
        images.add(image, show=done == 0)
    # taken off only now: a click meanwhile starts the page again, and the image must not be lost
    images.waiting.remove(waiting)
    st.rerun()


def _case(image: Analysed, engine: Engine, settings: Settings) -> Case:
    kept = settings.keep is not None and is_kept(settings.keep, image.record)
    return Case(
        name=image.name,
        record=image.record,
        film=image.radiograph.pixels if image.radiograph else None,
        film_note=None,
        files={name: _giving(content) for name, content in image.files.items()},
        classifier=engine.models.classifier.bundle.facts,
        detector=engine.models.detector.bundle.facts,
        findings_from=_findings_from(image, engine),
        reviewing=_reviewing(image, settings.keep) if kept and settings.keep else None,
    )


def _giving(content: bytes) -> Any:
    return lambda: content


def _findings_from(image: Analysed, engine: Engine) -> FindingsFrom | None:
    radiograph = image.radiograph
    if radiograph is None:
        return None

    def found(lowest: float | None) -> list[Record]:
        # the detector runs once for all scores and once for the operating points, then never again
        asked = None if lowest is None else LOWEST_SCORE
        if asked not in image.found:
            image.found[asked] = engine.findings_from(radiograph, asked)
        every = image.found[asked]
        if lowest is None:
            return every
        return [entry | {"threshold": lowest} for entry in every if entry["score"] >= lowest]

    return found


def _keeping(image: Analysed, settings: Settings) -> None:
    """The button that writes a result to disk."""
    folder = settings.keep
    if folder is None or image.record["status"] == "rejected" or is_kept(folder, image.record):
        return

    def keep() -> None:
        try:
            keep_result(folder, image.record, image.files)
        except CxrError as error:
            st.session_state["keep-problem"] = str(error)
        else:
            st.session_state.pop("keep-problem", None)

    st.button(
        "Keep this result",
        key="keep",
        on_click=keep,
        help="Writes it to disk, where it can be reviewed.",
    )


def _reviewing(image: Analysed, folder: Path) -> Reviewing:
    store, place = server_state.store(str(folder)), folder_of(image.record)
    return Reviewing(
        load=lambda: store.review(place, record=image.record),
        save=lambda review, tag: store.save_review(place, review, tag=tag),
    )


def _welcome() -> None:
    block(
        '<div class="cxr-welcome"><p>Add frontal chest radiographs at the left: one or many, PNG, '
        "JPEG, TIFF or DICOM. Each is triaged, findings of abnormal ones are localised with boxes, "
        "and every image gets a PDF report and a JSON record.</p>"
        "<p>Lateral views, other body parts, other modalities and damaged files are refused, with "
        "the reason.</p></div>"
    )
