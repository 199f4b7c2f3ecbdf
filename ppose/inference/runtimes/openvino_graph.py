"""Runs ONNX, OpenVINO and Paddle 2 graphs with any inputs and outputs in OpenVINO on the CPU."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import openvino

from ppose.errors import DeviceError
from ppose.inference.runtimes.faults import naming
from ppose.inference.runtimes.openvino_runtime import compile_file, make_settings

_METADATA, _KEYS = "framework", ("names", "imgsz")  # where OpenVINO stores ONNX's metadata
_LOADS, _RUNS = "does not load in OpenVINO", "does not run in OpenVINO"


class OpenVinoGraph:
    """A graph with any inputs and outputs; threads may run it at once."""

    name = "openvino"

    def __init__(self, file: Path, settings: dict[str, Any], weights: Path | None) -> None:
        self._file = file
        with naming(file, _LOADS):
            model, self._compiled = compile_file(file, settings, weights)
            self.metadata = _read_metadata(model)
            self.inputs = {each.any_name: _to_shape(each.partial_shape) for each in self._compiled.inputs}
            self._dtypes = {each.any_name: each.element_type.to_dtype() for each in self._compiled.inputs}
        self._idle: list[openvino.InferRequest] = []

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """All outputs, in the graph's order; the caller owns them."""
        with naming(self._file, _RUNS):
            given = {name: value.astype(self._dtypes[name], copy=False) for name, value in inputs.items()}
            try:
                request = self._idle.pop()  # one per concurrent thread
            except IndexError:
                request = self._compiled.create_infer_request()
            found = list(request.infer(given, share_inputs=True).values())
            self._idle.append(request)
            return found


def open_foreign_graph(
    file: Path, weights: Path | None = None, *, device: str, threads: int, hint: str = "latency"
) -> OpenVinoGraph:
    """Open a graph from any source; DataError if it cannot be loaded, DeviceError for a GPU."""
    if device != "cpu":
        raise DeviceError(
            f"device is {device}, but ppose runs OpenVINO on the CPU only: use an ONNX file on GPUs"
        )
    settings = make_settings("fp32", threads, threads if hint == "throughput" else 1)
    return OpenVinoGraph(file, settings, weights)


def _read_metadata(model: openvino.Model) -> dict[str, str]:
    """The ONNX metadata that detectors need."""
    found = [key for key in _KEYS if model.has_rt_info([_METADATA, key])]
    return {key: model.get_rt_info([_METADATA, key]).astype(str) for key in found}


def _to_shape(shape: openvino.PartialShape) -> tuple[int | None, ...]:
    """A shape with None for sides of any length; () if their number is unknown."""
    if shape.rank.is_dynamic:
        return ()
    return tuple(side.get_length() if side.is_static else None for side in shape)
