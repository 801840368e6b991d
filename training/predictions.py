"""What models answer on films, kept on disk so that no film is read twice for the same model.

The stage functions of production give every answer. What is kept is raw: a classifier's scores
before temperature and threshold, a detector's boxes down to `DETECTION_FLOOR`; so that an operating
point can be chosen, changed and judged without running a graph again.

    predictions/<key of the model>.jsonl    one line a film, appended as it is done
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lambdas.classify.classify import classify, decide
from lambdas.detect.detect import detect
from lambdas.shared.errors import InputError, ModelMismatchError
from lambdas.shared.onnx_model import Arrays, OnnxModel
from lambdas.shared.radiograph import ImageFacts, Radiograph
from lambdas.shared.read import read_radiograph
from training.evaluated_models import EvaluatedModel
from training.parallel import default_workers, run_jobs
from training.prepared import load_pixels
from training.sources import read_file
from training.studies import Study

PREDICTIONS_FOLDER: Final = "predictions"

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Film:
    """An image to be answered.

    Attributes:
        image_id: Unique among the films of a call.
        location: File path, or `s3://bucket/key`.
        study: Where the image is a prepared one; None for a file as stored.
    """

    image_id: str
    location: Path | str
    study: Study | None = None


@dataclass(frozen=True)
class Predictions:
    """Answers by model key and image_id.

    Attributes:
        scores: (labels,) of each classifier, as its graph gave them.
        detections: (D, 6) of each detector: label index, score, x_min, y_min, x_max, y_max as
            fractions of the image; best score first.
        rejected: Reason by image_id of the films that cannot be read.
    """

    scores: Mapping[str, Mapping[str, FloatArray]]
    detections: Mapping[str, Mapping[str, FloatArray]]
    rejected: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Job:
    film: Film
    models: tuple[EvaluatedModel, ...]
    threads: int


@dataclass(frozen=True, slots=True)
class _Answer:
    image_id: str
    stamp: str
    by_model: dict[str, Any]
    rejected: str | None


class RecordingModel(OnnxModel):
    """A model that remembers what its graph gave last."""

    def __init__(self, model: OnnxModel) -> None:
        self.bundle = model.bundle
        self._model = model
        self.last: Arrays = {}

    def run(self, image: npt.NDArray[np.float32]) -> Arrays:
        """As the model does."""
        self.last = self._model.run(image)
        return self.last


def predict(
    films: Sequence[Film],
    models: Sequence[EvaluatedModel],
    *,
    folder: Path,
    workers: int,
    title: str,
) -> Predictions:
    """Every model's answer on every film, from the folder where it is known already.

    Args:
        films: Each is read once for all models.
        models: Classifiers and detectors.
        folder: Of the kept answers; created.
        workers: Processes.
        title: Of the progress bar.

    Raises:
        ContractError: A model contradicts itself.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {model.key: folder / f"{model.key}.jsonl" for model in models}
    kept = {key: _read_kept(path) for key, path in files.items()}
    stamps = {film.image_id: _stamp(film) for film in films}
    threads = max(1, default_workers() // max(1, workers))
    jobs = []
    for film in films:
        known = (film.image_id, stamps[film.image_id])
        open_ = tuple(model for model in models if known not in kept[model.key])
        if open_:
            jobs.append(_Job(film, open_, threads))
    for answer in run_jobs(_answer, jobs, workers=min(workers, len(jobs) or 1), title=title):
        for key, value in answer.by_model.items():
            line = {"image_id": answer.image_id, "stamp": answer.stamp, "answer": value}
            kept[key][answer.image_id, answer.stamp] = line | {"rejected": answer.rejected}
            with files[key].open("a") as file:
                file.write(json.dumps(line | {"rejected": answer.rejected}) + "\n")
    return _collect(films, models, stamps, kept)


def film_of(study: Study, *, prepared: bool) -> Film:
    """A study's image as a film."""
    return Film(study.image_id, study.image, study if prepared else None)


def read_film(film: Film) -> Radiograph:
    """A film as the stage functions are given it.

    A prepared image has passed the reader already, when it was prepared.

    Raises:
        InputError: The film cannot be read.
    """
    if film.study is None:
        return read_radiograph(read_file(film.location))
    pixels = load_pixels(film.study)
    data = Path(film.location).read_bytes()
    facts = ImageFacts(
        format="png",
        width_px=pixels.shape[1],
        height_px=pixels.shape[0],
        bits_stored=16,
        photometric_interpretation="MONOCHROME2",
        view=film.study.view,
        pixel_spacing_mm=None,
        patient_orientation=None,
        transfer_syntax=None,
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )
    return Radiograph(pixels=pixels, facts=facts)


def answer_film(radiograph: Radiograph, model: RecordingModel) -> FloatArray:
    """A model's raw answer, by way of the stage function of its task.

    Raises:
        ModelMismatchError: The stage function decides otherwise on the graph's scores than on the
            film: then an evaluation on kept scores would not be of what ships.
    """
    if model.bundle.task == "classification":
        triage = classify(radiograph, model=model)
        scores = model.last[model.bundle.facts["output"]["scores"]][0].astype(np.float64)
        if decide(scores, bundle=model.bundle) != triage:
            raise ModelMismatchError("classify and decide do not agree on the same scores")
        return np.asarray(scores, np.float64)
    names = {name: index for index, name in enumerate(model.bundle.label_names)}
    rows = [
        (names[f.label], f.score, f.box.x_min, f.box.y_min, f.box.x_max, f.box.y_max)
        for f in detect(radiograph, model=model)
    ]
    return np.asarray(rows, np.float64).reshape(-1, 6)


def _answer(job: _Job) -> _Answer:
    stamp = _stamp(job.film)
    keys = [model.key for model in job.models]
    try:
        radiograph = read_film(job.film)
    except InputError as error:
        return _Answer(job.film.image_id, stamp, dict.fromkeys(keys), error.message)
    answers = {
        model.key: _rounded(answer_film(radiograph, _opened(model, job.threads)))
        for model in job.models
    }
    return _Answer(job.film.image_id, stamp, answers, None)


_open_models: dict[tuple[str, int], RecordingModel] = {}
"""Of this process; a worker opens each model once."""


def _opened(model: EvaluatedModel, threads: int) -> RecordingModel:
    """The opened model; the last one of this process where it is the same."""
    key = (model.key, threads)
    if key not in _open_models:
        _open_models[key] = RecordingModel(model.open(threads=threads))
    return _open_models[key]


def _rounded(answer: FloatArray) -> list[Any]:
    """As JSON: float32 has no more than 9 digits, and boxes need 6."""
    if answer.ndim == 1:
        return [float(f"{value:.9g}") for value in answer]
    return [
        [int(row[0]), round(float(row[1]), 4), *(round(float(edge), 6) for edge in row[2:])]
        for row in answer
    ]


def _stamp(film: Film) -> str:
    """Changes when the film does; of an object in S3 the address has to do."""
    prefix = "prepared" if film.study else "stored"
    if isinstance(film.location, str) and film.location.startswith("s3://"):
        return f"{prefix} {film.location}"
    status = Path(film.location).stat()
    return f"{prefix} {status.st_size} {status.st_mtime_ns}"


def _read_kept(path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Lines by film and stamp; the last one may have been cut short by a kill."""
    kept: dict[tuple[str, str], dict[str, Any]] = {}
    if not path.is_file():
        return kept
    whole = path.read_text()
    if whole and not whole.endswith("\n"):
        with path.open("a") as file:
            file.write("\n")  # or the next line would be lost with the broken one
    for text in whole.splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        kept[line["image_id"], line["stamp"]] = line
    return kept


def _collect(
    films: Sequence[Film],
    models: Sequence[EvaluatedModel],
    stamps: Mapping[str, str],
    kept: Mapping[str, Mapping[tuple[str, str], dict[str, Any]]],
) -> Predictions:
    rejected: dict[str, str] = {}
    answers: dict[str, dict[str, FloatArray]] = {}
    for model in models:
        own = answers[model.key] = {}
        for film in films:
            line = kept[model.key][film.image_id, stamps[film.image_id]]
            if line["rejected"] is not None:
                rejected[film.image_id] = line["rejected"]
            elif model.task == "classification":
                own[film.image_id] = np.asarray(line["answer"], np.float64)
            else:
                own[film.image_id] = np.asarray(line["answer"], np.float64).reshape(-1, 6)
    of = {
        task: {m.key: answers[m.key] for m in models if m.task == task}
        for task in ("classification", "detection")
    }
    return Predictions(of["classification"], of["detection"], rejected)
