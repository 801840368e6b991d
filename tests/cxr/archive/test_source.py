"""Which images a job is about."""

import argparse
from pathlib import Path
from typing import Any

import pytest

from cxr.archive.files import JobFiles
from cxr.archive.source import (
    listing_of_file,
    parse_source,
    read_local_list,
    source_of,
    source_text,
)
from lambdas.batch.job import Source
from lambdas.shared.errors import InvalidRequestError
from lambdas.shared.messages import ImageRef


def options(**named: Any) -> argparse.Namespace:
    return argparse.Namespace(**{"source": None, "inventory": None, "list": None} | named)


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({"source": "s3://pacs/2019/"}, Source("prefix", "pacs", "2019/")),
        ({"source": "s3://pacs"}, Source("prefix", "pacs", "")),  # the whole bucket
        (
            {"inventory": "s3://inv/a/manifest.json"},
            Source("inventory", "inv", "a/manifest.json"),
        ),
        ({"list": "s3://lists/night.csv"}, Source("csv", "lists", "night.csv")),
        ({"list": "night.csv"}, Source("csv", "results", "jobs/night/list.csv")),  # goes up first
    ],
)
def test_images_are_named_in_one_of_three_ways(
    files: JobFiles, named: dict[str, str], expected: Source
) -> None:
    assert source_of(options(**named), files=files, job="night") == expected


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ({}, "name the images once"),
        ({"source": "s3://a/", "list": "b.csv"}, "name the images once"),
        ({"source": "scans/"}, "cxr upload"),  # a folder
        ({"source": "s3:///x"}, "no address"),
        ({"inventory": "s3://inv/a/"}, "manifest.json"),
        ({"list": "s3://lists"}, "name an object"),
    ],
)
def test_other_arguments_are_refused_with_what_to_do(
    files: JobFiles, named: dict[str, str], says: str
) -> None:
    with pytest.raises(InvalidRequestError, match=says):
        source_of(options(**named), files=files, job="night")


def test_a_local_list_is_read_as_s3_will_give_it(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes("bucket,key,version_id\npacs,Müller/1.dcm,v1\npacs,2.dcm,\n".encode())
    assert [image for image, _ in listing_of_file(path)({})] == [
        ImageRef("pacs", "Müller/1.dcm", "v1", None),
        ImageRef("pacs", "2.dcm", None, None),
    ]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"name,path\n", "no column bucket, key"),
        (b"", "no column bucket, key"),
        ("bucket,key\npacs,Müller".encode("latin-1"), "UTF-8"),
        (None, "No such file"),
    ],
)
def test_a_list_that_is_none_is_refused(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "list.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidRequestError, match=says):
        read_local_list(path)


def test_a_source_is_shown_as_it_was_named() -> None:
    assert source_text(parse_source("prefix", "s3://pacs/2019/")) == "s3://pacs/2019/"
    assert source_text(parse_source("csv", "s3://l/n.csv")) == "list s3://l/n.csv"
