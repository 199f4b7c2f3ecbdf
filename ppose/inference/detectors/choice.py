"""Chooses the reader of a detector from its folder, inputs and outputs."""

import logging
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ppose.errors import ConfigError, DataError
from ppose.inference.detectors import paddle_rows, picodet, rtmdet, yolo
from ppose.inference.detectors.classes import find_classes, guess_labels
from ppose.inference.detectors.detector import Detector, Graph, find_image_input, make_inputs
from ppose.inference.detectors.files import DetectorFiles, find_detector_files
from ppose.inference.detectors.fit import Fitted, fit_rtmdet, fit_yolox
from ppose.inference.detectors.head import Head, Size
from ppose.inference.detectors.settings import Settings, read_paddle_settings
from ppose.inference.ranges import LONGEST_SIDE
from ppose.inference.runtimes import Hint, import_runtime
from ppose.paths import show_name, show_text
from ppose.processor import own_cores
from ppose.workspace.cells import to_plain
from ppose.workspace.yaml_file import parse_cells

_logger = logging.getLogger(__name__)

_READERS = (paddle_rows, yolo, picodet, rtmdet)
_JOINED = "PPYOLOE"  # PaddleDetection's name for networks that may return boxes and scores in one output
_DEFAULT_SIZE = (640, 640)  # for graphs that take any size and state none; YOLO and RTMDet train with it
_MOST_PIXELS = 1 << 26  # of a batch
_NAMED = {"rtmdet": fit_rtmdet, "yolox": fit_yolox}  # by the name of a file or folder
_LONGEST_TEXT = 1 << 20


def open_detector(
    path: str | Path,
    *,
    threshold: float = 0.5,
    classes: Sequence[int | str] | None = None,
    device: str = "cpu",
    cpu_threads: int | None = None,
    hint: Hint = "latency",
    runtime: str | None = None,
) -> Detector:
    """Open the person detector of a folder or file, and log its kind.

    Reads folders of PaddleDetection, PaddleX or mmdeploy, and ONNX or OpenVINO (`.xml`) files. If the folder
    does not state the kind, inputs and outputs determine it: PicoDet, YOLOX, YOLOv5, YOLOv8 or RTMDet. It
    returns detections of score ``threshold`` or more, of ``classes`` (names or numbers), by default of the
    class `person`, or of the only class. ``hint`` is that of `open_runtime`. ``runtime`` None runs ONNX in
    OpenVINO if installed, else in ONNX Runtime, and `.pdmodel` in OpenVINO if possible, else in Paddle.
    Raises DataError for a file that cannot be loaded or is none of these, ConfigError for missing classes and
    unknown settings.
    """
    if not 0 <= threshold <= 1:
        raise ConfigError(f"the threshold of detections is {threshold}, expected 0 to 1")
    files = find_detector_files(path)
    settings = read_paddle_settings(files.export) if files.export else None
    asked = {"device": device, "threads": cpu_threads or own_cores(), "hint": hint}
    *others, last = (runtime,) if runtime else _choose_runtimes(files.graph, device)
    for name in others:
        try:
            return _open_in(name, files, settings, threshold, classes, asked)
        except DataError as error:
            _logger.info("not in %s: %s", name, error)
    return _open_in(last, files, settings, threshold, classes, asked)


def _open_in(
    runtime: str,
    files: DetectorFiles,
    settings: Settings | None,
    threshold: float,
    classes: Sequence[int | str] | None,
    asked: Mapping[str, Any],
) -> Detector:
    graph, where = _open_graph(files, runtime, **asked), show_name(files.graph)
    static = _find_size(graph, where)
    settings = settings or files.read_pipeline(static)
    arch = files.export.arch if files.export else ""
    head, size = _try_noise(graph, settings, static or _find_any_size(graph), where, arch)
    labels = (settings.labels if settings else ()) or _read_names(graph)
    if not labels and files.export is None:
        labels = guess_labels(head.num_classes)
    source = f"{settings.source}: label_list" if files.export and settings else where
    people = find_classes(labels, classes, source, head.num_classes)
    _logger.info(
        "detector: %s: %s, %dx%d, %s, people are %s", where, head.name, *size, runtime,
        ", ".join(show_text(labels[number]) if labels else str(number) for number in people),
    )  # fmt: skip
    prepare = settings.prepare if settings else _choose_fit(head, size, files.graph)
    return Detector(graph, head, prepare, classes=people, threshold=threshold, where=where)


def _open_graph(files: DetectorFiles, runtime: str, **settings: Any) -> Graph:
    weights = (files.weights,) if files.weights else ()
    module = import_runtime(runtime, for_any_graph=True)
    opened: Graph = module.open_foreign_graph(files.graph, *weights, **settings)
    return opened


