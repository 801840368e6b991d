"""Inputs made in memory: films, files in every format, bundles around tiny graphs."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from training.dicom_encoding import encapsulate_frame, encode_frame

DX_FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.1"

PATIENT_NAME = "SMITH^JOHN"


def film(*, height: int = 320, width: int = 280, seed: int = 0) -> npt.NDArray[np.uint16]:
    """A 12-bit picture with lungs, spine, noise and a collimated border; no anatomy to speak of."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    rows, columns = rows / height - 0.5, columns / width - 0.5
    image = np.full((height, width), 2600.0, np.float32)
    for side in (-1, 1):
        centre = 0.2 * side + rng.uniform(-0.02, 0.02)
        lung = ((columns - centre) / 0.14) ** 2 + ((rows + 0.02) / rng.uniform(0.28, 0.34)) ** 2
        image -= 1700 / (1 + np.exp(np.minimum((lung - 1) * 12, 50)))
    image += 700 * np.exp(-((columns / 0.05) ** 2))
    image += 60 * np.sin(rows * 90) + rng.normal(0, 25, image.shape)
    image[:12], image[-9:], image[:, :10], image[:, -14:] = 40, 40, 40, 40
    return np.clip(image, 0, 4095).astype(np.uint16)


def png(pixels: npt.NDArray[Any], mode: str | None = None) -> bytes:
    """A PNG file of 8 or 16-bit grey, or of colour."""
    return _saved(Image.fromarray(pixels, mode) if mode else Image.fromarray(pixels), "PNG")


def jpeg(pixels: npt.NDArray[np.uint8], quality: int = 92) -> bytes:
    """A baseline JPEG file."""
    return _saved(Image.fromarray(pixels), "JPEG", quality=quality)


def tiff(pixels: npt.NDArray[Any], **options: Any) -> bytes:
    """A TIFF file."""
    return _saved(Image.fromarray(pixels), "TIFF", **options)


def to_8_bit(pixels: npt.NDArray[np.uint16], bits: int = 12) -> npt.NDArray[np.uint8]:
    """The high eight of `bits`."""
    return (pixels >> (bits - 8)).astype(np.uint8)


def chest_dataset(
    pixels: npt.NDArray[Any] | None = None, *, bits: int = 12, **attributes: Any
) -> Dataset:
    """A DX image for presentation, PA, with fictional patient tags; None removes an attribute."""
    pixels = film() if pixels is None else pixels
    dataset = Dataset()
    dataset.SOPClassUID = DX_FOR_PRESENTATION
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=["test"])
    dataset.PatientName = PATIENT_NAME
    dataset.PatientID = "MRN-0042"
    dataset.Modality = "DX"
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.BodyPartExamined = "CHEST"
    dataset.ViewPosition = "PA"
    dataset.PatientOrientation = ["L", "F"]
    dataset.ImagerPixelSpacing = [0.2, 0.2]
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = pixels.dtype.itemsize * 8
    dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = 1 if pixels.dtype.kind == "i" else 0
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OW" if pixels.dtype.itemsize > 1 else "OB"
    for keyword, value in attributes.items():
        if value is None:
            del dataset[keyword]
        else:
            setattr(dataset, keyword, value)
    return dataset


def dicom(
    pixels: npt.NDArray[Any] | None = None,
    *,
    bits: int = 12,
    syntax: str = ExplicitVRLittleEndian,
    preamble: bool = True,
    **attributes: Any,
) -> bytes:
    """A DICOM file; compressed syntaxes are encoded here, whatever pydicom has plugins for."""
    pixels = film() if pixels is None else pixels
    dataset = chest_dataset(pixels, bits=bits, **attributes)
    uid = UID(syntax)
    if uid.is_compressed and not uid.is_deflated:
        encapsulate_frame(dataset, encode_frame(pixels, uid, bits=bits))
    elif not uid.is_little_endian:
        dataset.PixelData = pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()
        dataset["PixelData"].VR = "OW"
    return saved(dataset, syntax=syntax, preamble=preamble)


def saved(
    dataset: Dataset, *, syntax: str = ExplicitVRLittleEndian, preamble: bool = True
) -> bytes:
    """The bytes of a data set."""
    uid = UID(syntax)
    stream = io.BytesIO()
    if preamble:
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = uid
        meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.file_meta = meta
        dataset.save_as(stream, enforce_file_format=True)
    else:
        dataset.save_as(stream, implicit_vr=uid.is_implicit_VR, little_endian=uid.is_little_endian)
    return stream.getvalue()


