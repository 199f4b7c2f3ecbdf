"""OpenVINO, on the CPU."""

import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import openvino

from ppose.inference.model_folder import ONNX_FILES, ModelFolder
from ppose.inference.runtimes.compiled_cache import CompiledCache
from ppose.paths import cache_folder

_TYPES = {"fp32": "f32", "bf16": "bf16"}

# One for the process and kept to its end, as OpenVINO advises. A Core's CPU plugin gives the thread that
# first compiles a stack for signal handlers (SigAltStackSetup in its plugin.cpp, as of 2026.4), and unmaps
# it when it goes. Where it goes in another thread, or before a younger one that then restores it, the stack
# stays in place: the next signal, as of Ctrl-C or a loader's worker that ends, crashes or overwrites memory.
_CORE = openvino.Core()


class OpenVinoRuntime:
    """A model in OpenVINO; `Runtime`.

    It is compiled at the first batch of a size, or taken from the cache. With one caller: once for one
    person, with all shapes fixed, which is a quarter quicker for Lite-HRNet, and once for batches of any
    other size. With several, each of whose requests runs in a thread of its own: for each size that comes,
    shapes fixed. Threads that run it at once have a request each.
    """

    name = "openvino"

    def __init__(
        self,
        file: Path,
        settings: dict[str, Any],
        *,
        callers: int = 1,
        cache: CompiledCache | None = None,
        batch: int | None = None,
    ) -> None:
        self.callers = callers
        self._file, self._settings, self._cache = file, settings, cache
        self._model: openvino.Model | None = None
        if cache is None or cache.is_empty():
            self.batch = self._read_batch()
        else:  # made of this very file, whose batch was looked at then
            self.batch = batch
        self._compiling = threading.Lock()
        self._compiled: dict[int, openvino.CompiledModel] = {}  # by number of people; 0: any
        self._idle: dict[int, list[openvino.InferRequest]] = {}

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """See `Runtime`."""
        people = len(image) if len(image) == 1 or self.callers > 1 else 0
        with self._compiling:
            if people not in self._compiled:
                self._compiled[people] = self._open(people, image.shape)
                self._idle[people] = []
        idle = self._idle[people]
        try:
            request = idle.pop()
        except IndexError:
            request = self._compiled[people].create_infer_request()
        heatmaps = request.infer({0: image}, share_inputs=True)[0]
        idle.append(request)
        return heatmaps

    def _open(self, people: int, shape: tuple[int, ...]) -> openvino.CompiledModel:
        """The model compiled for so many people (0: any number) of this shape, as it was kept, or anew."""
        name = f"{people or 'any'}"
        if self._cache is not None and (kept := self._cache.read(name)) is not None:
            return _CORE.import_model(bytes(kept), "CPU", self._settings)
        model = self._read_model().clone()
        if model.inputs[0].partial_shape.is_dynamic:
            model.reshape(openvino.PartialShape([people or -1, *shape[1:]]))
        compiled = _CORE.compile_model(model, "CPU", self._settings)
        if self._cache is not None:
            self._cache.write(name, compiled.export_model().getvalue())
        return compiled

    def _read_model(self) -> openvino.Model:
        if self._model is None:
            self._model = _CORE.read_model(str(self._file))
        return self._model

    def _read_batch(self) -> int | None:
        batch = self._read_model().inputs[0].partial_shape[0]
        return batch.get_length() if batch.is_static else None


def open_graph(
    folder: ModelFolder,
    *,
    device: str,
    precision: str,
    threads: int,
    hint: str = "latency",
    cache_dir: str | Path | None = None,
) -> OpenVinoRuntime:
    """`model.onnx`; the processor's own choice of bf16 only where asked for.

    For throughput there are as many streams of one thread as ``threads``. Compiled models are kept in
    ``cache_dir``, by default `openvino/` in ppose's cache folder.
    """
    file = ONNX_FILES[0]
    settings: dict[str, Any] = {
        "PERFORMANCE_HINT": hint.upper(),
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": _TYPES[precision],
    }
    callers = threads if hint == "throughput" else 1
    if callers > 1:
        settings["NUM_STREAMS"] = callers
    cache = None
    with suppress(ImportError):  # of what finds the user's cache folder
        home = cache_folder() / "openvino" if cache_dir is None else Path(cache_dir)
        identity = (openvino.__version__, folder.files[file], folder.spec.batch, settings)
        cache = CompiledCache.of(home, *identity)
    return OpenVinoRuntime(
        folder.path / file, settings, callers=callers, cache=cache, batch=folder.spec.batch
    )
