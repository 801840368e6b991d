"""`cxr results`: counts, files and lakes from folders and buckets, with nothing that identifies."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import boto3
import duckdb
import pytest
from moto import mock_aws

from cxr.cli import main
from cxr.record_source import BucketPlace, parse_bucket_place
from lambdas.shared.errors import InvalidRequestError
from lambdas.shared.records import Record, to_json
from tests.cxr.fakes import FINDINGS, MODEL_SET
from tests.lambdas.lake.cases import OTHER_MODEL_SET, ask, record

BUCKET = "results-bucket"
KINDS = ("abnormal", "abnormal", "normal", "rejected", "normal")
DAYS = ("2026-02-03T10:00:00Z", "2026-02-04T10:00:00Z")

Run = Callable[..., tuple[int, str, str]]


def drawn() -> list[Record]:
    """Five images on two days, with patient names in their keys."""
    made = [record(n, kind, finished_at=DAYS[n % 2]) for n, kind in enumerate(KINDS)]
    return [*made, record(0, "normal", model_set=OTHER_MODEL_SET)]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def command(*arguments: str) -> tuple[int, str, str]:
        code = main(["results", *arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return command


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """As `cxr analyze --out` writes it: folders are named after images."""
    for number, made in enumerate(drawn()):
        place = tmp_path / "results" / f"SMITH^JOHN_{number}" / "IM1.dcm"
        place.mkdir(parents=True)
        (place / "record.json").write_bytes(to_json(made))
        (place / "report.pdf").write_bytes(b"%PDF")
    return "results"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        for made in drawn():
            key = f"results/{made['model_set']}/{made['image_id']}/record.json"
            s3.put_object(Bucket=BUCKET, Key=key, Body=to_json(made))
        yield s3


def counts(run: Run, *arguments: str) -> dict[str, Any]:
    code, out, _ = run(*arguments, "--json")
    assert code == 0
    return json.loads(out)


def table(path: str) -> list[dict[str, Any]]:
    """Rows of a Parquet file, read by DuckDB."""
    with duckdb.connect() as database:
        found = database.execute(f"SELECT * FROM '{path}'")
        names = [column[0] for column in found.description]
        if "finished_at" in names:
            found = database.execute(f"SELECT * EXCLUDE (finished_at) FROM '{path}'")
            names.remove("finished_at")
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def test_results_are_counted_for_a_person(run, folder):
    code, out, _ = run(folder)
    assert code == 0
    assert "6 images, 2026-02-03 to 2026-02-04" in out
    assert "Rejected: not an image" in out
    assert "thresholds not valid on patients" in out
    assert "Research use only" in out
    assert "SMITH" not in out


def test_results_are_counted_for_a_program(run, folder):
    found = counts(run, folder)
    assert found["images"] == 6
    assert found["model_sets"] == {MODEL_SET: 5, OTHER_MODEL_SET: 1}
    assert found["labels"] == {"Abnormal": 2, "Normal": 3}
    assert found["rejections"] == {"not_an_image": 1}
    assert found["findings"] == {name: {"assessed": 2, "found": 2} for name in FINDINGS}
    assert (found["first_day"], found["last_day"]) == ("2026-02-03", "2026-02-04")


@pytest.mark.parametrize(
    ("arguments", "images"),
    [
        (["--since", "2026-02-04"], 2),
        (["--until", "2026-02-03"], 4),
        (["--since", "2026-02-03", "--until", "2026-02-03"], 4),
        (["--since", "2027-01-01"], 0),
        (["--model-set", OTHER_MODEL_SET], 1),
        (["--status", "rejected"], 1),
        (["--label", "Normal"], 3),
        (["--label", "Normal", "--label", "Abnormal"], 5),
        (["--min-probability", "0.5"], 2),
        (["--max-probability", "0.5"], 3),
        (["--min-probability", "0.9", "--max-probability", "0.9"], 2),
        (["--finding", "Cardiomegaly"], 2),
        (["--finding", "Pleural effusion", "--min-score", "0.5"], 0),  # scored 0.42
        (["--min-score", "0.5"], 2),
        (["--label", "Normal", "--finding", "Cardiomegaly"], 0),  # all that is named must hold
    ],
)
def test_records_are_chosen(run, folder, arguments, images):
    assert counts(run, folder, *arguments)["images"] == images


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv", "rows.jsonl"])
def test_files_have_one_row_for_each_image_and_nothing_that_identifies(run, folder, name):
    code, out, _ = run(folder, "--to", name)
    assert (code, out) == (0, f"6 rows in {name}\n")
    assert b"SMITH" not in Path(name).read_bytes()
    assert b"intake" not in Path(name).read_bytes()


def test_the_three_kinds_of_file_say_the_same(run, folder):
    for name in ("rows.parquet", "rows.csv", "rows.jsonl"):
        run(folder, "--to", name, "--with-keys")
    parquet = sorted(table("rows.parquet"), key=lambda row: (row["image_id"], row["model_set"]))
    lines = sorted(
        map(json.loads, Path("rows.jsonl").read_text().splitlines()),
        key=lambda row: (row["image_id"], row["model_set"]),
    )
    cells = sorted(
        csv.DictReader(io.StringIO(Path("rows.csv").read_text())),
        key=lambda row: (row["image_id"], row["model_set"]),
    )
    assert len(parquet) == len(lines) == len(cells) == 6
    for row, line, cell in zip(parquet, lines, cells, strict=True):
        assert row | {"date": row["date"].isoformat()} == {
            name: value for name, value in line.items() if name != "finished_at"
        }
        assert line["finished_at"] == cell["finished_at"]
        for name, value in line.items():
            if isinstance(value, list | dict):
                assert json.loads(cell[name]) == value
            elif isinstance(value, bool):
                assert cell[name] == str(value).lower()
            elif isinstance(value, float):
                assert float(cell[name]) == value
            else:
                assert cell[name] == ("" if value is None else str(value))


def test_findings_are_a_table_of_their_own(run, folder):
    run(folder, "--to", "boxes.parquet", "--table", "findings", "--min-score", "0.5")
    rows = table("boxes.parquet")
    assert [(row["finding"], row["score"]) for row in rows] == [("Cardiomegaly", 0.91)] * 2
    assert (rows[0]["x_min_px"], rows[0]["x_max"]) == (10.0, 0.5)
    assert rows[0]["date"] in (date(2026, 2, 3), date(2026, 2, 4))


def test_keys_are_written_if_asked_for(run, folder):
    run(folder, "--to", "rows.parquet", "--with-keys")
    assert {row["source_key"].split("/")[1] for row in table("rows.parquet")} == {"SMITH^JOHN_1950"}


def test_a_cell_that_a_spreadsheet_would_run_is_made_text(run, tmp_path):
    made = record()
    made["source"]["key"] = "=HYPERLINK(1)"
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "record.json").write_bytes(to_json(made))
    run("results", "--to", "rows.csv", "--with-keys")
    (row,) = csv.DictReader(io.StringIO(Path("rows.csv").read_text()))
    assert row["source_key"] == "'=HYPERLINK(1)"


def test_a_lake_of_a_folder_holds_each_record_once_however_often_it_is_written(run, folder):
    for _ in range(2):
        code, out, _ = run(folder, "--to", "lake/")
        assert code == 0
        assert out.startswith("10 rows in ")
    (answer,) = ask(Path("lake"), "SELECT count(*), count(DISTINCT image_id) FROM records")
    assert answer == (6, 5)
    assert not [path for path in Path("lake").rglob("*.parquet") if b"SMITH" in path.read_bytes()]


def test_a_lake_forgets_what_has_no_record_any_more(run, folder):
    run(folder, "--to", "lake/")
    (Path(folder) / "SMITH^JOHN_1" / "IM1.dcm" / "record.json").unlink()
    (Path(folder) / "SMITH^JOHN_3" / "IM1.dcm" / "record.json").unlink()
    code, out, _ = run(folder, "--to", "lake/")
    assert code == 0
    assert "outdated removed" in out
    assert ask(Path("lake"), "SELECT count(*) FROM records") == [(4,)]


def test_a_lake_keeps_the_days_that_were_not_asked_for(run, folder):
    run(folder, "--to", "lake/")
    for place in Path(folder).glob("*/IM1.dcm/record.json"):
        place.unlink()
    run(folder, "--to", "lake/", "--since", "2026-02-04")
    assert ask(Path("lake"), 'SELECT DISTINCT "date" FROM records') == [(date(2026, 2, 3),)]


def test_a_lake_is_not_written_with_some_of_its_records(run, folder):
    code, _, err = run(folder, "--to", "lake/", "--label", "Normal")
    assert code == 2
    assert "a lake holds all records of its days" in err
    assert not Path("lake").exists()


@pytest.mark.parametrize("place", ["", "/", "/results", "/results/"])
def test_a_bucket_is_read_whole(run, bucket, place):
    assert counts(run, f"s3://{BUCKET}{place}")["images"] == 6


def test_a_bucket_is_read_by_model_set(run, bucket):
    found = counts(run, f"s3://{BUCKET}/results/{OTHER_MODEL_SET}/")
    assert found["model_sets"] == {OTHER_MODEL_SET: 1}


def test_a_bucket_gives_the_same_file_as_a_folder_but_for_addresses(run, bucket, folder):
    run(folder, "--to", "folder.parquet")
    run(f"s3://{BUCKET}", "--to", "bucket.parquet")

    def rows(path: str) -> list[dict[str, Any]]:
        found = sorted(table(path), key=lambda row: (row["image_id"], row["model_set"]))
        return [row | {"record_uri": None} for row in found]

    assert rows("bucket.parquet") == rows("folder.parquet")
    assert {row["record_uri"].split("/")[2] for row in table("bucket.parquet")} == {BUCKET}


def test_a_bucket_is_compacted_into_a_lake_beside_the_results(run, bucket, tmp_path):
    for _ in range(2):
        code, out, _ = run(f"s3://{BUCKET}/results/", "--to", f"s3://{BUCKET}/lake/")
        assert code == 0
        assert out.startswith("10 rows in ")
    for item in bucket.list_objects_v2(Bucket=BUCKET, Prefix="lake/")["Contents"]:
        target = tmp_path / item["Key"]
        target.parent.mkdir(parents=True, exist_ok=True)
        bucket.download_file(BUCKET, item["Key"], str(target))
    assert ask(tmp_path / "lake", "SELECT count(*) FROM records") == [(6,)]


def test_a_bucket_that_is_not_there_is_said_plainly(run, bucket):
    code, _, err = run("s3://no-such-bucket/")
    assert code == 2
    assert "listing results: the bucket does not exist" in err


def test_what_is_no_record_is_named_and_the_rest_is_written(run, folder):
    for number in range(12):
        place = Path(folder) / f"broken_{number:02}"
        place.mkdir()
        (place / "record.json").write_text("{")
    code, out, err = run(folder, "--to", "rows.jsonl")
    assert (code, out) == (1, "6 rows in rows.jsonl\n")
    assert "broken_09/record.json: not a record" in err
    assert "broken_10" not in err
    assert "and 2 more" in err


def test_a_file_takes_the_place_of_another_only_when_it_is_whole(run, folder, monkeypatch):
    from cxr import record_export

    Path("rows.jsonl").write_text("old")
    monkeypatch.setattr(record_export, "_iso", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(folder, "--to", "rows.jsonl")
    assert Path("rows.jsonl").read_text() == "old"
    assert not list(Path().glob(".rows*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "there is no folder nowhere"),
        (["s3://"], "names no bucket"),
        (["results", "--to", "rows.xlsx"], "is no .parquet, .csv, .jsonl"),
        (["results", "--to", "s3://bucket/rows.csv"], "written on this machine"),
        (["results", "--to", "s3://bucket"], "names no place"),
        (["results", "--since", "yesterday"], "is no day, expected YYYY-MM-DD"),
        (["results", "--min-score", "2"], "is not a number from 0 to 1"),
        (["results", "--status", "done"], "invalid choice"),
    ],
)
def test_what_cannot_be_followed_is_said_with_what_to_do(run, folder, arguments, message):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_a_place_that_cannot_be_written_is_said(run, folder):
    code, _, err = run(folder, "--to", "no/such/folder/rows.csv")
    assert code == 1
    assert "cannot be written: No such file or directory" in err


def test_without_pyarrow_parquet_says_how_to_get_it(run, folder, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "lambdas.lake.parquet", None)
    for target in ("rows.parquet", "lake/"):
        code, _, err = run(folder, "--to", target)
        assert code == 2
        assert "pip install -e '.[lake]'" in err
    assert run(folder, "--to", "rows.csv")[0] == 0


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("s3://b", BucketPlace("b", "results/", None)),
        ("s3://b/", BucketPlace("b", "results/", None)),
        ("s3://b/site/a", BucketPlace("b", "site/a/results/", None)),
        ("s3://b/site/a/results", BucketPlace("b", "site/a/results/", None)),
        (f"s3://b/results/{MODEL_SET}", BucketPlace("b", "results/", MODEL_SET)),
        (f"s3://b/results/{MODEL_SET}/x/y", BucketPlace("b", "results/", MODEL_SET)),
        ("s3://b/my-results", BucketPlace("b", "my-results/results/", None)),
    ],
)
def test_addresses_are_read(address, place):
    assert parse_bucket_place(address) == place


def test_an_address_without_a_bucket_is_refused():
    with pytest.raises(InvalidRequestError, match="names no bucket"):
        parse_bucket_place("s3:///results/")


@pytest.mark.slow
def test_without_a_source_the_deployments_results_are_meant(run, bucket):
    from infra.config import load_settings
    from infra.pipeline import output_names

    outputs = {name: {"Value": BUCKET} for name in output_names()}
    template = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}, "Outputs": outputs}
    boto3.client("cloudformation").create_stack(
        StackName=load_settings().stack_name, TemplateBody=json.dumps(template)
    )
    assert counts(run)["images"] == 6
