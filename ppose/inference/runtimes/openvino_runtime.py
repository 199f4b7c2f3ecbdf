"""Runs exports in OpenVINO on the CPU."""

import json
import threading
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
import openvino

from ppose.inference.model_folder import ONNX_FILES, ModelFolder
from ppose.inference.pose_spec import name_inputs
from ppose.inference.runtimes.compiled_cache import CompiledCache
from ppose.inference.runtimes.loops import refuse_loops
from ppose.paths import cache_folder
from ppose.processor import own_cores

_TYPES = {"fp32": "f32", "bf16": "bf16"}
_ANY = -1  # OpenVINO's value for a dynamic size
_SHAPES = "shapes"  # kept beside the compiled models

# One for the whole process, as OpenVINO advises. A Core's CPU plugin gives the thread that first compiles a
# stack for signal handlers (SigAltStackSetup in its plugin.cpp, as of 2026.4), and unmaps it when the Core is
# freed. If that happens in another thread, or before a younger Core restores the stack, the thread keeps the
# unmapped stack: the next signal, from Ctrl-C or an ending loader's worker, crashes or overwrites memory.
_CORE = openvino.Core()

# OpenVINO makes its tables of numpy's types at first use, where two threads at once deadlock (2026.4): one
# holds the table and waits for the GIL, the other the reverse.
openvino.Type.f32.to_dtype()
openvino.Tensor(np.zeros(1, np.float32)).data  # noqa: B018


class OpenVinoRuntime:
    """A model in OpenVINO; `Runtime`.

    The first batch of a size compiles the model, or loads it from the cache. With one caller, there is a
    model with fixed shapes for one person and for each of ``batches``, and another for all other sizes; with
    several callers, whose requests each run in one thread, there is one for each size. Fixed shapes reduce
    Lite-HRNet's time by a quarter, and by a third if sizes change. Each concurrent thread has its own request
    and, with ``is_apart``, its own compiled model, at most one per caller: OpenVINO (2026.4) corrupts int8
    weights that several streams of a model share, in 4 to 18 of 25 compilations.
    """

    name = "openvino"

    def __init__(
        self,
        file: Path,
        settings: dict[str, Any],
        *,
        callers: int,
        is_apart: bool,
        batches: Sequence[int],
        cache: CompiledCache | None,
    ) -> None:
        self.callers, self._is_apart = callers, is_apart
        self._places = threading.BoundedSemaphore(callers) if is_apart else nullcontext()
        self._file, self._settings, self._cache = file, settings, cache
        self._fixed = {1, *batches}
        self._model: openvino.Model | None = None
        self.batch, self.output_shape = self._read_shapes()
        self._compiling = threading.Lock()
        # By batch size, or _ANY.
        self._compiled: dict[int, openvino.CompiledModel] = {}
        self._idle: dict[int, list[openvino.InferRequest]] = {}

    def __call__(self, image: np.ndarray, *inverse_warp: np.ndarray) -> np.ndarray:
        """See `Runtime`."""
        is_fixed, inputs = self.callers > 1 or len(image) in self._fixed, name_inputs(image, *inverse_warp)
        size = len(image) if is_fixed else _ANY
        idle = self._idle.setdefault(size, [])
        with self._places:
            try:
                request = idle.pop()
            except IndexError:
                request = self._make_request(size, inputs)
            found = request.infer(inputs, share_inputs=True)[0]
            idle.append(request)
        return found

    def _make_request(self, size: int, inputs: Mapping[str, np.ndarray]) -> openvino.InferRequest:
        with self._compiling:
            if size not in self._compiled or self._is_apart:
                shapes = {name: [size, *given.shape[1:]] for name, given in inputs.items()}
                self._compiled[size] = self._open(size, shapes)
            return self._compiled[size].create_infer_request()

    def _open(self, size: int, shapes: Mapping[str, Sequence[int]]) -> openvino.CompiledModel:
        """The model for batches of this size, from the cache or compiled."""
        name = "any" if size == _ANY else str(size)
        if self._cache is not None and (kept := self._cache.read(name)) is not None:
            return _CORE.import_model(bytes(kept), "CPU", self._settings)
        model = self._read_model().clone()
        if model.inputs[0].partial_shape.is_dynamic:
            model.reshape({name: openvino.PartialShape(shape) for name, shape in shapes.items()})
        compiled = _CORE.compile_model(model, "CPU", self._settings)
        if self._cache is not None:
            self._cache.write(name, compiled.export_model().getvalue())
        return compiled

    def _read_model(self) -> openvino.Model:
        if self._model is None:
            refuse_loops(self._file)
            self._model = _CORE.read_model(str(self._file))
        return self._model

    def _read_shapes(self) -> tuple[int | None, tuple[int | None, ...]]:
        """The graph's batch size and its output's shape; None for dynamic sides."""
        if self._cache is not None and (kept := self._cache.read(_SHAPES)) is not None:
            batch, output = json.loads(bytes(kept))
            return batch, tuple(output)
        model = self._read_model()
        batch, output = model.inputs[0].partial_shape[0], model.outputs[0].partial_shape
        sides = () if output.rank.is_dynamic else output
        shapes = _length(batch), tuple(map(_length, sides))
        if self._cache is not None:
            self._cache.write(_SHAPES, json.dumps(shapes).encode())
        return shapes


