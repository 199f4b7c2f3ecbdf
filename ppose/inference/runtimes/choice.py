"""Chooses the runtime of an exported model by what is installed, exported and requested."""

import importlib
import importlib.util
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, get_args

import numpy as np

from ppose.errors import ConfigError, DataError, DeviceError
from ppose.inference.model_folder import ModelFolder, find_float_export
from ppose.inference.runtimes.faults import naming
from ppose.inference.runtimes.kinds import (
    IN_FLOATS,
    KINDS,
    Device,
    Hint,
    Precision,
    RuntimeName,
    check_able,
    find_able,
    import_runtime,
    is_installed,
    require_installed,
)
from ppose.paths import show_name
from ppose.processor import own_cores

_logger = logging.getLogger(__name__)


class Runtime(Protocol):
    """Computes heatmaps: an exported graph in one of these runtimes, or a network in training.

    A graph that decodes (`PoseSpec.decode_in_graph`) also takes inverse_warp (N, 2, 3) float32, from input to
    image pixels, and returns keypoints (N, K, 3) float32: x and y in image pixels, and the score.

    ``name`` is for the user; ``batch`` is the graph's N, None any. Threads may call it at once; ``callers``
    is the number of threads that keep all its cores busy.
    """

    name: str
    batch: int | None
    callers: int

    def __call__(self, image: np.ndarray, *inverse_warp: np.ndarray) -> np.ndarray:
        """Heatmaps (N, K, H, W) float32 of image (N, 3, h, w), as `PoseSpec` says; image is not changed."""
        ...


class _Opened(Runtime, Protocol):
    """A file's graph; ``output_shape`` is the one that the file states, None for unknown sides."""

    @property
    def output_shape(self) -> tuple[int | None, ...]: ...


class _Guarded:
    """A file's graph; any error of its runtime becomes a DataError that names the file; `Runtime`."""

    def __init__(self, opened: _Opened, file: Path) -> None:
        self._opened, self._file = opened, file
        self.name, self.batch, self.callers = opened.name, opened.batch, opened.callers

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        return self._opened.output_shape

    def __call__(self, image: np.ndarray, *inverse_warp: np.ndarray) -> np.ndarray:
        """See `Runtime`."""
        with naming(self._file, f"does not run in {self.name}"):
            return self._opened(image, *inverse_warp)


# More threads than processors have; with tens of thousands Paddle aborts and ONNX Runtime hangs.
_MOST_THREADS = 1024


def open_runtime(
    folder: ModelFolder,
    runtime: RuntimeName = "auto",
    *,
    device: Device = "cpu",
    precision: Precision = "fp32",
    cpu_threads: int | None = None,
    hint: Hint = "latency",
    streams: int | None = None,
    batches: Sequence[int] = (),
    **options: Any,
) -> Runtime:
    """Load the folder's graph into a runtime; "auto" takes the fastest that is installed and has its file.

    ``cpu_threads`` None takes all cores that the process may use. ``hint`` "latency": all threads run one
    batch; "throughput": several batches run at once, one thread each, if the runtime can. ``streams``
    overrides the number of batches; each has its share of the threads. ``batches`` are frequent batch sizes:
    OpenVINO compiles a model for each, the others need not. ``options`` of Paddle: ``enable_mkldnn`` (oneDNN,
    default True), ``tensorrt_batch`` (the largest batch; giving it turns TensorRT on), ``tensorrt_cache``
    (folder for engines, default `tensorrt/` in the model's folder); of OpenVINO: ``cache_dir`` (folder for
    compiled models, default in ppose's cache folder). A quantized model computes in int8 at any
    ``precision``, which is that of its float layers ("int8" means fp32). Raises ConfigError for arguments
    that do not go together, DataError if the model's file is not in the folder, DeviceError for a missing
    package or device.
    """
    for name, value, known in (
        ("runtime", runtime, get_args(RuntimeName)),
        ("device", device, get_args(Device)),
        ("precision", precision, get_args(Precision)),
        ("hint", hint, get_args(Hint)),
    ):
        if value not in known:
            raise ConfigError(f"{name} is {value!r}, expected one of {', '.join(known)}")
    threads = own_cores() if cpu_threads is None else cpu_threads
    if not isinstance(threads, int) or not 1 <= threads <= _MOST_THREADS:
        raise ConfigError(f"cpu_threads is {threads!r}, expected 1 to {_MOST_THREADS}")
    if streams is None:
        streams = threads if hint == "throughput" else 1
    if not 1 <= streams <= threads:
        raise ConfigError(f"streams is {streams}, expected 1 to {threads}, the number of threads")
    if "tensorrt_batch" not in options:
        precision = _check_int8(folder, precision)
    names = find_able(folder, device, precision) if runtime == "auto" else [runtime]
    if folder.saturates:
        names = sorted(names, key=lambda name: name != IN_FLOATS)
    settings = {"device": device, "precision": precision, "threads": threads, "streams": streams, **options}
    opened = _open_first(names, folder, settings, batches)
    folder.check_batch(opened.batch)
    _check_output(folder, opened)
    why = " (the fastest that is installed and exported)" if runtime == "auto" else ""
    where = f"{threads} threads" if device == "cpu" else "GPU"
    if opened.callers > 1:
        where = f"{opened.callers} batches at once"
    version = importlib.import_module(opened.name).__version__
    shown = name_precision(folder, precision)
    _logger.info("runtime: %s %s%s, %s, %s", opened.name, version, why, shown, where)
    if folder.saturates and device == "cpu" and opened.name != IN_FLOATS:
        _logger.warning(
            "%s has int8 weights of full range; this processor has no VNNI and saturates their products: the "
            "keypoints may be wrong; export with PTQ.weights=portable, or take --runtime %s",
            folder.name, IN_FLOATS,
        )  # fmt: skip
    return opened


