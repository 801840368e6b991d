"""How each backend is opened and run, in a process of its own.

Each opener imports its libraries, then loads; what it returns runs one batch. Our own graphs go the
way of production, `lambdas.shared.onnx_model`, in a process that never imports torch.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lambdas.shared.bundle import GRAPH_FILE

Array = npt.NDArray[Any]
Run = Callable[[Array], Any]


@dataclass(frozen=True, slots=True)
class Backend:
    """One way of running one network.

    Attributes:
        name: In the table.
        engine: Key of `ENGINES`.
        path: File or bundle folder that it loads.
        task: `classification`, `detection`, or `peak` for one large product.
        size: Height and width of the input in px.
        input: File with the input: (N, 1, H, W) float32 grey, or what a peak graph takes.
        operations: Of one image; None where they were not counted.
        precision: `float32` or `int8`: which peak its operations are compared with.
        proposals: Regions that a detector looks at; None for other tasks.
        runs: Timed runs in a turn.
        loads: Times that it is loaded from nothing.
    """

    name: str
    engine: str
    path: str
    task: str
    size: int
    input: str
    operations: int | None
    precision: str = "float32"
    proposals: int | None = None
    runs: int = 1
    loads: int = 1


def _torch_eager(backend: Backend) -> Run:
    import torch

    from export.bench_networks import load

    model = load(backend.task, backend.size, Path(backend.path), proposals=backend.proposals)
    return _torch_run(model, torch.no_grad)


def _torch_compiled(backend: Backend) -> Run:
    """With inductor and frozen weights; compiled before it counts as loaded.

    Of a detector the networks are compiled, and what stands between them (anchors, suppression,
    pooling of regions) stays as it is: it depends on the data.
    """
    import torch
    import torch._inductor.config as inductor

    from export.bench_networks import load

    inductor.freezing = True
    model: Any = load(backend.task, backend.size, Path(backend.path), proposals=backend.proposals)
    if backend.task == "detection":
        model.backbone = torch.compile(model.backbone)
        model.rpn.head = torch.compile(model.rpn.head)
        model.roi_heads.box_head = torch.compile(model.roi_heads.box_head)
        model.roi_heads.box_predictor = torch.compile(model.roi_heads.box_predictor)
    else:
        model = torch.compile(model)
    # freezing takes weights for constants only without gradients
    run = _torch_run(model, torch.no_grad)
    run(prepared(backend))
    return run


def _torch_run(model: Any, without_gradients: Callable[[], Any]) -> Run:
    import torch

    def run(image: Array) -> Any:
        with without_gradients():
            tensor = torch.from_numpy(image)
            return model([tensor]) if tensor.ndim == 3 else model(tensor)

    return run


def _onnxruntime(backend: Backend) -> Run:
    """A file of somebody else's, opened as the documentation says."""
    import onnxruntime

    session = onnxruntime.InferenceSession(backend.path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(image: Array) -> Any:
        return session.run(None, {name: image})

    return run


def _bundle(backend: Backend) -> Run:
    from lambdas.shared.bundle import load_bundle
    from lambdas.shared.onnx_model import OnnxModel

    return OnnxModel(load_bundle(Path(backend.path))).run


def _openvino(backend: Backend) -> Run:
    """For the batch that it gets, and in float32 also where bfloat16 would be faster."""
    import openvino

    core = openvino.Core()
    shape = np.load(backend.input, mmap_mode="r").shape
    model = core.read_model(Path(backend.path) / GRAPH_FILE)
    model.reshape(list(shape))
    request = core.compile_model(
        model, "CPU", {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    ).create_infer_request()

    def run(image: Array) -> Any:
        return request.infer([image])

    return run


ENGINES: Final[dict[str, tuple[tuple[str, ...], Callable[[Backend], Run]]]] = {
    "torch": (("torch", "torchvision", "timm", "export.bench_networks"), _torch_eager),
    "torch compiled": (
        ("torch", "torchvision", "timm", "torch._inductor.config", "export.bench_networks"),
        _torch_compiled,
    ),
    "onnxruntime": (("onnxruntime",), _onnxruntime),
    "bundle": (("onnxruntime", "lambdas.shared.onnx_model", "lambdas.shared.bundle"), _bundle),
    "openvino": (("openvino",), _openvino),
}
"""By name: the modules that it imports, which is not counted as loading, and how it opens."""


def import_engine(backend: Backend) -> Callable[[Backend], Run]:
    """Import what a backend needs; returns how to open it."""
    modules, opener = ENGINES[backend.engine]
    for name in modules:
        importlib.import_module(name)
    return opener


def prepared(backend: Backend) -> Array:
    """The input as this backend takes it; not part of what is timed."""
    given: Array = np.load(backend.input)
    if backend.task == "peak" or backend.engine in ("bundle", "openvino"):
        return given
    return as_image(given) if backend.task == "detection" else as_normalised(given)


def as_image(grey: Array) -> Array:
    """(3, H, W) in [0, 1], as torchvision's detectors take an image, of (1, 1, H, W)."""
    return np.ascontiguousarray(np.broadcast_to(grey[0], (3, *grey.shape[2:])))


def as_normalised(grey: Array) -> Array:
    """(N, 3, H, W) normalised as timm's classifiers take images, of (N, 1, H, W)."""
    from training.classifier import IMAGENET_MEAN, IMAGENET_STD

    mean = np.array(IMAGENET_MEAN, np.float32).reshape(1, 3, 1, 1)
    std = np.array(IMAGENET_STD, np.float32).reshape(1, 3, 1, 1)
    return ((grey - mean) / std).astype(np.float32)
