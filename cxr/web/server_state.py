"""What one server has for all sessions: settings, models, places of results."""

import sys
from pathlib import Path

import streamlit as st

from cxr.analyser import load_pair
from cxr.result_places import open_store
from cxr.stored_results import ResultStore
from cxr.web.engine import Engine
from cxr.web.settings import Settings
from lambdas.shared.bundle import Bundle


def settings() -> Settings:
    """From the arguments that the page was started with."""
    return Settings.from_arguments(sys.argv[1:])


@st.cache_resource(show_spinner="Loading the models", on_release=Engine.close)
def engine(models: Path) -> Engine:
    """The models of a folder, loaded once."""
    return Engine(models)


@st.cache_resource(show_spinner=False)
def bundles(models: Path) -> tuple[Bundle, Bundle]:
    """The facts of the models in a folder, without their graphs."""
    return load_pair(models)


@st.cache_resource(show_spinner=False)
def store(place: str) -> ResultStore:
    """A place of results; it remembers what it has read."""
    return open_store(place)
