"""Second view: results that are kept, in a folder or a bucket."""

from collections.abc import Sequence
from typing import Any, Final

import streamlit as st

from cxr.keys import shown
from cxr.results import ABNORMAL, NORMAL, REJECTED, number_name
from cxr.stored_results import Listing, ResultStore, StoredResult, most_urgent_first
from cxr.web import markup, server_state
from cxr.web.case import Case, Reviewing
from cxr.web.case_view import show_case
from cxr.web.markup import block, text
from cxr.web.result_filters import Filters, filtered, show_filters
from cxr.web.review_downloads import show_review_export
from cxr.web.settings import Settings
from lambdas.report.film import film_of_report
from lambdas.report.words import RESEARCH_ONLY
from lambdas.shared.bundle import Bundle, model_set
from lambdas.shared.errors import CxrError, StorageUnavailableError
from lambdas.shared.radiograph import FloatImage
from lambdas.shared.records import REPORT_FILE, Record

TABLE_HEIGHT_PX: Final = 520

FROM_REPORT: Final = "Shown as in the report: 8 bits, JPEG."
NO_FILM: Final = "This result has no report, so there is no image to show."

NO_PLACES: Final = (
    "No results are named. Start with <code>cxr web --results DIR</code> for a folder that "
    "<code>cxr analyze --out DIR</code> wrote, or <code>--results s3://bucket</code> for a bucket."
)


def show() -> None:
    """The page."""
    settings = server_state.settings()
    if not settings.results:
        block(f'<div class="cxr-welcome"><p>{NO_PLACES}</p></div>')
        return
    place = settings.results[0]
    opened = st.session_state.get("opened")
    if opened is not None:
        place = opened[0]
    elif len(settings.results) > 1:
        place = str(
            st.selectbox(
                "Results in",
                settings.results,
                format_func=shown,
                key="place",
                persist_state="session",
                width=520,
            )
        )
    try:
        store = server_state.store(place)
        with st.spinner("Reading the results"):
            listing = store.listing()
        if opened is None:
            _show_list(store, listing, place, settings)
        else:
            filters: Filters = st.session_state.get("filters") or Filters()
            rows = filtered(most_urgent_first(listing.results), filters)
            folders = [row.result.folder for row in rows]
            _show_opened(store, opened[1], folders, place, settings)
    except CxrError as error:
        st.error(str(error))


def _show_list(store: ResultStore, listing: Listing, place: str, settings: Settings) -> None:
    st.html(
        f'<div class="cxr cxr-banner" role="note"><p><b>{text(RESEARCH_ONLY)}</b> '
        f"{text(' '.join(_warnings(listing.results)))}</p></div>"
    )
    filters = show_filters(listing.results)
    st.session_state["filters"] = filters
    rows = filtered(most_urgent_first(listing.results), filters)
    _counts(rows, listing)
    if rows:
        _table(rows, place)
    else:
        st.info("No result passes the filters." if listing.results else "There are no results yet.")
    show_review_export(store, listing, settings)


def _warnings(rows: Sequence[StoredResult]) -> list[str]:
    return list(dict.fromkeys(warning for row in rows for warning in row.result.warnings))


def _counts(rows: Sequence[StoredResult], listing: Listing) -> None:
    kinds = [row.result.kind for row in rows]
    told = ", ".join(f"{kinds.count(kind)} {kind}" for kind in (ABNORMAL, NORMAL, REJECTED))
    every = "" if len(rows) == len(listing.results) else f" of {len(listing.results)}"
    results = "result" if len(listing.results) == 1 else "results"
    sentences = [f"{len(rows)}{every} {results}: {told}."]
    if listing.left_out:
        sentences.append(f"{listing.left_out} older ones are not listed.")
    if listing.unreadable:
        sentences.append(f"Called record.json, but no record: {listing.unreadable}.")
    sentences.append("Tick a row to open it.")
    block(f"<p>{text(' '.join(sentences))}</p>")


