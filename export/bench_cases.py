"""What is measured: networks, sizes and batches, and for each the backends that compete."""

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from export import bench_networks as networks
from export.bench_backends import Backend
from export.bench_peak import example, peak_graphs
from training.classifier import INPUT_SIZE_PX as CLASSIFIER_PX
from training.detector import PROPOSALS

EAGER: Final = "torch eager"
COMPILED: Final = "torch compiled"
STOCK: Final = "stock ONNX export"
FLOAT32: Final = "ours, float32"
INT8: Final = "ours, int8"
OPENVINO: Final = "OpenVINO, our float32 graph"
"""Names of backends. Eager is what every ratio is against."""

EAGER_FEWER: Final = f"torch eager, {PROPOSALS} proposals"

SHIPPED_CLASSIFIER: Final = "models/demo/classifier"
SHIPPED_DETECTOR: Final = "models/demo/detector"

DETECTOR_SIZES_PX: Final = (512, 800)

BATCH: Final = 4
"""The other batch size of the classifier. Bulk runs batches of one in every process: what a larger
one gives is shown, not used."""

RUNS: Final = {"classification": 5, "detection": 2, "peak": 8}
"""Timed runs in a turn: a third of a second or more for torch."""

LOADS: Final = 3
"""Fresh processes for onnxruntime and OpenVINO. torch takes seconds for each and gets one."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure.

    Attributes:
        rounds: Turns of every backend.
        loads: Fresh processes of each backend but torch's.
        classifier_px: Height and width of the classifier's input.
        detector_px: Of the detector's inputs.
        batch: Second batch size of the classifier; None to leave it out.
        compiled: Whether torch compiles.
        shipped: Folder of the pair that ships; None to leave it out.
    """

    rounds: int = 6
    loads: int = LOADS
    classifier_px: int = CLASSIFIER_PX
    detector_px: Sequence[int] = DETECTOR_SIZES_PX
    batch: int | None = BATCH
    compiled: bool = True
    shipped: Path | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """Backends that are measured in turn, on one input.

    Attributes:
        key: In the results.
        title: For people.
        task: `classification`, `detection`, or `shipped` for the pair as it ships.
        size: Of the input in px.
        batch: Images in one run.
        backends: In the order of the table.
    """

    key: str
    title: str
    task: str
    size: int
    batch: int
    backends: tuple[Backend, ...]


def cases(
    plan: Plan, folder: Path, *, tell: Callable[[str], None], left_out: list[str]
) -> Iterator[Case]:
    """Write what each case needs, then yield it.

    Args:
        plan: How much.
        folder: For networks and inputs; some 1.5 GB by default.
        tell: Told how far this is.
        left_out: Gets a line for each backend that cannot be measured here.
    """
    if importlib.util.find_spec("openvino") is None:
        left_out.append("OpenVINO: not installed; pip install -e '.[bench]'")
    peaks = _peaks(folder / "peak", plan)
    yield from _classifier(plan, folder, peaks, tell=tell)
    for position, size in enumerate(plan.detector_px):
        # compiling takes minutes, and says the same at another size
        compiled = plan.compiled and position == 0
        tell(f"writing the detector, {size} px")
        place = _place(folder, f"detector_{size}", size)
        operations = networks.write_detector(place, size, proposals=PROPOSALS)
        whole = networks.stock_operations(place, np.load(place / networks.INPUT))
        yield Case(
            f"detector_{size}",
            f"Detector, Faster R-CNN ResNet-50 FPN, {size} px, batch 1",
            "detection",
            size,
            1,
            (*_detectors(plan, place, size, operations, whole, compiled=compiled), *peaks),
        )
    if plan.shipped is not None:
        yield Case(
            "shipped",
            "The pair that ships: models/demo",
            "shipped",
            0,
            1,
            tuple(_shipped(plan.shipped, folder / "shipped", plan)),
        )


def _classifier(
    plan: Plan,
    folder: Path,
    peaks: tuple[Backend, ...],
    *,
    tell: Callable[[str], None],
) -> Iterator[Case]:
    size = plan.classifier_px
    tell(f"writing the classifier, {size} px")
    place = _place(folder, f"classifier_{size}", size)
    operations = networks.write_classifier(place, size)
    every = _forms(plan, place, "classification", size, operations, operations, place)
    kinds = [EAGER, *([COMPILED] if plan.compiled else []), STOCK, FLOAT32, INT8, OPENVINO]
    yield Case(
        f"classifier_{size}",
        f"Classifier, EfficientNet-B4, {size} px, batch 1",
        "classification",
        size,
        1,
        (*(every[name] for name in kinds if name in every), *peaks),
    )
    if plan.batch is not None:
        batch = _place(folder, f"classifier_{size}_batch", size, count=plan.batch)
        every = _forms(plan, place, "classification", size, operations, operations, batch)
        # the stock graph has a batch of one for good; compiling again takes a minute
        kinds = [EAGER, FLOAT32, INT8, OPENVINO]
        yield Case(
            f"classifier_{size}_batch_{plan.batch}",
            f"Classifier, EfficientNet-B4, {size} px, batch {plan.batch} (ms for one image)",
            "classification",
            size,
            plan.batch,
            (*(every[name] for name in kinds if name in every), *peaks),
        )