def _try_noise(
    graph: Graph, settings: Settings | None, size: Size, where: str, arch: str
) -> tuple[Head, Size]:
    """The graph's head, and its input's width and height, found by one run on noise."""
    image_input = find_image_input(graph, where)
    noise = _make_noise(graph.inputs[image_input] or (None,) * 4, settings, size, where)
    height, width = noise[0].image.shape[1:]
    outputs = graph.run(make_inputs(graph, image_input, noise))
    joined = paddle_rows.find_joined_head(outputs) if arch == _JOINED else None
    return joined or _find_head(outputs, (width, height), where), (width, height)


def _choose_runtimes(graph: Path, device: str) -> Sequence[str]:
    """What may run a graph, best first; OpenVINO has not all operators of Paddle 2."""
    if graph.suffix == ".json" or (graph.suffix == ".pdmodel" and device != "cpu"):
        return ("paddle",)
    if graph.suffix == ".pdmodel":
        return [name for name in ("openvino", "paddle") if find_spec(name)] or ("paddle",)
    if graph.suffix == ".xml":
        return ("openvino",)
    return ("openvino",) if device == "cpu" and find_spec("openvino") else ("onnxruntime",)


def _find_size(graph: Graph, where: str) -> Size | None:
    """Width and height of the input if they are fixed; DataError if no picture has that shape."""
    batch, *_, height, width = graph.inputs[find_image_input(graph, where)] or (None,) * 4
    if height is None or width is None:
        return None
    pixels = (batch or 1) * height * width
    if not (1 <= height <= LONGEST_SIDE and 1 <= width <= LONGEST_SIDE and 1 <= pixels <= _MOST_PIXELS):
        raise DataError(
            f"{where} takes images ({batch}, 3, {height}, {width}), expected sides of 1 to {LONGEST_SIDE}"
        )
    return width, height


def _find_any_size(graph: Graph) -> Size:
    """The size for a graph that takes any: the one that it states (Ultralytics' `imgsz`), or the default."""
    size = _read_metadata(graph, "imgsz")
    sides = [side for side in size if side in range(32, LONGEST_SIDE)] if isinstance(size, list) else []
    return (sides[1], sides[0]) if len(sides) == 2 else _DEFAULT_SIZE


def _make_noise(
    shape: tuple[int | None, ...], settings: Settings | None, size: Size, where: str
) -> list[Fitted]:
    """A batch of noise for an input (B, 3, h, w), made by the settings, or without them of ``size``."""
    rng = np.random.default_rng(0)
    if settings is None:
        image = rng.uniform(0, 255, (3, *size[::-1])).astype(np.float32)
        return [Fitted(image, np.ones(2), np.zeros(2), size[::-1])] * (shape[0] or 1)
    fitted = settings.prepare(rng.integers(0, 255, (480, 640, 3), np.uint8))
    made = fitted.image.shape
    if any(side not in (None, own) for side, own in zip(shape[1:], made, strict=True)):
        raise DataError(
            f"{settings.source} makes inputs {made}, {where} takes {shape[1:]}: they belong to two detectors"
        )
    return [fitted] * (shape[0] or 1)


def _find_head(outputs: Sequence[np.ndarray], size: Size, where: str) -> Head:
    for reader in _READERS:
        head = reader.find_head(outputs, size)
        if head is not None:
            return head
    shapes = ", ".join(str(output.shape) for output in outputs)
    looked_for = "; ".join(reader.LOOKED_FOR for reader in _READERS)
    raise DataError(
        f"{where} is no known detector: for a {size[0]}x{size[1]} image it gives "
        f"{show_text(shapes, 200)}; looked for {looked_for}"
    )


def _choose_fit(head: Head, size: Size, file: Path) -> Callable[[np.ndarray], Fitted]:
    """How the head's family prepares images; the file's name decides if families share a head."""
    if head.fit is not None:
        return head.fit(size)
    name = f"{file.resolve().parent.name}/{file.name}".casefold()
    for family, fit in _NAMED.items():
        if family in name:
            return fit(size)
    raise ConfigError(
        f"{show_name(file)} is {head.name}, but its family is unknown: put mmdeploy's pipeline.json "
        f"beside it, or name it {' or '.join(f'{family}.onnx' for family in _NAMED)}"
    )


def _read_names(graph: Graph) -> list[str]:
    """The class names that Ultralytics writes into its files; empty without them."""
    names = _read_metadata(graph, "names")
    if not isinstance(names, dict) or list(names) != [str(number) for number in range(len(names))]:
        return []
    return [str(name) for name in names.values()]


def _read_metadata(graph: Graph, key: str) -> object:
    """A value of the file's metadata in YAML's (or Python's) notation; None if missing or not readable."""
    text = graph.metadata.get(key, "")
    if not text or len(text) > _LONGEST_TEXT:
        return None
    try:
        return to_plain(parse_cells(text, key))
    except ConfigError:
        return None
