"""OpenVINO, on the CPU."""

from pathlib import Path

import numpy as np
import openvino

from ppose.inference.model_folder import ONNX_FILES, ModelFolder

_TYPES = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoRuntime:
    """A compiled model of OpenVINO; `Runtime`."""

    name = "openvino"

    def __init__(self, model: openvino.CompiledModel) -> None:
        self._request = model.create_infer_request()

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """See `Runtime`."""
        return self._request.infer({0: image}, share_inputs=True)[0]


def open_graph(
    folder: ModelFolder, *, device: str, precision: str, threads: int, cache_dir: str | Path | None = None
) -> OpenVinoRuntime:
    """`model.onnx`, compiled for low latency; the processor's own choice of bf16 only where asked for."""
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": _TYPES[precision],
    }
    if cache_dir is not None:
        settings["CACHE_DIR"] = str(cache_dir)
    core = openvino.Core()
    return OpenVinoRuntime(core.compile_model(str(folder.path / ONNX_FILES[0]), "CPU", settings))
