"""What is left to do in a folder of results: an image is done when its record says so.

Done means: a record that is valid under its schema, for this key, these bytes and these models,
with every file that it names, and with all that is wanted. Such an image is left untouched; one
that is done again keeps what it had beyond the plain result.
"""

import contextlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from cxr.discover import Image
from cxr.keys import result_folder, shown
from cxr.output_folder import OutputFolder
from cxr.results import REJECTED, Result, parse_record
from cxr.wanted import Wanted
from cxr.worker import source_digest
from lambdas.report.fhir_references import NOBODY, FhirReferences, references_in
from lambdas.report.formats import FHIR, FORMAT_FILES
from lambdas.shared.errors import InvalidRequestError
from lambdas.shared.records import Source

_HASHING_THREADS: Final = 4
"""Hashing waits for the disk more than it computes, and lets other threads run meanwhile."""


@dataclass(frozen=True)
class Plan:
    """What a run has to do.

    Attributes:
        pending: Images to analyse.
        done: Earlier results that stay, by key.
        replaced: How many earlier results belong to other content under the same key.
    """

    pending: tuple[Image, ...]
    done: Mapping[str, Result]
    replaced: int


def read_results(folder: OutputFolder) -> dict[str, Result]:
    """Every valid record in the folder, by the folder it lies in."""
    results = {}
    for place, content in folder.records():
        record = parse_record(content)
        if record is not None:
            results[place] = Result.from_record(record, folder=place)
    return results


def clear_other_models(
    folder: OutputFolder,
    existing: Mapping[str, Result],
    *,
    images: Sequence[Image],
    model_set: str,
    force: bool,
) -> dict[str, Result]:
    """Keep a folder to one model set: refuse another one's results or, forced, take them back.

    Forced, their records are removed before anything else, so that the folder never mixes and an
    interrupted run goes on as any other does. Results of images that this run does not name are
    never removed.

    Returns:
        The results that stay.

    Raises:
        InvalidRequestError: There are results of other models that must not be touched.
    """
    others = {place: result for place, result in existing.items() if result.model_set != model_set}
    if not others:
        return dict(existing)
    other_set = next(iter(others.values())).model_set
    holds = (
        f"--out {shown(folder.path)} holds {len(others)} results of another model set "
        f"({other_set}; the models chosen now are {model_set})"
    )
    if not force:
        raise InvalidRequestError(
            f"{holds}; choose another --out, or --force to replace them all by analysing their "
            "images again"
        )
    named = {result_folder(image.key) for image in images}
    if kept := sorted(set(others) - named):
        raise InvalidRequestError(
            f"{holds}, {len(kept)} of them for images that are not named here, such as "
            f"{shown(kept[0])}; choose another --out, or name all of them together with --force"
        )
    for place in others:
        folder.remove_record(place)
    return {place: result for place, result in existing.items() if place not in others}


def plan_run(
    images: Sequence[Image],
    existing: Mapping[str, Result],
    *,
    folder: OutputFolder,
    force: bool,
    detect_all: bool,
) -> Plan:
    """Tell the images that are done from those that are not.

    Args:
        images: Named in this run, with what is wanted of each.
        existing: Earlier results of the same model set, by folder.
        folder: Holds them.
        force: Whether to do all again.
        detect_all: Whether a normal image without detection counts as not done.
    """
    known = [image for image in images if result_folder(image.key) in existing]
    digests = _digests(known)
    pending, done, replaced = [], {}, 0
    for image in images:
        result = existing.get(result_folder(image.key))
        digest = digests.get(image.key)
        if result is None or digest is None:
            pending.append(image)
            continue
        source = Source(bucket=None, key=image.key, version=None, sha256=digest)
        same = result.image_id == source.image_id and result.sha256 == digest
        replaced += not same
        if not same:
            pending.append(image)
            continue
        references = _references(result, folder)
        complete = all(folder.has_file(result.folder, name) for name in result.files)
        enough = result.detected or result.kind == REJECTED or not detect_all
        if complete and enough and _has_all(result, references, image.wanted) and not force:
            done[image.key] = result
        else:
            pending.append(replace(image, wanted=_kept(result, references, image.wanted)))
    return Plan(tuple(pending), done, replaced)


def _has_all(result: Result, references: FhirReferences, wanted: Wanted) -> bool:
    """Whether a result holds what is wanted, as far as its image can have it."""
    if not wanted.formats <= result.settled_formats:
        return False
    return wanted.references in (NOBODY, references) or FHIR not in wanted.formats


def _kept(result: Result, references: FhirReferences, wanted: Wanted) -> Wanted:
    """What is wanted of an image together with what its earlier result held."""
    return Wanted(
        formats=wanted.formats | result.settled_formats,
        references=references if wanted.references == NOBODY else wanted.references,
        detect_all=wanted.detect_all or result.detected,
        passthrough=wanted.passthrough,  # what identifies must be asked for anew, or is not there
    )


def _references(result: Result, folder: OutputFolder) -> FhirReferences:
    """Whom the FHIR output of a result is about."""
    if FHIR not in result.formats:
        return NOBODY
    return references_in(folder.read_file(result.folder, FORMAT_FILES[FHIR]) or b"")


def _digests(images: Sequence[Image]) -> dict[str, str]:
    """Hex SHA-256 by key; without the files that cannot be read, which analysis reports."""

    def digest(image: Image) -> str | None:
        with contextlib.suppress(OSError):
            return source_digest(image.path)
        return None

    with ThreadPoolExecutor(_HASHING_THREADS) as threads:
        try:
            found = list(threads.map(digest, images))
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise
    return {image.key: value for image, value in zip(images, found, strict=True) if value}