def avoid_saturation(folder: ModelFolder, runtime: RuntimeName) -> ModelFolder:
    """The folder to open: with "auto", a model that would saturate is replaced by its float export."""
    instead = find_float_export(folder) if runtime == "auto" and folder.saturates else None
    if instead is None:
        return folder
    _logger.warning(
        "%s has int8 weights of full range; this processor has no VNNI and saturates their products: using "
        "the float export %s instead; PTQ.weights=portable exports int8 for every processor",
        folder.path, instead.path,
    )  # fmt: skip
    return instead


def name_precision(folder: ModelFolder, precision: str) -> str:
    """The precision that a model computes in, for the user."""
    if not folder.is_int8:
        return precision
    return "int8 and bf16" if precision == "bf16" else "int8"


def _check_output(folder: ModelFolder, opened: _Opened) -> None:
    """Raise DataError unless the graph's output fits the folder's keypoints and codec.

    If the file does not state the shape, the graph is run once on zeros.
    """
    spec, shape = folder.spec, opened.output_shape
    keypoints, (width, height) = spec.keypoint_set.num_keypoints, spec.codec.heatmap_size
    expected = (keypoints, 3) if spec.decode_in_graph else (keypoints, height, width)
    if len(shape) != len(expected) + 1 or None in shape[1:]:
        shape = opened(*spec.nobody()).shape
    if shape[1:] != expected:
        meaning = "x, y, score" if spec.decode_in_graph else "height, width"
        raise DataError(
            f"{show_name(folder.path)}: the network gives {spec.output_name} {_show_shape(shape[1:])}, "
            f"infer_cfg.yml says {_show_shape(expected)} (keypoints, {meaning}); they are of two models: "
            "export again"
        )


def _show_shape(shape: Sequence[int | None]) -> str:
    return f"({', '.join(map(str, shape))})"


def _open_first(
    names: Sequence[str], folder: ModelFolder, settings: Mapping[str, Any], batches: Sequence[int]
) -> _Opened:
    """Open the first of these runtimes that is installed and has the requested device."""
    problems = {}
    for name in names:
        try:
            require_installed(name)
            check_able(name, folder, **settings)
            more = {"batches": batches} if KINDS[name].prepares_batches else {}
            opened = _open_guarded(name, folder, {**settings, **more})
        except DeviceError as error:
            problems[name] = str(error)
            continue
        for other, problem in problems.items():
            if is_installed(other):
                _logger.warning("not %s: %s", other, problem)
        return opened
    raise DeviceError("; ".join(problems.values()))


def _open_guarded(name: str, folder: ModelFolder, settings: Mapping[str, Any]) -> _Guarded:
    """Open the folder's graph in a runtime; DataError if it does not load."""
    file, open_graph = folder.path / KINDS[name].files_of(folder)[0], import_runtime(name).open_graph
    with naming(file, f"does not load in {name}"):
        return _Guarded(open_graph(folder, **settings), file)


def _check_int8(folder: ModelFolder, precision: Precision) -> Precision:
    """The precision of a model's float layers; for an int8 model "int8" is a valid request."""
    if not folder.is_int8:
        return precision
    if precision == "fp16":
        raise ConfigError(
            f"{folder.path} is an int8 model, precision is fp16; leave the precision out, or export "
            "the float network"
        )
    return "fp32" if precision == "int8" else precision
