"""OpenVINO, on the CPU."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino

from ppose.inference.model_folder import ONNX_FILES, ModelFolder
from ppose.inference.pose_spec import name_inputs

_TYPES = {"fp32": "f32", "bf16": "bf16"}
_ANY = -1  # OpenVINO's own word for a size that is not fixed

# One for the process and kept to its end, as OpenVINO advises. A Core's CPU plugin gives the thread that
# first compiles a stack for signal handlers (SigAltStackSetup in its plugin.cpp, as of 2026.4), and unmaps
# it when it goes. Where it goes in another thread, or before a younger one that then restores it, the stack
# stays in place: the next signal, as of Ctrl-C or a loader's worker that ends, crashes or overwrites memory.
_CORE = openvino.Core()


class OpenVinoRuntime:
    """A model in OpenVINO; `Runtime`.

    It is compiled at the first batch: once for one person and for each size of ``batches``, with all shapes
    fixed, and once for batches of any other size. Fixed shapes take a quarter less of Lite-HRNet's time, and
    a third where sizes change. Threads that run it at once have a request each.
    """

    name = "openvino"

    def __init__(self, file: Path, settings: dict[str, Any], batches: Sequence[int] = ()) -> None:
        self._settings = settings
        self._fixed = {1, *batches}
        self._model = _CORE.read_model(str(file))
        batch = self._model.inputs[0].partial_shape[0]
        self.batch = batch.get_length() if batch.is_static else None
        self._compiling = threading.Lock()
        # By size; those of no fixed one are _ANY.
        self._compiled: dict[int, openvino.CompiledModel] = {}
        self._idle: dict[int, list[openvino.InferRequest]] = {size: [] for size in (*self._fixed, _ANY)}

    def __call__(self, image: np.ndarray, *inverse_warp: np.ndarray) -> np.ndarray:
        """See `Runtime`."""
        size, inputs = len(image) if len(image) in self._fixed else _ANY, name_inputs(image, *inverse_warp)
        with self._compiling:
            if size not in self._compiled:
                shapes = {name: [size, *given.shape[1:]] for name, given in inputs.items()}
                self._compiled[size] = self._compile(shapes)
        idle = self._idle[size]
        try:
            request = idle.pop()
        except IndexError:
            request = self._compiled[size].create_infer_request()
        found = request.infer(inputs, share_inputs=True)[0]
        idle.append(request)
        return found

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """The shape that the file states for the output, None for sides of any length."""
        shape = self._model.outputs[0].partial_shape
        if shape.rank.is_dynamic:
            return ()
        return tuple(side.get_length() if side.is_static else None for side in shape)

    def _compile(self, shapes: Mapping[str, Sequence[int]]) -> openvino.CompiledModel:
        model = self._model.clone()
        if model.inputs[0].partial_shape.is_dynamic:
            model.reshape({name: openvino.PartialShape(shape) for name, shape in shapes.items()})
        return _CORE.compile_model(model, "CPU", self._settings)


def open_graph(
    folder: ModelFolder,
    *,
    device: str,
    precision: str,
    threads: int,
    cache_dir: str | Path | None = None,
    batches: Sequence[int] = (),
) -> OpenVinoRuntime:
    """`model.onnx`, compiled for low latency; the processor's own choice of bf16 only where asked for."""
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": _TYPES[precision],
    }
    if cache_dir is not None:
        settings["CACHE_DIR"] = str(cache_dir)
    return OpenVinoRuntime(folder.path / ONNX_FILES[0], settings, batches)


def compile_file(file: Path, settings: dict[str, Any]) -> tuple[openvino.Model, openvino.CompiledModel]:
    """A graph of any kind as it stands in its file, and compiled."""
    model = _CORE.read_model(str(file))
    return model, _CORE.compile_model(model, "CPU", settings)