def _table(rows: Sequence[StoredResult], place: str) -> None:
    number = number_name([row.result for row in rows])
    columns = {
        "Result": [
            f"{markup.SIGNS[row.result.kind]} {row.result.label or 'Rejected'}" for row in rows
        ],
        number: [row.result.probability for row in rows],
        "Findings, or why it was rejected": [
            row.result.rejection_message or row.result.findings_text for row in rows
        ],
        "Image": [shown(row.result.key) for row in rows],
        "View": [row.result.view or "" for row in rows],
        "Reviewed": ["yes" if row.reviewed else "" for row in rows],
    }

    def chosen() -> None:
        picked = st.session_state["results-table"]["selection"]["rows"]
        if picked and picked[0] < len(rows):
            st.session_state["opened"] = (place, rows[picked[0]].result.folder)

    st.dataframe(
        columns,
        key="results-table",
        on_select=chosen,
        selection_mode="single-row",
        hide_index=True,
        height=min(TABLE_HEIGHT_PX, 38 + 35 * len(rows)),
        column_config={
            "Result": st.column_config.TextColumn(width=115),
            number: st.column_config.NumberColumn(width=95, format="%.2f"),
            "Findings, or why it was rejected": st.column_config.TextColumn(width=400),
            "Image": st.column_config.TextColumn(width=280),
            "View": st.column_config.TextColumn(width=60),
            "Reviewed": st.column_config.TextColumn(width=85),
        },
        placeholder="",
        alt="Results, one a row",
    )


def _show_opened(
    store: ResultStore, folder: str, folders: Sequence[str], place: str, settings: Settings
) -> None:
    """One result, with the way back and to its neighbours."""
    at = folders.index(folder) if folder in folders else None

    def go(to: int | None) -> None:
        st.session_state["opened"] = None if to is None else (place, folders[to])

    try:
        record = store.record(folder)
        markup.banner(record["models"], record["warnings"])
        show_case(_case(store, folder, record, settings), actions=lambda: _ways(at, folders, go))
    except CxrError as error:
        st.button("Back to the results", on_click=go, args=(None,), key="back-from-error")
        st.error(str(error))


def _ways(at: int | None, folders: Sequence[str], go: Any) -> None:
    if at is not None:
        st.html(f'<div class="cxr soft">{at + 1} of {len(folders)}</div>', width="content")
        st.button("Previous", on_click=go, args=(at - 1,), key="previous", disabled=at == 0)
        last = at == len(folders) - 1
        st.button("Next", on_click=go, args=(at + 1,), key="next", disabled=last)
    st.button("Back to the results", on_click=go, args=(None,), key="back")


def _case(store: ResultStore, folder: str, record: Record, settings: Settings) -> Case:
    film = _film(store, folder, record)
    bundles = _bundles_of(record, settings)
    return Case(
        name=record["source"]["key"],
        record=record,
        film=film,
        film_note=FROM_REPORT if film is not None else NO_FILM,
        files={name: _fetching(store, folder, name) for name in record["outputs"].values()},
        classifier=bundles[0].facts if bundles else None,
        detector=bundles[1].facts if bundles else None,
        reviewing=Reviewing(
            load=lambda: store.review(folder, record=record),
            save=lambda review, tag: store.save_review(folder, review, tag=tag),
        ),
    )


def _fetching(store: ResultStore, folder: str, name: str) -> Any:
    return lambda: store.file(folder, name)


def _film(store: ResultStore, folder: str, record: Record) -> FloatImage | None:
    """The film that the report holds; kept while it is looked at."""
    if record["status"] == "rejected" or REPORT_FILE not in record["outputs"].values():
        return None
    name = (folder, record["image_id"], record["model_set"])
    kept = st.session_state.get("report_film")
    if kept is None or kept[0] != name:
        try:
            report = store.file(folder, REPORT_FILE)
        except StorageUnavailableError:  # the record can be looked at without it
            return None
        kept = (name, film_of_report(report))
        st.session_state["report_film"] = kept
    film: FloatImage | None = kept[1]
    return film


def _bundles_of(record: Record, settings: Settings) -> tuple[Bundle, Bundle] | None:
    """The bundles that are loaded here, if it was they that made the result."""
    try:
        pair = server_state.bundles(settings.models)
    except CxrError:
        return None
    return pair if model_set(*pair) == record["model_set"] else None
