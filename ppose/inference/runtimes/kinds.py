"""What each runtime reads and supports, and whether it is installed."""

import importlib
import importlib.util
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from types import ModuleType
from typing import Any, Literal

from ppose.errors import ConfigError, DataError, DeviceError
from ppose.inference.model_folder import ONNX_FILES, PADDLE_FILES, ModelFolder
from ppose.processor import check_bf16

RuntimeName = Literal["auto", "paddle", "onnxruntime", "openvino"]
Device = Literal["cpu", "gpu"]
Precision = Literal["fp32", "bf16", "fp16", "int8"]
Hint = Literal["latency", "throughput"]

# The runtime that computes int8 models in floats, with the results of eight bits.
IN_FLOATS = "paddle"
_TENSORRT_PRECISIONS = ("fp32", "fp16", "int8")


@dataclass(frozen=True)
class Kind:
    """A runtime's module here, the files that it reads, the package to install, its precisions by device.

    ``packages`` are those that may contain it; ``has_streams``: it runs several batches at once on the CPU.
    """

    module: str
    files: tuple[str, ...]
    install: str
    precisions: Mapping[str, tuple[str, ...]]
    packages: tuple[str, ...]
    options: tuple[str, ...] = ()
    prepares_batches: bool = False
    has_streams: bool = True

    def files_of(self, folder: ModelFolder) -> tuple[str, ...]:
        """The files that it reads of this folder."""
        return folder.paddle_names if self.files == PADDLE_FILES else self.files

    def is_in(self, folder: ModelFolder) -> bool:
        """Whether the folder has these files."""
        return all(name in folder.files for name in self.files_of(folder))


# Fastest first, as measured on a CPU (docs/benchmarks.md).
KINDS = {
    "openvino": Kind(
        "openvino_runtime",
        ONNX_FILES,
        "openvino",
        {"cpu": ("fp32", "bf16")},
        ("openvino",),
        ("cache_dir",),
        prepares_batches=True,
    ),
    "onnxruntime": Kind(
        "onnx_runtime",
        ONNX_FILES,
        "onnxruntime",
        {"cpu": ("fp32",), "gpu": ("fp32",)},
        ("onnxruntime", "onnxruntime-gpu"),
    ),
    "paddle": Kind(
        "paddle_runtime",
        PADDLE_FILES,
        "paddlepaddle==3.2.2",
        {"cpu": ("fp32",), "gpu": ("fp32", "fp16")},
        ("paddlepaddle", "paddlepaddle-gpu"),
        ("enable_mkldnn", "tensorrt_batch", "tensorrt_cache"),
        has_streams=False,
    ),
}
_FOREIGN = {"openvino": "openvino_graph", "onnxruntime": "onnx_graph", "paddle": "paddle_runtime"}


def import_runtime(name: str, *, for_any_graph: bool = False) -> ModuleType:
    """Import a runtime's module here; DeviceError if its package is not installed, or does not load.

    ``for_any_graph``: the module with `open_foreign_graph`, for graphs that are not keypoint networks.
    """
    require_installed(name)
    module = _FOREIGN[name] if for_any_graph else KINDS[name].module
    try:
        return importlib.import_module(f"ppose.inference.runtimes.{module}")
    except ImportError as error:
        reason = str(error).partition("\n")[0]
        raise DeviceError(
            f"runtime {name} is installed but does not load ({reason}): "
            f"pip install --force-reinstall {KINDS[name].install}"
        ) from None


def list_installed(runtime: RuntimeName) -> dict[str, tuple[str, ...]]:
    """The files that each installed runtime reads, fastest first; those of ``runtime`` only, if not auto.

    Raises DeviceError if none is installed.
    """
    asked = {name: kind for name, kind in KINDS.items() if runtime in ("auto", name)}
    found = {name: kind.files for name, kind in asked.items() if is_installed(name)}
    if not found:
        name = "onnxruntime" if runtime == "auto" else runtime
        raise DeviceError(f"runtime {name} is not installed: pip install {KINDS[name].install}")
    return found


