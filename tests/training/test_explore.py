"""training/explore.py: checks that find planted faults, figures, a page that stands alone."""

import re
from html.parser import HTMLParser

import pytest

from lambdas.shared.boxes import UnitBox
from tests.training.builders import add_study, film_png, published
from training.agreement import reader_agreement, region_iou
from training.data import inspect_dataset
from training.explore import explore, main
from training.explore_checks import duplicate_groups, run_checks, shortcuts
from training.explore_figures import SPLIT_COLOURS
from training.explore_image_figures import coverage
from training.explore_images import FilmJob, read_film
from training.report_html import Mark, Page
from training.studies import SPLITS


def _explored(files, root):
    """Checks by name, and films, of a data set."""
    inspection = inspect_dataset(files.write(root))
    films = {
        name: read_film(FilmJob(name, root / path))
        for name, (path, _) in inspection.annotations.images.items()
    }
    return {check.name: check for check in run_checks(inspection, films)}, films


def test_a_sound_data_set_passes_all_but_size_and_count(tmp_path):
    files = published()
    files.projections = dict.fromkeys(files.images, "PA")
    checks, _ = _explored(files, tmp_path)
    open_checks = {name for name, check in checks.items() if check.status != "ok"}
    # the fixture's films are ten, and small
    assert open_checks == {"as many studies as PadChest-GR has", "full size"}


def _leak(files):
    add_study(files, split="test", label=None, patient_id=files.rows[0]["PatientID"])


def _twin(files):
    files.images[files.reports[0]["ImageID"]] = files.images[files.reports[9]["ImageID"]]


def _eight_bits(files):
    files.images[files.reports[0]["ImageID"]] = film_png(seed=0, bits=8)


def _inverted(files):
    files.images[files.reports[0]["ImageID"]] = film_png(seed=0, inverted=True)


def _broken(files):
    name = files.reports[0]["ImageID"]
    files.images[name] = files.images[name][:200]


def _orphan(files):
    files.images["nobody.png"] = film_png(seed=77)


def _miscounted(files):
    files.rows[0]["boxes_count"] = "3"


def _all_of_it(files):
    files.finding(0)["boxes"] = [[0, 0, 1, 1]]


def _speck(files):
    files.finding(0)["boxes"] = [[0.5, 0.5, 0.51, 0.51]]


def _no_boxes(files):
    files.finding(0).update(boxes=[], extra_boxes=[])


def _another_label(files):
    files.finding(0)["labels"] = ["cardiomegaly", "scoliosis"]


def _no_sex(files):
    files.rows[0]["PatientSex_DICOM"] = ""


def _no_test(files):
    for row in files.rows:
        row["split"] = "train"


@pytest.mark.parametrize(
    ("damage", "name", "status"),
    [
        (_leak, "no patient stands in two splits", "fault"),
        (_twin, "no image stands under two names", "warning"),
        (_twin, "no image stands in two splits", "warning"),
        (_eight_bits, "16-bit grey, MONOCHROME2", "warning"),
        (_eight_bits, "the depth is used", "warning"),
        (_inverted, "bone is bright", "warning"),
        (_broken, "every image can be read", "warning"),
        (_broken, "every study can be used", "warning"),
        (_orphan, "every image belongs to a study", "note"),
        (_miscounted, "the table counts the boxes that the JSON holds", "note"),
        (_all_of_it, "no box covers nearly the whole image", "warning"),
        (_speck, "no box is a speck", "warning"),
        (_no_boxes, "every abnormal study has a box", "note"),
        (_another_label, "the JSON and the table name the same labels", "note"),
        (_no_sex, "every study has sex", "note"),
        (_no_test, "no split is empty", "warning"),
    ],
)
def test_a_planted_fault_is_found_once(tmp_path, damage, name, status):
    files = published()
    damage(files)
    check = _explored(files, tmp_path)[0][name]
    assert check.status == status
    assert check.count == (2 if name == "no split is empty" else 1)
    assert check.examples


