"""Paddle's saved graph as an ONNX model: converted, made small, checked."""

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

# `python -m` would look for modules in the current folder first, as `-c` does until its first line is done.
_PADDLE2ONNX = (
    "import sys; sys.path[:] = filter(None, sys.path); import runpy; "
    "runpy.run_module('paddle2onnx.command', run_name='__main__', alter_sys=True)"
)

_INSTALL = "pip install 'ppose[onnx]'"


def require_onnx() -> None:
    """Raise ExportError unless all that converts and checks is installed."""
    try:
        import onnx  # noqa: F401
        import onnx_graphsurgeon  # noqa: F401  (polygraphy would install it, without asking)
        import onnxruntime  # noqa: F401
        import onnxslim  # noqa: F401
        import paddle2onnx  # noqa: F401
    except ImportError as error:
        raise ExportError(f"--format onnx needs {error.name}, which is not installed: {_INSTALL}") from None


def convert_to_onnx(
    folder: Path, quantizations: Mapping[str, ConvQuantization] | None = None, output: str = "heatmaps"
) -> int:
    """Write `model.onnx` beside a saved graph, opset 17; returns the number of operators.

    Its inputs keep their names, its output gets its own; a batch of any size is the dimension `batch`.
    Convolutions with the weights that ``quantizations`` names become int8. Raises ExportError with the
    converter's own words, OSError where the disk is full.
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
    """Write a graph of Paddle's as ONNX, as the converter gives it; its weights lie in the same folder.

    Raises ExportError with the converter's own words, OSError where the disk is full.
    """
    # A process of its own: the converter aborts at an operator that it cannot convert.
    command: list[str | Path] = [
        *(sys.executable, "-c", _PADDLE2ONNX, "--model_dir", graph.parent, "--save_file", file),
        *("--model_filename", graph.name, "--params_filename", weights.name),
        *("--opset_version", str(OPSET), "--enable_auto_update_opset", "False"),
        *("--optimize_tool", "polygraphy"),  # folds shapes, which onnxslim leaves
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
    """Call the output and the batch by their names, which Paddle's format does not hold."""
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
