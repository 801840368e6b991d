"""The files of a result, as downloads; names say nothing of the patient."""

import io
import zipfile
from collections.abc import Callable
from typing import Final

import streamlit as st

from cxr.web.case import Case
from cxr.web.markup import block, text
from lambdas.shared.records import RECORD_FILE, REPORT_FILE, THUMBNAIL_FILE, to_json

SHORT_ID_CHARACTERS: Final = 12

_NAMES: Final = {
    REPORT_FILE: "Report (PDF)",
    RECORD_FILE: "Record (JSON)",
    THUMBNAIL_FILE: "Thumbnail",
    "fhir.json": "FHIR",
    "dicom/sr.dcm": "DICOM SR",
    "dicom/gsps.dcm": "DICOM presentation state",
    "dicom/pdf.dcm": "DICOM PDF",
}
"""A file that is not listed is offered under its own name."""

_TYPES: Final = {
    "pdf": "application/pdf",
    "json": "application/json",
    "jpg": "image/jpeg",
    "dcm": "application/dicom",
}


def show_downloads(case: Case) -> None:
    """A button for each file, and one for all."""
    record = to_json(case.record)
    report = {name: case.files[name] for name in (REPORT_FILE,) if name in case.files}
    files: dict[str, Callable[[], bytes]] = {**report, RECORD_FILE: lambda: record, **case.files}
    short_id = case.record["image_id"][:SHORT_ID_CHARACTERS]
    with st.container(horizontal=True, gap="small", key="downloads"):
        for name, fetch in files.items():
            st.download_button(
                _NAMES.get(name, name),
                data=fetch,
                file_name=f"{short_id}_{name.replace('/', '_')}",
                mime=_TYPES.get(name.rpartition(".")[2], "application/octet-stream"),
                key=f"download-{name}-{case.id}",
                on_click="ignore",
            )
        st.download_button(
            "All (ZIP)",
            data=lambda: _archive(files),
            file_name=f"{short_id}.zip",
            mime="application/zip",
            key=f"download-all-{case.id}",
            on_click="ignore",
        )
    for entry in case.record.get("left_out") or ():
        block(f"<small>No {text(entry['format'])}: {text(entry['reason'])}.</small>")


def _archive(files: dict[str, Callable[[], bytes]]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, fetch in files.items():
            archive.writestr(name, fetch())
    return target.getvalue()
