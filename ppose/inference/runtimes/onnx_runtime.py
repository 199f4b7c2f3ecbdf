"""ONNX Runtime."""

import numpy as np
import onnxruntime

from ppose.errors import DeviceError
from ppose.inference.model_folder import ONNX_FILES, ModelFolder

_PROVIDERS = {"cpu": "CPUExecutionProvider", "gpu": "CUDAExecutionProvider"}
_ERRORS_ONLY = 3


class OnnxRuntime:
    """A session of ONNX Runtime; `Runtime`."""

    name = "onnxruntime"

    def __init__(self, session: onnxruntime.InferenceSession, callers: int = 1) -> None:
        self._session, self.callers = session, callers
        batch = session.get_inputs()[0].shape[0]
        self.batch = batch if isinstance(batch, int) else None

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """See `Runtime`."""
        return self._session.run(["heatmaps"], {"image": image})[0]


def open_graph(
    folder: ModelFolder, *, device: str, precision: str, threads: int, hint: str = "latency"
) -> OnnxRuntime:
    """The session of `model.onnx`, all graph optimisations on; DeviceError without the GPU asked for.

    For throughput each run takes the thread of its caller alone, and as many callers keep ``threads`` busy.
    """
    provider = _PROVIDERS[device]
    if provider not in onnxruntime.get_available_providers():
        raise DeviceError(
            f"device is {device}, but this onnxruntime has no {provider} (pip install onnxruntime-gpu)"
        )
    options = onnxruntime.SessionOptions()
    callers = threads if hint == "throughput" and device == "cpu" else 1
    options.intra_op_num_threads = threads if callers == 1 else 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = _ERRORS_ONLY
    file = str(folder.path / ONNX_FILES[0])
    return OnnxRuntime(onnxruntime.InferenceSession(file, options, providers=[provider]), callers)
