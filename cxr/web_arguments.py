"""What the page can be told: arguments of `cxr web`, and of the page that Streamlit runs."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the page itself must know; `cxr.web.settings` reads it."""
    parser.add_argument(
        "--models",
        type=Path,
        metavar="DIR",
        help="folder with the bundles classifier/ and detector/ (default: models/demo)",
    )
    parser.add_argument(
        "--results",
        action="append",
        default=[],
        metavar="PLACE",
        help="results to look at: a folder, or s3://bucket[/prefix]; may be given again",
    )
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="folder for results that you ask the page to keep (default: nothing is kept)",
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="where the images of results in folders lie, for exports of reviews",
    )
    parser.add_argument(
        "--samples",
        type=Path,
        metavar="DIR",
        help="sample images to pick from (default: those that make demo draws)",
    )
    parser.add_argument(
        "--formats", default="", metavar="LIST", help="further outputs, as for cxr analyze"
    )
    parser.add_argument(
        "--detect-all", action="store_true", help="look for findings in normal images as well"
    )