def find_able(folder: ModelFolder, device: str, precision: str) -> list[str]:
    """The runtimes, fastest first, that have this precision on this device and a file in the folder."""
    able = [name for name, kind in KINDS.items() if precision in kind.precisions.get(device, ())]
    if not able:
        known = dict.fromkeys(p for kind in KINDS.values() for p in kind.precisions.get(device, ()))
        raise ConfigError(
            f"no runtime has precision {precision} on {device}, it may be {', '.join(known)}"
            f"{_hint_of(precision)}"
        )
    exported = [name for name in able if KINDS[name].is_in(folder)]
    if not exported:
        raise DataError(_lacks(folder, able[0], f"{precision} on {device}"))
    return exported


def check_able(
    name: str, folder: ModelFolder, *, device: str, precision: str, threads: int, streams: int, **options: Any
) -> None:
    """Raise ConfigError or DataError unless a runtime supports this folder with these settings."""
    kind, uses_tensorrt = KINDS[name], "tensorrt_batch" in options
    for option in options:
        if option not in kind.options:
            raise ConfigError(f"runtime {name} takes no {option}")
    able = _TENSORRT_PRECISIONS if uses_tensorrt else kind.precisions.get(device)
    if able is None:
        others = [other for other, its in KINDS.items() if device in its.precisions]
        raise ConfigError(
            f"runtime {name} does not run on device {device} in ppose, but {' and '.join(others)} do"
        )
    if precision not in able:
        raise ConfigError(
            f"runtime {name} has no precision {precision} on {device}, it has {', '.join(able)}"
            f"{_hint_of(precision)}"
        )
    if uses_tensorrt and (precision == "int8") != folder.is_int8:
        kinds = ("an int8", "a float") if folder.is_int8 else ("a float", "an int8")
        raise ConfigError(f"{folder.path} is {kinds[0]} model, TensorRT's {precision} takes {kinds[1]} one")
    if folder.spec.decode_in_graph and (uses_tensorrt or precision in ("bf16", "fp16")):
        raise ConfigError(
            f"{folder.path} decodes in its graph, where 16 bits are too few for keypoint coordinates"
            f"{' and TensorRT has not been tried' if uses_tensorrt else ''}; export without --decode_in_graph"
        )
    if not kind.is_in(folder):
        raise DataError(_lacks(folder, name, f"runtime {name}"))
    if uses_tensorrt and folder.paddle_files[0].suffix != ".json":
        raise DataError(_lacks(folder, name, "TensorRT in Paddle"))
    if precision == "bf16" and device == "cpu":
        check_bf16()


def _lacks(folder: ModelFolder, name: str, reader: str) -> str:
    """The message that a folder lacks the file that a runtime reads, with the way out."""
    files = KINDS[name].files
    command = f"tools/export_model.py{' --format onnx' if files == ONNX_FILES else ''}"
    return f"{folder.path} has no {'+'.join(files)}, which {reader} reads: {command} adds it"


def _hint_of(precision: str) -> str:
    return ": int8 is for models that are exported quantized" if precision == "int8" else ""


def require_installed(name: str) -> None:
    """Raise DeviceError unless a runtime's package is installed."""
    if not is_installed(name):
        raise DeviceError(f"runtime {name} is not installed: pip install {KINDS[name].install}")


def find_version(name: str) -> str:
    """The version of an installed runtime; it is imported only if no package states it."""
    for package in KINDS[name].packages:
        with suppress(metadata.PackageNotFoundError):
            return metadata.version(package)
    return str(importlib.import_module(name).__version__)


def is_installed(name: str) -> bool:
    """Whether a runtime's package is installed; it is not imported."""
    try:
        return importlib.util.find_spec(name) is not None
    except ImportError:
        return False
