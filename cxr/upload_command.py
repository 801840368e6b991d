"""The arguments of `cxr upload`, and what it does after the upload."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cxr import aws
from cxr.command_line import INCOMPLETE, Parser, Subcommands, positive, write_json
from cxr.upload_target import SCHEME

if TYPE_CHECKING:
    from rich.console import Console

    from cxr.deployment import Deployment
    from cxr.upload import UploadSummary
    from cxr.upload_wait import Awaited

DEFAULT_JOBS: Final = 8

_NOTES: Final = """\
PATH is a folder (searched at all levels), a file, or a pattern in quotes. The key of
scans/ward 3/1.dcm is images/ward 3/1.dcm: its path below the one folder that was named;
several PATHs each put their own name in front. Without s3://… the images go to the
intake bucket of the deployment, below images/, where they are processed at once.

Files are told by content: what is no PNG, JPEG, TIFF or DICOM is skipped and listed.
S3 checks each upload by its SHA-256. Run the same command again after an interruption:
an object that holds the same bytes is not uploaded, so not processed, a second time. If
an object holds other bytes, nothing happens to it unless --replace says so. Nothing is
ever deleted.

--manifest writes a CSV of all images that are in place: bucket, key, version_id, sha256,
image_id; an archive job takes it as its list. Keys may name patients: so may the CSV.

exit code: 0 every image is there (and with --wait has its record); 1 some are not, listed
with the reason; 2 the command cannot be followed; 130 interrupted by Ctrl-C
"""


def add_parser(commands: "Subcommands[Parser]") -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "upload",
        help="upload images to the intake bucket",
        description="Upload images to the intake bucket of a deployment.",
        epilog=_NOTES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="cxr upload [options] PATH [PATH ...] [s3://BUCKET/PREFIX]",
    )
    parser.add_argument(
        "places", nargs="+", metavar="PATH", help="folder, file or quoted pattern; s3://… last"
    )
    parser.add_argument(
        "--jobs",
        type=positive,
        default=DEFAULT_JOBS,
        metavar="N",
        help=f"files on their way at a time (default: {DEFAULT_JOBS})",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="only say what would be uploaded, and what is there"
    )
    parser.add_argument(
        "--replace", action="store_true", help="put a new version over an object with other content"
    )
    parser.add_argument(
        "--anyway", action="store_true", help="upload even where nothing is processed"
    )
    parser.add_argument("--manifest", type=Path, metavar="CSV", help="write which objects they are")
    parser.add_argument(
        "--wait", action="store_true", help="wait for the records, and show the results"
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    aws.add_arguments(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Upload, write the manifest, wait."""
    from rich.console import Console

    from cxr.deployment import deployment_of
    from cxr.upload import UploadOptions, upload
    from cxr.upload_target import Target, check_processed, parse_target
    from cxr.upload_text import as_json, print_awaited, print_upload, write_manifest
    from infra.pipeline import INTAKE_PREFIX
    from lambdas.shared.errors import InvalidRequestError

    paths, url = _places(options.places)
    deployment = deployment_of(options) if url is None or options.wait else None
    cloud = deployment.cloud if deployment else aws.cloud_of(options)
    if url is not None:
        target = parse_target(url)
    else:
        assert deployment is not None
        target = Target(deployment.intake_bucket, deployment.intake_prefix)
    if not options.anyway:
        check_processed(target, deployment.intake_prefix if deployment else INTAKE_PREFIX)
    if options.wait and deployment and target.bucket != deployment.intake_bucket:
        raise InvalidRequestError(
            f"--wait: {target.bucket} is not the intake bucket of {deployment.stack}, which is "
            f"{deployment.intake_bucket}; --env or --stack names another deployment"
        )
    errors = Console(stderr=True)
    summary = upload(
        UploadOptions(
            paths=tuple(paths),
            target=target,
            jobs=options.jobs,
            replace=options.replace,
            dry_run=options.dry_run,
            quiet=options.quiet or options.json,
        ),
        s3=cloud.client("s3", connections=options.jobs),
        console=errors,
    )
    console = Console()
    if not options.json:
        print_upload(summary, console)
    if options.manifest and not options.dry_run:
        write_manifest(summary, options.manifest)
    awaited, exit_code = None, summary.exit_code
    whole = bool(summary.in_place) and not summary.pending and not options.dry_run
    if options.wait and deployment and whole:
        awaited, exit_code = _wait(deployment, summary, errors)
    elif whole and not options.json and not options.anyway:
        console.print("How they fare: cxr status; what became of one: cxr logs KEY")
    if options.json:
        write_json(as_json(summary, awaited, exit_code))
    elif awaited is not None:
        print_awaited(awaited, console)
    return exit_code


def _places(places: list[str]) -> tuple[list[str], str | None]:
    """Paths, and where to."""
    from lambdas.shared.errors import InvalidRequestError

    urls = [place for place in places if place.startswith(SCHEME)]
    paths = [place for place in places if not place.startswith(SCHEME)]
    if len(urls) > 1:
        raise InvalidRequestError(f"{urls[0]} and {urls[1]}: name one place to upload to")
    if not paths:
        raise InvalidRequestError("name a folder or a file to upload")
    return paths, urls[0] if urls else None


def _wait(
    deployment: "Deployment", summary: "UploadSummary", console: "Console"
) -> "tuple[Awaited, int]":
    """Wait for the records; what came, and the exit code."""
    from cxr.interruption import Interruption
    from cxr.upload_wait import wait_for_records

    total = len(summary.in_place)
    with Interruption() as interruption, console.status("Waiting for the records") as status:

        def tell(done: int, given_up: int) -> None:
            lost = f", {given_up:,} given up" if given_up else ""
            status.update(f"{done:,} of {total:,} have their record{lost}; Ctrl-C stops waiting")

        awaited = wait_for_records(
            deployment, summary.in_place, stop=lambda: interruption.level > 0, tell=tell
        )
        if interruption.level:
            return awaited, interruption.exit_code
    return awaited, INCOMPLETE if awaited.given_up or awaited.pending else summary.exit_code
