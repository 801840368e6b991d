"""Reviews as a data set to train on, for download; `cxr reviews export` writes the same to disk."""

import io
import zipfile
from typing import Final

import streamlit as st

from cxr.originals import Originals
from cxr.review_export import ExportSummary, export_reviews
from cxr.reviews_command import reviewed_results
from cxr.stored_results import Listing, ResultStore
from cxr.web import server_state
from cxr.web.markup import block, text
from cxr.web.settings import Settings
from lambdas.shared.errors import CxrError

MOST_REVIEWS: Final = 100
"""About 1 GB of images in the browser; beyond, the command line is the better way."""


def show_review_export(store: ResultStore, listing: Listing, settings: Settings) -> None:
    """The part of the page that exports reviews."""
    count = sum(row.reviewed for row in listing.results)
    if not count:
        return
    with st.expander(f"{count} reviewed: export to train on"):
        block(
            "<p>Reviewed images in PadChest-GR's files and columns, as the trainers read them. "
            "Only whole reviews leave: triage and every finding judged.</p>"
        )
        if count > MOST_REVIEWS:
            block(
                f"<p>These are more than {MOST_REVIEWS}; write them to disk with "
                f"<code>cxr reviews export {text(store.name)} --out DIR</code>.</p>"
            )
            return
        if st.button("Prepare the export", key="prepare-export"):
            _prepare(store, settings)
        prepared = st.session_state.get("export")
        if prepared is not None and prepared[0] == store.name:
            _show_prepared(prepared[1], prepared[2])


def _prepare(store: ResultStore, settings: Settings) -> None:
    target = io.BytesIO()
    originals = Originals(settings.images)
    try:
        with (
            st.spinner("Reading the images"),
            zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive,
            server_state.engine(settings.models).reader() as reader,
        ):
            summary = export_reviews(
                reviewed_results(store),
                original=originals.find,
                why_missing=originals.why_missing,
                read=reader.read,
                write=archive.writestr,
            )
    except CxrError as error:
        st.error(str(error))
        return
    st.session_state["export"] = (store.name, summary, target.getvalue())


def _show_prepared(summary: ExportSummary, content: bytes) -> None:
    if summary.left_out:
        rows = "".join(
            f"<dt>{text(key)}</dt><dd>{text(reason)}</dd>" for key, reason in summary.left_out
        )
        block(f"<p>Left out:</p><dl>{rows}</dl>")
    if not summary.exported:
        block("<p>No review could be exported.</p>")
        return
    st.download_button(
        f"Download (ZIP, {summary.exported} reviewed)",
        data=content,
        file_name="reviews.zip",
        mime="application/zip",
        key="download-export",
        on_click="ignore",
    )
