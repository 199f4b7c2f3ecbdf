"""Runs any ONNX graph in ONNX Runtime; its inputs and outputs need not be a keypoint network's."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from ppose.errors import DataError
from ppose.inference.runtimes.faults import naming
from ppose.inference.runtimes.onnx_runtime import open_session
from ppose.paths import show_name, show_text

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}
_LOADS, _RUNS = "does not load in ONNX Runtime", "does not run in ONNX Runtime"


class OnnxGraph:
    """A graph of ONNX with any inputs and outputs; threads may run it at once."""

    name = "onnxruntime"

    def __init__(self, session: onnxruntime.InferenceSession, file: Path) -> None:
        self._session, self._file = session, file
        inputs = {each.name: each for each in session.get_inputs()}
        if unknown := [each.type for each in inputs.values() if each.type not in _DTYPES]:
            raise DataError(f"{show_name(file)} takes {show_text(unknown[0])}, expected numbers")
        self.inputs = {name: _to_shape(each.shape) for name, each in inputs.items()}
        self.metadata = dict(session.get_modelmeta().custom_metadata_map)
        self._dtypes = {name: _DTYPES[each.type] for name, each in inputs.items()}

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """All outputs, in the graph's order."""
        with naming(self._file, _RUNS):
            given = {name: value.astype(self._dtypes[name], copy=False) for name, value in inputs.items()}
            return [np.asarray(output) for output in self._session.run(None, given)]


def open_foreign_graph(file: Path, *, device: str, threads: int, hint: str = "latency") -> OnnxGraph:
    """Open a graph of unknown origin; DataError if it cannot be loaded."""
    with naming(file, _LOADS):
        return OnnxGraph(open_session(file, device, threads if hint == "latency" else 1), file)


def _to_shape(shape: Sequence[object] | None) -> tuple[int | None, ...]:
    """A shape with None for sides of any length; () if the file states none."""
    return tuple(side if isinstance(side, int) and side >= 0 else None for side in shape or ())