def _length(side: openvino.Dimension) -> int | None:
    return side.get_length() if side.is_static else None


def open_graph(
    folder: ModelFolder,
    *,
    device: str,
    precision: str,
    threads: int,
    streams: int = 1,
    cache_dir: str | Path | None = None,
    batches: Sequence[int] = (),
) -> OpenVinoRuntime:
    """Open `model.onnx`; bf16 is used only if ``precision`` asks for it.

    ``streams`` share ``threads``. Compiled models are kept in ``cache_dir``, by default
    `openvino/` in ppose's cache folder.
    """
    file = ONNX_FILES[0]
    is_apart = folder.is_int8 and streams > 1  # see `OpenVinoRuntime`
    settings = make_settings(precision, threads, streams, is_apart=is_apart)
    cache = None
    with suppress(ImportError):  # the package that finds the cache folder is missing
        home = cache_folder() / "openvino" if cache_dir is None else Path(cache_dir)
        cache = CompiledCache.of(home, openvino.__version__, folder.files[file], settings)
    return OpenVinoRuntime(
        folder.path / file, settings, callers=streams, is_apart=is_apart, batches=batches, cache=cache
    )


def make_settings(precision: str, threads: int, streams: int, *, is_apart: bool = False) -> dict[str, Any]:
    """OpenVINO's settings; ``threads`` is the total of all ``streams``.

    With ``is_apart``, they are for one model per stream, each with its share of the threads. Threads of such
    models are not pinned, nor those of a model with fewer threads than cores, which may share the machine:
    each model would pin its own to the first cores.
    """
    if is_apart:
        threads, streams = threads // streams, 1
    several = {"NUM_STREAMS": streams} if streams > 1 else {}
    shared = {"ENABLE_CPU_PINNING": False} if is_apart or threads < own_cores() else {}
    return {
        "PERFORMANCE_HINT": "THROUGHPUT" if several else "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": _TYPES[precision],
        **several,
        **shared,
    }


def compile_file(
    file: Path, settings: dict[str, Any], weights: Path | None
) -> tuple[openvino.Model, openvino.CompiledModel]:
    """Read a graph, or with ``weights`` a Paddle graph; return the model, and its compiled form.

    A Paddle graph gets a fixed batch of one image, which reduces PicoDet's time by a fifth.
    """
    refuse_loops(file)
    if weights is None:
        model = _CORE.read_model(str(file))
    else:
        model = _CORE.read_model(str(file), str(weights))
        model.reshape({each: openvino.PartialShape([1, *each.partial_shape[1:]]) for each in model.inputs})
    return model, _CORE.compile_model(model, "CPU", settings)
