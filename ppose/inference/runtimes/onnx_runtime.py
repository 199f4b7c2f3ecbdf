"""Runs exports in ONNX Runtime."""

from pathlib import Path

import numpy as np
import onnxruntime

from ppose.errors import DeviceError
from ppose.inference.model_folder import ONNX_FILES, ModelFolder
from ppose.inference.pose_spec import name_inputs
from ppose.inference.runtimes.loops import refuse_loops

_PROVIDERS = {"cpu": "CPUExecutionProvider", "gpu": "CUDAExecutionProvider"}
_FATAL_ONLY = 4  # errors are raised anyway


class OnnxRuntime:
    """A session of ONNX Runtime; `Runtime`."""

    name = "onnxruntime"

    def __init__(self, session: onnxruntime.InferenceSession, callers: int) -> None:
        self._session, self.callers = session, callers
        batch = session.get_inputs()[0].shape[0]
        self.batch = batch if isinstance(batch, int) else None

    def __call__(self, image: np.ndarray, *inverse_warp: np.ndarray) -> np.ndarray:
        """See `Runtime`."""
        return self._session.run(None, name_inputs(image, *inverse_warp))[0]

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """The shape that the file states for the output, None for sides of any length."""
        shape = self._session.get_outputs()[0].shape
        return tuple(side if isinstance(side, int) else None for side in shape)


def open_graph(
    folder: ModelFolder, *, device: str, precision: str, threads: int, streams: int = 1
) -> OnnxRuntime:
    """The session of `model.onnx`, see `open_session`.

    Each of ``streams`` has its share of ``threads``, including its caller's thread.
    """
    callers = streams if device == "cpu" else 1
    session = open_session(folder.path / ONNX_FILES[0], device, max(threads // callers, 1))
    return OnnxRuntime(session, callers)


def open_session(file: Path, device: str, threads: int) -> onnxruntime.InferenceSession:
    """A session with all graph optimisations; DeviceError if the requested GPU is missing."""
    provider = _PROVIDERS[device]
    if provider not in onnxruntime.get_available_providers():
        raise DeviceError(
            f"device is {device}, but this onnxruntime has no {provider} (pip install onnxruntime-gpu)"
        )
    refuse_loops(file)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = _FATAL_ONLY
    return onnxruntime.InferenceSession(str(file), options, providers=[provider])
