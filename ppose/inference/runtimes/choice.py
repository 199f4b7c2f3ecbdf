"""Which runtime executes an exported model, from what is installed, exported and asked for."""

import importlib
import importlib.util
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import numpy as np

from ppose.errors import ConfigError, DataError, DeviceError
from ppose.inference.model_folder import ONNX_FILES, PADDLE_FILES, ModelFolder
from ppose.inference.runtimes.processor import check_bf16, own_cores

RuntimeName = Literal["auto", "paddle", "onnxruntime", "openvino"]
Device = Literal["cpu", "gpu"]
Precision = Literal["fp32", "bf16", "fp16", "int8"]

_logger = logging.getLogger(__name__)


class Runtime(Protocol):
    """An exported graph that is ready to run: image (N, 3, h, w) -> heatmaps (N, K, H, W) float32."""

    name: str

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Heatmaps of an image batch of the folder's input_dtype."""
        ...


@dataclass(frozen=True)
class _Kind:
    """A runtime's module here, the files that it reads, what installs it, its precisions by device."""

    module: str
    files: tuple[str, ...]
    install: str
    precisions: Mapping[str, tuple[str, ...]]
    options: tuple[str, ...] = ()

    def is_in(self, folder: ModelFolder) -> bool:
        return all(name in folder.files for name in self.files)


# Fastest first, as measured on a CPU (README, "Which runtime").
_KINDS = {
    "openvino": _Kind("openvino_runtime", ONNX_FILES, "openvino", {"cpu": ("fp32", "bf16")}, ("cache_dir",)),
    "onnxruntime": _Kind(
        "onnx_runtime",
        ONNX_FILES,
        "onnxruntime (on a GPU onnxruntime-gpu)",
        {"cpu": ("fp32",), "gpu": ("fp32",)},
    ),
    "paddle": _Kind(
        "paddle_runtime",
        PADDLE_FILES,
        "paddlepaddle==3.2.2",
        {"cpu": ("fp32",), "gpu": ("fp32", "fp16")},
        ("enable_mkldnn", "tensorrt_batch", "tensorrt_cache"),
    ),
}
_TENSORRT_PRECISIONS = ("fp32", "fp16", "int8")


def open_runtime(
    folder: ModelFolder,
    runtime: RuntimeName = "auto",
    *,
    device: Device = "cpu",
    precision: Precision = "fp32",
    cpu_threads: int | None = None,
    **options: Any,
) -> Runtime:
    """Load the folder's graph into a runtime; "auto" takes the fastest that is installed and has its file.

    ``cpu_threads`` None takes all cores that the process may use. ``options``, of Paddle alone:
    ``enable_mkldnn`` (oneDNN, default True), ``tensorrt_batch`` (the largest batch; its presence asks for
    TensorRT), ``tensorrt_cache`` (folder for its engines, default `tensorrt/` in the model's folder); of
    OpenVINO: ``cache_dir`` (folder for compiled models). A quantized model computes in int8 whatever the
    precision, "fp32" or "int8". Raises ConfigError for what does not go together,
    DataError where the model's file is not in the folder, DeviceError for a package or device that is
    missing.
    """
    for name, value, known in (
        ("runtime", runtime, get_args(RuntimeName)),
        ("device", device, get_args(Device)),
        ("precision", precision, get_args(Precision)),
    ):
        if value not in known:
            raise ConfigError(f"{name} is {value!r}, expected one of {', '.join(known)}")
    threads = own_cores() if cpu_threads is None else cpu_threads
    if threads < 1:
        raise ConfigError(f"cpu_threads is {threads}, expected 1 or more")
    uses_tensorrt = "tensorrt_batch" in options
    if not uses_tensorrt:
        precision = _check_int8(folder, precision)
    name = _choose(folder, device, precision) if runtime == "auto" else runtime
    for option in options:
        if option not in _KINDS[name].options:
            raise ConfigError(f"runtime {name} takes no {option}")
    _check(name, folder, device, precision, uses_tensorrt=uses_tensorrt)
    if precision == "bf16" and device == "cpu":
        check_bf16()
    module = importlib.import_module(f"ppose.inference.runtimes.{_KINDS[name].module}")
    opened = module.open_graph(folder, device=device, precision=precision, threads=threads, **options)
    why = " (the fastest that is installed and exported)" if runtime == "auto" else ""
    where = f"{threads} threads" if device == "cpu" else "GPU"
    version = importlib.import_module(name).__version__
    shown = "int8" if folder.is_int8 else precision
    _logger.info("runtime: %s %s%s, %s, %s", name, version, why, shown, where)
    return opened


def _check_int8(folder: ModelFolder, precision: str) -> str:
    """The precision of what an int8 model computes in floats, which is asked for as fp32 or int8."""
    if not folder.is_int8:
        return precision
    if precision not in ("fp32", "int8"):
        raise ConfigError(
            f"{folder.path} is an int8 model, precision is {precision}; leave the precision out, or export "
            "the float network"
        )
    return "fp32"


def _choose(folder: ModelFolder, device: str, precision: str) -> str:
    able = [name for name, kind in _KINDS.items() if precision in kind.precisions.get(device, ())]
    if not able:
        raise ConfigError(f"no runtime has precision {precision} on {device}{_hint_of(precision)}")
    exported = [name for name in able if _KINDS[name].is_in(folder)]
    if not exported:
        wanted = " or ".join("+".join(_KINDS[name].files) for name in able)
        raise DataError(f"{folder.path} has no file for {precision} on {device}: export {wanted}")
    for name in exported:
        if _is_installed(name):
            return name
    raise DeviceError(f"no runtime for {folder.path} is installed: pip install {_KINDS[exported[0]].install}")


def _check(name: str, folder: ModelFolder, device: str, precision: str, *, uses_tensorrt: bool) -> None:
    kind = _KINDS[name]
    able = _TENSORRT_PRECISIONS if uses_tensorrt else kind.precisions.get(device)
    if able is None:
        raise ConfigError(f"runtime {name} does not run on device {device} here")
    if precision not in able:
        raise ConfigError(
            f"runtime {name} has no precision {precision} on {device}, it has {', '.join(able)}"
            f"{_hint_of(precision)}"
        )
    if not _is_installed(name):
        raise DeviceError(f"runtime {name} is not installed: pip install {kind.install}")
    if uses_tensorrt and (precision == "int8") != folder.is_int8:
        kinds = ("an int8", "a float") if folder.is_int8 else ("a float", "an int8")
        raise ConfigError(f"{folder.path} is {kinds[0]} model, TensorRT's {precision} takes {kinds[1]} one")
    if not kind.is_in(folder):
        way_out = " --format onnx" if kind.files == ONNX_FILES else ""
        raise DataError(
            f"{folder.path} has no {'+'.join(kind.files)}, which runtime {name} reads: "
            f"tools/export_model.py{way_out} adds it"
        )


def _hint_of(precision: str) -> str:
    return ": int8 is for models that are exported quantized" if precision == "int8" else ""


def _is_installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
