"""What a job has come to."""

import json
import re

from cxr.archive.files import JobFiles
from cxr.archive.report import JobReport, as_json, make_report
from cxr.archive.report_page import report_page
from lambdas.batch.job import Failure
from lambdas.shared.messages import ImageRef
from tests.cxr.archive.jobs import failure, write_job, write_outcome, write_state, write_wave
from tests.lambdas.batch.job_builders import image

NAMED = Failure(
    ImageRef("pacs", "2019/<b>{{cost}}</b>.dcm", "v", None), "9" * 32, "BatchDied", "died <3 times"
)


def report(files: JobFiles) -> JobReport:
    job = write_job(files, max_cost_usd=10.0)
    write_wave(files, 1, [[1, 2, 3, 4], [5, 6]])
    write_outcome(
        files,
        1,
        0,
        analysed=2,
        rejected=1,
        positive=1,
        failures=(failure(4),),
        rejections={"not_frontal": 1},
        probability_tenths=(1, 0, 0, 0, 0, 0, 0, 0, 0, 1),
        slowest=(("a" * 32, 900.0), ("b" * 32, 100.0)),
        billed_ms=3000,
        peak_memory_mb=800.0,
    )
    write_outcome(files, 1, 1, died=True, attempt=3, left=(image(5), image(6)))
    write_wave(files, 2, [[5, 6]])
    write_outcome(
        files,
        2,
        0,
        analysed=1,
        failures=(NAMED,),
        slowest=(("c" * 32, 500.0),),
        probability_tenths=(0, 0, 0, 0, 0, 1, 0, 0, 0, 0),
    )
    write_state(files, status="done", planned=2, folded=2, batches=(2,), spent_usd=0.5)
    return make_report(files, job)


def test_waves_are_summed_up(files: JobFiles) -> None:
    made = report(files)
    assert (made.tally.analysed, made.tally.rejected, made.tally.failed) == (3, 1, 2)
    assert made.tenths == (1, 0, 0, 0, 0, 1, 0, 0, 0, 1)
    assert [name[0] for name, _ in made.slowest] == ["a", "c", "b"]
    first, second = made.waves
    assert (first.batches, first.died, second.batches) == (2, 1, 1)
    assert 0 < first.died_usd < first.usd
    assert made.reasons == {"StorageUnavailableError": 1, "BatchDied": 1}


def test_json_names_failed_images_unless_it_must_not(files: JobFiles) -> None:
    made = report(files)
    uris = {entry["uri"] for entry in as_json(made)["failures"]}
    assert f"s3://pacs/{NAMED.image.key}" in uris
    text = json.dumps(as_json(made, keys=False))
    assert "2019/0" not in text
    assert NAMED.image.key not in text
    assert NAMED.image_id in text


def test_page_escapes_what_comes_from_outside(files: JobFiles) -> None:
    page = report_page(report(files)).decode()
    assert "<b>{{cost}}" not in page
    assert "&lt;b&gt;{{cost}}&lt;/b&gt;.dcm" in page
    assert "died &lt;3 times" in page
    assert not re.search(r"{{\w+}}", page.replace("{{cost}}&lt;", ""))


def test_page_asks_no_other_machine(files: JobFiles) -> None:
    page = report_page(report(files)).decode()
    assert not re.search(r"(src|href)=|url\(|@import|<script", page)


def test_page_without_keys_has_none(files: JobFiles) -> None:
    page = report_page(report(files), keys=False).decode()
    assert "s3://pacs/2019/0" not in page
    assert "stand in this page" not in page
    assert NAMED.image_id in page


def test_a_job_that_has_just_begun_has_a_report(files: JobFiles) -> None:
    made = make_report(files, write_job(files))
    assert made.images_per_s is None
    assert "None." in report_page(made).decode()
    assert as_json(made)["settled"] == 0
