"""The arguments of `cxr web`, and how the page is served.

Streamlit's settings are all given here, so that no file of a user's changes what the page promises:
it answers on this machine alone, sends no usage statistics, watches no files, and shows no
tracebacks, which could hold names.
"""

import argparse
import os
import socket
import sys
import threading
import time
import urllib.request
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cxr.command_line import INCOMPLETE, Parser, Subcommands, positive
from cxr.web_arguments import add_arguments

if TYPE_CHECKING:
    from cxr.web.settings import Settings

DEFAULT_PORT: Final = 8501
LOCAL: Final = "127.0.0.1"

_NOTES: Final = """\
The page analyses what you upload with the same stages as `cxr analyze`. Nothing uploaded is kept,
unless you start with --keep DIR and ask for it image by image. Results that are there already can
be looked at, reviewed and exported with --results.

The page answers on this machine only. --host with another address opens it to whoever can reach
that address: it has no log-in of its own, so put one in front of it.
"""

_APP: Final = Path(__file__).parent / "web" / "app.py"

_INSTALL: Final = "python -m pip install -e '.[web]', or make web"

_LIGHT: Final = {
    "primaryColor": "#1b6a93",
    "backgroundColor": "#ffffff",
    "secondaryBackgroundColor": "#f1f4f6",
    "textColor": "#1a2228",
    "borderColor": "#c9d2d8",
}
_DARK: Final = {
    "primaryColor": "#5fb3dc",
    "backgroundColor": "#12171b",
    "secondaryBackgroundColor": "#1b2228",
    "textColor": "#e4eaee",
    "borderColor": "#3a454d",
}
"""Quiet greys, so that the film is the brightest thing on the screen."""

_START_SECONDS: Final = 60


def add_parser(commands: "Subcommands[Parser]") -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "web",
        help="the page: upload, look, review",
        description="Serve the page: upload radiographs, look at results, review them.",
        epilog=_NOTES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    parser.add_argument(
        "--host", default=LOCAL, metavar="ADDRESS", help=f"address to answer on (default: {LOCAL})"
    )
    parser.add_argument(
        "--port",
        type=positive,
        default=DEFAULT_PORT,
        metavar="N",
        help=f"port to answer on (default: {DEFAULT_PORT})",
    )
    parser.add_argument(
        "--no-browser", action="store_true", help="do not open the page in a browser"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C."""
    from cxr.analyser import load_pair
    from cxr.result_places import open_store
    from cxr.web.settings import Settings
    from lambdas.report.formats import check_libraries
    from lambdas.shared.errors import ConfigError

    settings = Settings.from_options(options)
    load_pair(settings.models)
    check_libraries(settings.formats)
    if settings.keep:
        settings.keep.mkdir(parents=True, exist_ok=True)
    for place in settings.results:
        open_store(place)
    try:
        import streamlit  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise ConfigError(
            f"the page needs streamlit, which is not installed: {_INSTALL}"
        ) from error
    _check_port(options.host, options.port)
    return _serve(settings, host=options.host, port=options.port, browser=not options.no_browser)


def streamlit_options(*, host: str, port: int) -> dict[str, str | tuple[str, ...]]:
    """Streamlit's settings, by their names."""
    from lambdas.shared.limits import MAX_FILE_BYTES, MIB

    options: dict[str, str | tuple[str, ...]] = {
        "server.address": host,
        "server.port": str(port),
        "server.headless": "true",  # asks for no e-mail address; the browser is opened here
        "server.fileWatcherType": "none",
        "server.runOnSave": "false",
        "server.maxUploadSize": str(MAX_FILE_BYTES // MIB),
        "server.enableXsrfProtection": "true",
        # a foreign name that leads to this machine must not open the page to a foreign script
        "server.allowedHosts": ("localhost", LOCAL) if host == LOCAL else (),
        "server.enableStaticServing": "false",
        "server.disconnectedSessionTTL": "60",
        "browser.gatherUsageStats": "false",
        "browser.serverAddress": "localhost" if host == LOCAL else host,
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "client.showErrorLinks": "false",
        "client.showSidebarNavigation": "true",
        "runner.magicEnabled": "false",
        "logger.hideWelcomeMessage": "true",
        "logger.level": "warning",
    }
    options |= {f"theme.light.{name}": value for name, value in _LIGHT.items()}
    return options | {f"theme.dark.{name}": value for name, value in _DARK.items()}


def _check_port(host: str, port: int) -> None:
    from lambdas.shared.errors import InvalidRequestError

    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise InvalidRequestError(
            f"the page cannot answer on {host}, port {port}: {error.strerror or error}; name "
            "another with --port, or --host"
        ) from error


def _serve(settings: "Settings", *, host: str, port: int, browser: bool) -> int:
    from streamlit import net_util
    from streamlit.web import cli

    # Where a page of another origin knocks, Streamlit finds out this machine's addresses to compare
    # them, by asking checkip.amazonaws.com and 8.8.8.8; this page asks nobody for anything.
    net_util.get_external_ip = lambda: None
    net_util.get_internal_ip = lambda: None
    sys.path.insert(0, str(_APP.parents[2]))  # sessions import cxr from the checkout
    url = f"http://{'localhost' if host == LOCAL else host}:{port}"
    threading.Thread(target=_tell, args=(url, host, port, browser), daemon=True).start()
    flags = [
        f"--{name}={value}"
        for name, values in streamlit_options(host=host, port=port).items()
        for value in ((values,) if isinstance(values, str) else values)
    ]
    command = ["run", str(_APP), *flags, "--", *settings.to_arguments()]
    try:
        cli.main(command, prog_name="streamlit", standalone_mode=False)
    except SystemExit as stop:  # Streamlit has said why, such as a port that is taken
        return INCOMPLETE if stop.code else 0
    return 0


def _tell(url: str, host: str, port: int, browser: bool) -> None:
    """Say where the page is once it answers, and open it."""
    probe = f"http://{LOCAL if host in ('0.0.0.0', '::') else host}:{port}/_stcore/health"
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(probe, timeout=2) as answer:
                if answer.status == 200:
                    break
        except OSError:
            time.sleep(0.1)
    else:
        return
    sys.stdout.write(f"The page is at {url} (Ctrl-C ends it)\n")
    if host != LOCAL:
        sys.stdout.write("Warning: everybody who can reach this address can use the page.\n")
    sys.stdout.flush()
    if browser and (os.environ.get("DISPLAY") or sys.platform == "darwin"):
        webbrowser.open(url)