def test_one_picture_in_two_files_is_a_duplicate(tmp_path):
    files = published()
    name, other = files.reports[0]["ImageID"], files.reports[5]["ImageID"]
    # the same samples in other bytes: compressed another way
    files.images[name] = film_png(seed=5, compress_level=1)
    assert files.images[name] != files.images[other]
    _, films = _explored(files, tmp_path)
    assert duplicate_groups(films) == [(name, other)]


def test_film_facts_are_those_of_the_file(tmp_path):
    (tmp_path / "film.png").write_bytes(film_png(seed=3))
    film = read_film(FilmJob("film.png", tmp_path / "film.png"))
    assert (film.width_px, film.height_px, film.bits, film.error) == (208, 240, 16, "")
    assert film.lowest == 0
    assert film.levels > 10_000
    assert film.raw_histogram.sum() == pytest.approx(1)
    assert film.histogram.sum() == pytest.approx(1)
    assert film.thumbnail.shape == (96, 96)
    assert 0 <= film.low < film.high <= film.highest


def test_shortcuts_tell_the_facts_of_known_studies_only(tmp_path):
    files = published()
    for row in files.rows_of(0):
        row["PatientAge"] = ""
    _, films = _explored(files, tmp_path)
    found = shortcuts(inspect_dataset(tmp_path).dataset.studies, films)
    assert len(found["patient's age"][0]) == 9
    assert len(found["image width"][0]) == 10
    assert found["taken AP or supine"] == ([], [])
    # every second study is abnormal, and female
    assert found["male"] == ([True, False] * 5, [0.0, 1.0] * 5)


@pytest.mark.parametrize(
    ("first", "second", "iou"),
    [
        ([(0, 0, 0.5, 0.5)], [(0, 0, 0.5, 0.5)], 1.0),
        ([(0, 0, 0.5, 0.5)], [(0.5, 0.5, 1, 1)], 0.0),
        ([(0, 0, 0.4, 0.5)], [(0.2, 0, 0.6, 0.5)], 1 / 3),
        # one wide box against two that cover its halves: the same area
        ([(0, 0, 1, 0.5)], [(0, 0, 0.5, 0.5), (0.5, 0, 1, 0.5)], 1.0),
        # what one reader covers twice counts once
        ([(0, 0, 0.5, 1), (0, 0, 0.5, 1)], [(0, 0, 1, 1)], 0.5),
    ],
)
def test_region_iou_is_that_of_covered_areas(first, second, iou):
    boxes = [[UnitBox(*edges) for edges in group] for group in (first, second)]
    assert region_iou(*boxes) == pytest.approx(iou)
    assert region_iou(*boxes[::-1]) == pytest.approx(iou)


def test_reader_agreement_counts_who_drew(tmp_path):
    files = published()
    files.finding(2)["labels"] = ["cardiomegaly"]
    files.finding(2)["extra_boxes"] = []
    files.finding(4)["labels"] = ["cardiomegaly"]
    files.finding(4)["boxes"] = []
    studies = inspect_dataset(files.write(tmp_path)).dataset.studies
    entry = reader_agreement(studies, "Cardiomegaly")
    # study 0 and study 8, where reader 2 drew the upper half of reader 1's box
    assert (entry.both, entry.first_only, entry.second_only) == (2, 1, 1)
    assert entry.mean == pytest.approx(0.5)
    assert entry.at_half == 1.0
    assert entry.interval == pytest.approx((0.5, 0.5))
    nobody = reader_agreement(studies, "Nodule")
    assert (nobody.mean, nobody.at_half, nobody.interval) == (None, None, None)


def test_coverage_lies_where_the_box_lies(tmp_path):
    studies = inspect_dataset(published().write(tmp_path)).dataset.studies[:1]
    density = coverage(studies, "Cardiomegaly")
    assert density.shape == (96, 96)
    assert density[48, 40] == 1  # row 0.5, column 0.42: within [0.2, 0.25, 0.6, 0.75]
    assert density[48, 80] == 0
    assert density[10, 40] == 0
    assert density.mean() == pytest.approx(0.4 * 0.5, abs=0.02)