def _detectors(
    plan: Plan, place: Path, size: int, ours: int, whole: int, *, compiled: bool
) -> Iterator[Backend]:
    every = _forms(plan, place, "detection", size, ours, whole, place)
    kinds = [EAGER, EAGER_FEWER, *([COMPILED] if compiled else []), STOCK, FLOAT32, INT8, OPENVINO]
    yield from (every[name] for name in kinds if name in every)


def _forms(
    plan: Plan, place: Path, task: str, size: int, ours: int, whole: int, given: Path
) -> dict[str, Backend]:
    """Every backend that can be measured, by name.

    Args:
        plan: How much.
        place: Folder of the network's forms.
        task: Of the network.
        size: Of its input.
        ours: Operations of our graphs.
        whole: Operations of the network with torchvision's own number of proposals.
        given: Folder of the input.
    """
    detects = task == "detection"
    default = networks.STOCK_PROPOSALS if detects else None
    fewer = PROPOSALS if detects else None

    def backend(
        name: str,
        engine: str,
        file: str,
        proposals: int | None,
        operations: int,
        *,
        precision: str = "float32",
        loads: int = 1,
    ) -> Backend:
        return Backend(
            name=name,
            engine=engine,
            path=str(place / file),
            task=task,
            size=size,
            input=str(given / networks.INPUT),
            operations=operations,
            precision=precision,
            proposals=proposals,
            runs=RUNS[task],
            loads=loads,
        )

    every = [
        backend(EAGER, "torch", networks.WEIGHTS, default, whole),
        backend(COMPILED, "torch compiled", networks.WEIGHTS, default, whole),
        backend(STOCK, "onnxruntime", networks.STOCK, default, whole, loads=plan.loads),
        backend(FLOAT32, "bundle", networks.EXACT, fewer, ours, loads=plan.loads),
    ]
    if detects:
        every.append(backend(EAGER_FEWER, "torch", networks.WEIGHTS, fewer, ours))
    if (place / networks.SMALL).exists():
        every.append(
            backend(INT8, "bundle", networks.SMALL, fewer, ours, precision="int8", loads=plan.loads)
        )
    if importlib.util.find_spec("openvino") is not None:
        every.append(backend(OPENVINO, "openvino", networks.EXACT, fewer, ours, loads=plan.loads))
    return {one.name: one for one in every}


def _peaks(folder: Path, plan: Plan) -> tuple[Backend, ...]:
    """The large products that tell what the machine can do."""
    import onnx

    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for number, (name, precision, graph, operations) in enumerate(peak_graphs()):
        onnx.save(graph, folder / f"{number}.onnx")
        np.save(folder / f"{number}.npy", example(graph))
        found.append(
            Backend(
                name=name,
                engine="onnxruntime",
                path=str(folder / f"{number}.onnx"),
                task="peak",
                size=0,
                input=str(folder / f"{number}.npy"),
                operations=operations,
                precision=precision,
                runs=RUNS["peak"],
            )
        )
    return tuple(found)


def _shipped(models: Path, folder: Path, plan: Plan) -> Iterator[Backend]:
    """The pair as it stands in the repository."""
    from lambdas.shared.bundle import load_pair

    pair = load_pair(models)
    for name, bundle in (
        (SHIPPED_CLASSIFIER, pair.classifier),
        (SHIPPED_DETECTOR, pair.detector),
    ):
        size = bundle.facts["input"]["height_px"]
        place = _place(folder, bundle.task, size)
        yield Backend(
            name=f"{name}, {size} px, {bundle.facts['precision']}",
            engine="bundle",
            path=str(bundle.folder),
            task=bundle.task,
            size=size,
            input=str(place / networks.INPUT),
            operations=None,
            runs=RUNS[bundle.task],
            loads=plan.loads,
        )


def _place(folder: Path, name: str, size: int, *, count: int = 1) -> Path:
    """A folder with an input of so many pictures."""
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    np.save(place / networks.INPUT, np.concatenate(networks.pictures(size, count)))
    return place
