"""The arguments of `cxr analyze`, and what it prints."""

import argparse
from pathlib import Path
from typing import Final

from cxr.command_line import Parser, Subcommands, positive, write_json

_NOTES: Final = """\
PATH is a folder (searched at all levels), a file, or a pattern in quotes ('scans/**/*.dcm').
Files are told by content, not by name: text is skipped, every other file gets a record, analysed
or rejected with the reason. Hidden files are left out.

Results of scans/a/1.dcm lie in DIR/a/1.dcm/: record.json, report.pdf, thumbnail.jpg. With several
PATHs each puts its own name in front: DIR/scans/a/1.dcm/. DIR holds one model set; --force with
other models replaces its results, if all their images are named.

Run the same command again after an interruption, or when there are new images: what is done is
left as it is. Ask for more formats later, and what is missing is made.

--formats adds files beside record.json:
  dicom-sr    dicom/sr.dcm    Structured Report (TID 1500), findings with boxes and codes
  dicom-gsps  dicom/gsps.dcm  Presentation State: the boxes as most viewers draw them
  dicom-pdf   dicom/pdf.dcm   report.pdf as a DICOM object
  fhir        fhir.json       FHIR R4: DiagnosticReport, Observations, Devices
The DICOM ones join the study of their source and carry its patient, so only a DICOM image that was
analysed has them; PNG, JPEG, TIFF and rejected images do without, and the summary says so.
fhir.json names a patient only if --fhir-references does: a CSV with a first line
key,patient,imaging_study and then, by image, such as a/1.dcm,Patient/123,ImagingStudy/456.

No DICOM attribute that tells whose image it is goes into a record, unless --passthrough names it:
StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID, AccessionNumber, PatientID, IssuerOfPatientID,
StudyDate. The values stand in source_tags of record.json alone. With --force, records that are
done already follow.

exit code: 0 every image has a record; 1 some image has none (listed with the reason);
2 the command cannot be followed; 130 interrupted by Ctrl-C
"""


def add_parser(commands: "Subcommands[Parser]") -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "analyze",
        help="analyse images and write a record and a report for each",
        description="Analyse images and write a record and a report for each.",
        epilog=_NOTES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("paths", nargs="+", metavar="PATH", help="folder, file or quoted pattern")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of results; made if missing"
    )
    parser.add_argument(
        "--models",
        type=Path,
        metavar="DIR",
        help="folder with the bundles classifier/ and detector/ (default: models/demo)",
    )
    parser.add_argument(
        "--workers",
        type=positive,
        metavar="N",
        help="processes, each about 1 GB (default: to suit the machine)",
    )
    parser.add_argument("--force", action="store_true", help="do again what is already done")
    parser.add_argument(
        "--detect-all", action="store_true", help="look for findings in normal images as well"
    )
    parser.add_argument(
        "--formats",
        default="",
        metavar="LIST",
        help="more outputs, separated by commas: dicom-gsps, dicom-pdf, dicom-sr, fhir",
    )
    parser.add_argument(
        "--fhir-references",
        type=Path,
        metavar="CSV",
        help="patient and imaging study of each image, for --formats fhir",
    )
    parser.add_argument(
        "--passthrough",
        default="",
        metavar="LIST",
        help="DICOM attributes to carry into the records, separated by commas (default: none)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the summary as JSON instead of a table"
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but failures")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Analyse, print the summary, return the exit code."""
    from rich.console import Console

    from cxr.analyser import DEFAULT_MODELS, bundles_analyser
    from cxr.analyze import AnalyzeOptions, analyze
    from cxr.run_summary import as_json, print_failures, print_summary
    from lambdas.report.formats import parse_formats
    from lambdas.shared.passthrough import parse_passthrough

    summary = analyze(
        AnalyzeOptions(
            paths=tuple(options.paths),
            out=options.out,
            models=options.models or DEFAULT_MODELS,
            workers=options.workers,
            force=options.force,
            detect_all=options.detect_all,
            formats=parse_formats(options.formats),
            fhir_references=options.fhir_references,
            passthrough=parse_passthrough(options.passthrough),
            quiet=options.quiet,
        ),
        console=Console(stderr=True),
        make_analyser=getattr(options, "make_analyser", None) or bundles_analyser,
    )
    if options.json:
        write_json(as_json(summary))
    elif options.quiet:
        print_failures(summary, Console(stderr=True))
    else:
        print_summary(summary, Console())
    return summary.exit_code
