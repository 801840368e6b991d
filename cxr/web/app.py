"""The script that Streamlit runs for every session and every click; `cxr web` starts it."""

import logging
import traceback
from typing import Final

import streamlit as st

from cxr.web import analyse_page, markup, results_page
from lambdas.report.words import RESEARCH_ONLY

_LOG: Final = logging.getLogger(__name__)

SIDEBAR_PX: Final = 260

ICON: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" '
    'rx="6" fill="#1d2b36"/><path d="M13 7v9c0 5-2 9-5 9-2 0-2-4-1-9s3-8 6-9zM19 7v9c0 5 2 9 5 9 '
    '2 0 2-4 1-9s-3-8-6-9z" fill="none" stroke="#dfe8ee" stroke-width="2"/></svg>'
)


def main() -> None:
    """Lay out the page."""
    st.set_page_config(
        page_title="Chest radiographs",
        page_icon=ICON,
        layout="wide",
        initial_sidebar_state=SIDEBAR_PX,
        menu_items={"About": f"Triage and findings of chest radiographs. {RESEARCH_ONLY}"},
    )
    markup.styles()
    pages = [
        st.Page(analyse_page.show, title="Analyse", url_path="analyse", default=True),
        st.Page(results_page.show, title="Results", url_path="results"),
    ]
    page = st.navigation(pages, position="top")
    try:
        page.run()
    except Exception as error:  # ours to repair; its message may hold a name, so only where it was
        places = "".join(traceback.format_tb(error.__traceback__))
        _LOG.error("the page failed with %s:\n%s", type(error).__name__, places)
        st.error(
            f"Something went wrong that was not foreseen ({type(error).__name__}). Nothing was "
            "changed on disk; reload the page to go on."
        )


if __name__ == "__main__":  # as Streamlit runs it
    main()