def write_bundle(folder: Path, graph: onnx.ModelProto, facts: dict[str, Any]) -> Path:
    """model.onnx and model.json, the digest filled in."""
    folder.mkdir(parents=True, exist_ok=True)
    data = graph.SerializeToString()
    (folder / "model.onnx").write_bytes(data)
    facts = facts | {"sha256": hashlib.sha256(data).hexdigest()}
    (folder / "model.json").write_text(json.dumps(facts))
    return folder


def classifier_facts(**changes: Any) -> dict[str, Any]:
    """model.json of the classifier that `classifier_graph` makes."""
    return {
        "schema_version": "1.0",
        "name": "brightness",
        "version": "1.0.0",
        "task": "classification",
        "architecture": "mean of the pixels",
        "labels": [{"name": "Normal", "code": None}, {"name": "Abnormal", "code": None}],
        "input": {
            "name": "image",
            "height_px": 32,
            "width_px": 32,
            "channels": 1,
            "resize": "letterbox",
            "mean": [0.0],
            "std": [1.0],
        },
        "output": {"scores": "logits", "activation": "softmax"},
        "operating_point": {
            "positive_label": "Abnormal",
            "threshold": 0.5,
            "chosen_by": "the test",
            "sensitivity": None,
            "specificity": None,
        },
        "calibration": None,
        "metrics": [],
        "trained_on": {"kind": "nothing", "description": "a mean, not trained"},
        "code_version": "test",
        "precision": "float32",
        "parity": None,
        "sha256": "0" * 64,
        "intended_use": "tests",
    } | changes


def detector_facts(**changes: Any) -> dict[str, Any]:
    """model.json of the detector that `detector_graph` makes."""
    code = {"system": "SCT", "value": "60046008", "meaning": "Pleural effusion"}
    facts = classifier_facts(
        name="fixed boxes",
        task="detection",
        architecture="constants",
        labels=[{"name": "Cardiomegaly", "code": None}, {"name": "Pleural effusion", "code": code}],
        output={
            "boxes": "boxes",
            "labels": "labels",
            "scores": "scores",
            "box_frame": "input_pixels",
            "first_label_id": 1,
        },
        operating_point={
            "thresholds": {"Cardiomegaly": 0.5, "Pleural effusion": 0.3},
            "chosen_by": "the test",
        },
    )
    return facts | changes


def classifier_graph(*, labels: int = 2, bias: float = -0.5, gain: float = 10.0) -> onnx.ModelProto:
    """Two nodes: logits (0, gain * (mean + bias)), so the answer is known for every image."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["mean4"]),
        helper.make_node("Flatten", ["mean4"], ["mean"]),
        helper.make_node("Gemm", ["mean", "weight", "bias"], ["logits"]),
    ]
    weight = np.zeros((1, labels), np.float32)
    weight[0, -1] = gain
    offset = np.zeros(labels, np.float32)
    offset[-1] = gain * bias
    return _model(
        nodes,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, 32, 32])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", labels])],
        [
            onnx.numpy_helper.from_array(weight, "weight"),
            onnx.numpy_helper.from_array(offset, "bias"),
        ],
    )


def detector_graph(
    boxes: list[list[float]], labels: list[int], scores: list[float]
) -> onnx.ModelProto:
    """Gives the same boxes for every image, in pixels of its 32 x 32 input."""
    constants = {
        "boxes": np.asarray(boxes, np.float32).reshape(-1, 4),
        "labels": np.asarray(labels, np.int64),
        "scores": np.asarray(scores, np.float32),
    }
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["scores_", "nothing"], ["scores"]),
        helper.make_node("Identity", ["boxes_"], ["boxes"]),
        helper.make_node("Identity", ["labels_"], ["labels"]),
    ]
    return _model(
        nodes,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 32, 32])],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["f", 4]),
            helper.make_tensor_value_info("labels", TensorProto.INT64, ["f"]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["f"]),
        ],
        [
            *(onnx.numpy_helper.from_array(value, f"{name}_") for name, value in constants.items()),
            onnx.numpy_helper.from_array(np.zeros((), np.float32), "zero"),
        ],
    )


def tiny_models(folder: Path) -> Path:
    """A pair of bundles of a few kilobytes: bright images are abnormal, with two fixed findings."""
    write_bundle(folder / "classifier", classifier_graph(), classifier_facts())
    graph = detector_graph([[4, 8, 16, 24], [20, 10, 30, 20]], [1, 2], [0.9, 0.4])
    write_bundle(folder / "detector", graph, detector_facts())
    return folder


def _model(nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: list[Any]) -> Any:
    graph = helper.make_graph(nodes, "test", inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _saved(image: Image.Image, image_format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, image_format, **options)
    return stream.getvalue()