class _Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.targets, self.anchors, self.images, self.text = [], set(), [], []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.targets += [values[name] for name in ("href", "src") if values.get(name)]
        self.anchors.add(values.get("id"))
        if tag == "img":
            self.images.append(values["alt"])

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_stands_alone_and_shows_the_fault_of_a_data_set_that_is_refused(tmp_path, capsys):
    files = published()
    _leak(files)
    _broken(files)
    files.images[files.reports[3]["ImageID"]] = files.images[files.reports[1]["ImageID"]]
    root = files.write(tmp_path / "data")
    assert main(["--data", str(root), "--out", str(tmp_path / "report"), "--workers", "1"]) == 0
    assert "not so: no patient stands in two splits (1)" in capsys.readouterr().out
    page = (tmp_path / "report" / "explore.html").read_text()
    links = _Links()
    links.feed(page)
    outside = [t for t in links.targets if not t.startswith(("#", "data:image/"))]
    assert outside == []
    assert {target[1:] for target in links.targets if target.startswith("#")} <= links.anchors
    text = " ".join(links.text)
    assert (
        "Training refuses this data set. PatientLeakError: patients in more than one split: 1"
        in text
    )
    assert "truncated" in text
    assert f"{files.reports[1]['ImageID']} = {files.reports[3]['ImageID']}" in text
    titles = ("Overview", "Classes", "Boxes", "Splits and leakage", "Images", "Reader agreement")
    assert all(title in text for title in titles)
    assert len(links.images) >= 12
    assert all(links.images)


@pytest.mark.slow
def test_one_data_set_gives_one_page(tmp_path):
    root = published().write(tmp_path / "data")
    explore(root, tmp_path / "a.html", images=3)
    explore(root, tmp_path / "b.html", images=3)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert "3 of 10 image files read" in (tmp_path / "a.html").read_text()


def _normals_only(files):
    for report, row in zip(files.reports, files.rows, strict=True):
        report["findings"] = []
        row.update(label="Normal", label_group="Normal")


def _specks_only(files):
    for report in files.reports:
        for finding in report["findings"]:
            if finding["abnormal"]:
                finding.update(boxes=[[0.5, 0.5, 0.501, 0.501]], extra_boxes=[])


def _nothing_readable(files):
    for name in files.images:
        files.images[name] = film_png(seed=0, height_px=20, width_px=20)


def _nothing_usable(files):
    for row in files.rows:
        row["split"] = "somewhere"


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage", [_normals_only, _specks_only, _nothing_readable, _nothing_usable]
)
def test_a_data_set_that_lacks_what_is_plotted_gives_a_page(tmp_path, damage):
    files = published()
    damage(files)
    explore(files.write(tmp_path / "data"), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "Quality and format checks" in page
    assert not re.search(r"\bnan\b|\binf\b", re.sub(r'src="[^"]*"', "", page))


def test_a_folder_that_is_no_data_set_is_named(tmp_path, capsys):
    assert main(["--data", str(tmp_path), "--out", str(tmp_path / "x.html")]) == 2
    assert "MissingPartError" in capsys.readouterr().err
    assert not (tmp_path / "x.html").exists()


def test_text_in_a_page_is_escaped():
    page = Page(title="<b>", lead="a & b")
    page.section("<i>", "1 < 2")
    page.table(("name", "count"), [("<script>", 1234), ("x", None)])
    page.table(("state",), [(Mark("fault"),)])
    text = page.to_html()
    assert not re.search(r"<script|<b>|<i>", text)
    assert "<td class=number>1,234</td>" in text
    assert "a &amp; b" in text


def test_every_split_has_its_colour():
    assert set(SPLIT_COLOURS) == set(SPLITS)
