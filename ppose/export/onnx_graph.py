"""Converts a saved Paddle graph to an ONNX model, simplifies it, and checks it."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ppose.errors import ExportError
from ppose.export.graph import check_room
from ppose.interrupts import cleaned
from ppose.quantization.int8_onnx import insert_quantizations
from ppose.quantization.scheme import ConvQuantization

if TYPE_CHECKING:
    import onnx

OPSET = 17

# `python -m` would import modules from the current folder first, as `-c` does until its first line has run.
_PADDLE2ONNX = (
    "import sys; sys.path[:] = filter(None, sys.path); import runpy; "
    "runpy.run_module('paddle2onnx.command', run_name='__main__', alter_sys=True)"
)

_INSTALL = "pip install 'ppose[onnx]'"


def require_onnx() -> None:
    """Raise ExportError unless all packages for conversion and checks are installed."""
    try:
        import onnx  # noqa: F401
        import onnx_graphsurgeon  # noqa: F401  (polygraphy would install it without asking)
        import onnxruntime  # noqa: F401
        import onnxslim  # noqa: F401
        import paddle2onnx  # noqa: F401
    except ImportError as error:
        raise ExportError(f"--format onnx needs {error.name}, which is not installed: {_INSTALL}") from None


def convert_to_onnx(
    folder: Path, quantizations: Mapping[str, ConvQuantization] | None = None, output: str = "heatmaps"
) -> int:
    """Write `model.onnx` beside a saved graph, opset 17; returns the number of operators.

    Inputs keep their names, the output is renamed to ``output``; a dynamic batch is the dimension `batch`.
    Convolutions whose weights ``quantizations`` names become int8. Raises ExportError with the converter's
    message, OSError if the disk is full.
    """
    import onnx
    import onnxslim

    file = folder / "model.onnx"
    convert_graph(folder / "model.json", folder / "model.pdiparams", file)
    model = onnx.load(file)
    if quantizations:  # before equal weights become one
        insert_quantizations(model, quantizations)
    model = onnxslim.slim(model)
    _name_ends(model, output)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"the converted model is not valid ONNX: {error}") from error
    del model.graph.value_info[:]  # shapes that runtimes infer themselves
    onnx.save(model, file)
    return len(model.graph.node)


def convert_graph(graph: Path, weights: Path, file: Path) -> None:
    """Convert a Paddle graph, whose weights are in the same folder, to an ONNX file, without further changes.

    Raises ExportError with the converter's message, OSError if the disk is full.
    """
    # In its own process, since the converter aborts at an operator that it cannot convert.
    command: list[str | Path] = [
        *(sys.executable, "-c", _PADDLE2ONNX, "--model_dir", graph.parent, "--save_file", file),
        *("--model_filename", graph.name, "--params_filename", weights.name),
        *("--opset_version", str(OPSET), "--enable_auto_update_opset", "False"),
        *("--optimize_tool", "polygraphy"),  # folds shapes; onnxslim does not
    ]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process, cleaned(process.kill):
        said = "".join(process.communicate())
    check_room(file.parent)
    if process.returncode or not file.is_file():
        lines = [line for line in said.splitlines() if "ERROR" in line]
        reason = lines[-1] if lines else f"exit code {process.returncode}"
        raise ExportError(f"paddle2onnx cannot convert the network: {reason}")


def _name_ends(model: "onnx.ModelProto", output: str) -> None:
    """Name the output and the batch dimension, since Paddle's format does not store these names."""
    graph = model.graph
    old = graph.output[0].name
    for node in graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name == old:
                    names[i] = output
    graph.output[0].name = output
    for value in (*graph.input, *graph.output):
        dimension = value.type.tensor_type.shape.dim[0]
        if dimension.HasField("dim_param"):
            dimension.dim_param = "batch"
