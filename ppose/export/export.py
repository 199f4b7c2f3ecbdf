"""Exports a trained network to a folder that other programs run."""

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import paddle
from paddle import nn

from ppose.engine.load import load_trained
from ppose.engine.network_runtime import ONE_NETWORK_AT_A_TIME, network_predictor
from ppose.engine.task import Task
from ppose.errors import ConfigError, ExportError
from ppose.export.check_decoding import compare_decoding, cut_out_all, make_noise
from ppose.export.compact_json import compact_graph
from ppose.export.decoding import Decoding
from ppose.export.deploy_form import deploy_form
from ppose.export.graph import Graph, count_operators, save_graph, trace
from ppose.export.normalization import fold_normalization
from ppose.export.onnx_graph import convert_to_onnx, require_onnx
from ppose.export.paddle_2 import check_paddle_2, paddle_2_graphs
from ppose.export.publish import publish, staging
from ppose.export.upsample import use_matrix_upsampling
from ppose.files import file_digest
from ppose.inference.model_folder import PADDLE_FILES, ModelFolder
from ppose.inference.predictor import Predictor
from ppose.inference.runtimes import RuntimeName, open_runtime
from ppose.inference.runtimes.kinds import is_installed
from ppose.quantization.int8_graph import (
    digest_quantization,
    use_int8_convolutions,
    weight_range,
    without_rounding,
)
from ppose.quantization.int8_levels import check_portable
from ppose.quantization.int8_onnx import take_quantizations
from ppose.quantization.qat import convert_qat, is_quantization_aware
from ppose.quantization.scheme import ConvQuantization
from ppose.transforms import NormalizeImage
from ppose.version import VERSION
from ppose.weights.checkpoint import find_weights

# Bounds on ||exported - trained|| / ||trained|| of the heatmaps. In int8, float errors move some values to
# the next level. In deep layers this grows until the rounding errors of both networks are independent: their
# difference is then sqrt(2) times one such error.
TOLERANCE, INT8_TOLERANCE, _INDEPENDENT = 1e-4, 2e-2, 2**0.5

_SATURATES = (
    ": its int8 weights have the full range, and this processor without VNNI saturates their products; "
    "export with PTQ.weights=portable (QAT.weights for a network from QAT), or on another processor"
)


@dataclass(frozen=True)
class Report:
    """The result of an export.

    ``operators`` counts operators: of the trained network, of its graph for deployment, and of the ONNX graph
    if there is one. ``size`` is that of the new files, in bytes. ``difference`` is the heatmaps' relative
    error (see `TOLERANCE`), ``rounding`` the change of an int8 model's heatmaps without rounding of inputs,
    ``decoding`` the result of `compare_decoding` for graphs that decode.
    """

    model: ModelFolder
    operators: dict[str, int]
    size: int
    difference: float
    rounding: float | None
    decoding: float | None
    seconds: float

    def describe(self) -> str:
        """Return two lines for the user."""
        operators = ", ".join(f"{kind} {count}" for kind, count in self.operators.items())
        difference = f"heatmaps off by {self.difference:.1e} of the trained network's"
        if self.rounding is not None:
            difference = (
                f"heatmaps of noise off by {100 * self.difference:.1f} % of the quantized network's "
                f"(rounding its inputs changes these by {100 * self.rounding:.1f} %)"
            )
        if self.decoding is not None:
            difference += f"; keypoints off by {self.decoding:.1e} pixels from those decoded from heatmaps"
        return (
            f"{self.model.path}: {', '.join(self.model.files)}, infer_cfg.yml\n"
            f"{self.size / 1e6:.1f} MB in {self.seconds:.0f} s; operators: {operators}; {difference}"
        )


@dataclass(frozen=True, kw_only=True)
class Options:
    """Export options: ``batch`` None allows any number of images; the others as in `ModelFolder`."""

    format: Literal["paddle", "onnx", "pdmodel"] = "paddle"
    batch: int | None = None
    fuse_normalize: bool = False
    flip_test: bool = False
    decode_in_graph: bool = False


def export_model(
    task: Task, name: str, folder: Path, options: Options, trained: nn.Layer | None = None
) -> Report:
    """Export a task's trained network to a folder; ``name`` is that of its config.

    ``trained`` is the network in eval mode, by default the task's with its weights. If its convolutions are
    quantized (`quantization.scheme`), the export is int8. Before the folder changes, the exported graph runs
    on two images, or on one static batch, in Paddle Inference or ONNX Runtime, and int8 ONNX graphs in
    OpenVINO, too, if it is installed, as it changes them most. Raises ExportError if the heatmaps differ by
    more than 1e-4 of the trained network's (int8: more than 2 %, and than 1.41 times the effect of rounding
    the inputs), if keypoints of a graph that decodes differ, if the file's weights are not portable but
    should be, or if the network cannot be converted. Also raises ConfigError, CheckpointError and OSError.
    """
    start = time.perf_counter()
    if options.format == "onnx":
        require_onnx()
    if options.batch is not None and options.batch < 1:
        raise ConfigError(f"--batch is {options.batch}, expected 1 or more")
    model, normalize = _describe(task, name, folder, options)
    decoding = Decoding(model.spec.codec) if options.decode_in_graph else None
    with staging(folder) as temporary, ONE_NETWORK_AT_A_TIME:
        trained = _load(task) if trained is None else trained
        model = replace(
            model, quantization_sha256=digest_quantization(trained), int8_weights=weight_range(trained)
        )
        if options.format == "pdmodel":
            check_paddle_2(decodes=options.decode_in_graph, is_int8=model.is_int8)
        traced = trace(Graph(trained), model.spec.input_size, model.spec.batch)
        operators = {"trained": count_operators(traced)}
        graph = _make_graph(task, trained, normalize, options)
        networks = [trained, without_rounding(trained)] if model.is_int8 else [trained]
        expected = [network_predictor(task, network, flip=options.flip_test) for network in networks]
        more, differences = _write_checked(graph, decoding, model, expected, options, temporary)
        if model.int8_weights == "portable":
            check_portable(temporary)
        size = sum(file.stat().st_size for file in temporary.iterdir())
        model = publish(temporary, model)
    return Report(model, operators | more, size, *differences, time.perf_counter() - start)


def _write_checked(
    graph: Graph,
    decoding: Decoding | None,
    model: ModelFolder,
    expected: Sequence[Predictor],
    options: Options,
    folder: Path,
) -> tuple[dict[str, int], tuple[float, float | None, float | None]]:
    """Write the files of a graph, with decoding if given.

    Returns the numbers of operators, and difference, rounding and decoding as in `Report`. The heatmaps of
    the graph without decoding are compared first, then the keypoints of that with it.
    """
    quantizations = _take_int8(graph.network, options)
    plain = replace(model, spec=replace(model.spec, decode_in_graph=False))
    operators = _write_files(graph, plain, quantizations, options, folder)
    exported = _open(plain, folder, _first_runtime(options))
    opened = [exported]
    if model.is_int8 and options.format == "onnx" and is_installed("openvino"):
        opened.append(_open(plain, folder, "openvino"))
    hint = _SATURATES if model.saturates and options.format == "onnx" else ""
    difference, rounding = _compare(expected, opened, hint)
    if decoding is None:
        return operators, (difference, rounding, None)
    operators = _write_files(graph.with_decoding(decoding), model, quantizations, options, folder)
    off = compare_decoding(_open(model, folder, _first_runtime(options)), exported)
    return operators, (difference, rounding, off)


def _first_runtime(options: Options) -> RuntimeName:
    """The runtime that checks every export of this format."""
    return "onnxruntime" if options.format == "onnx" else "paddle"


def _open(model: ModelFolder, folder: Path, runtime: RuntimeName) -> Predictor:
    """Open the files just written to a folder."""
    written = replace(model, path=folder, files={file.name: file_digest(file) for file in folder.iterdir()})
    return Predictor(model.spec, open_runtime(written, runtime))


def _load(task: Task) -> nn.Layer:
    """Load the task's trained network; convert one from quantization-aware training."""
    trained = load_trained(task)
    return convert_qat(trained) if is_quantization_aware(trained) else trained


def _make_graph(task: Task, trained: nn.Layer, normalize: NormalizeImage, options: Options) -> Graph:
    network = deploy_form(trained)
    use_matrix_upsampling(network, task.codec.input_size)
    normalization = fold_normalization(network, normalize) if options.fuse_normalize else None
    flip = (task.keypoint_set.flip_pairs, task.shifts_heatmap) if options.flip_test else None
    return Graph(network, normalization, flip)


def _take_int8(network: nn.Layer, options: Options) -> dict[str, ConvQuantization]:
    """Convert a network's quantization to the format, in place; returns what is inserted into ONNX later."""
    if options.format == "onnx":
        return take_quantizations(network)
    use_int8_convolutions(network)
    return {}


def _write_files(
    graph: Graph,
    model: ModelFolder,
    quantizations: Mapping[str, ConvQuantization],
    options: Options,
    folder: Path,
) -> dict[str, int]:
    """Write a graph's files in the format of ``options``; returns the numbers of operators."""
    is_onnx = options.format == "onnx"
    with paddle_2_graphs() if options.format == "pdmodel" else nullcontext():
        traced = trace(graph, model.spec.input_size, model.spec.batch)
        operators = {"exported": count_operators(traced)}
        save_graph(traced, folder)
    if model.is_int8 and not is_onnx:
        compact_graph(folder / PADDLE_FILES[0])
    if is_onnx:
        operators["onnx"] = convert_to_onnx(folder, quantizations, model.spec.output_name)
        for name in PADDLE_FILES:
            (folder / name).unlink()
    return operators


def _describe(task: Task, name: str, folder: Path, options: Options) -> tuple[ModelFolder, NormalizeImage]:
    """Return the export's `ModelFolder`, without files yet, and the normalisation of the image."""
    spec = task.pose_spec("TestReader", flip=options.flip_test)
    spec = replace(spec, batch=options.batch, decode_in_graph=options.decode_in_graph)
    normalizations = [s for s in spec.sample_steps + spec.batch_steps if isinstance(s, NormalizeImage)]
    if len(normalizations) != 1:
        raise ConfigError(f"TestReader has {len(normalizations)} NormalizeImage, expected one")
    if options.fuse_normalize:
        sample, batch = (
            [step for step in steps if "NormalizeImage" not in step]
            for steps in (spec.sample_transforms, spec.batch_transforms)
        )
        spec = replace(
            spec,
            input_dtype="uint8",
            channel_order="rgb",  # the graph reorders them itself
            sample_transforms=sample,
            batch_transforms=batch,
        )
    model = ModelFolder(
        path=folder,
        name=name,
        spec=spec,
        weights_sha256=file_digest(find_weights(task.settings.weights or "")),
        quantization_sha256=None,
        files={},
        versions={"ppose": VERSION, "paddlepaddle": paddle.__version__},
    )
    return model, normalizations[0]


def _compare(
    predictors: Sequence[Predictor], opened: Sequence[Predictor], hint: str
) -> tuple[float, float | None]:
    """||exported - trained|| / ||trained|| of heatmaps of noise; for int8, the same of the unrounded network.

    predictors[0] runs the trained network; for int8 models predictors[1] runs it without rounding of inputs.
    ``opened`` is the export in each runtime that checks it; the difference is that of the first. Raises
    ExportError if any difference is too large; ``hint`` ends its message.
    """
    images = make_noise(opened[0].spec)
    expected, *unrounded = (_find_heatmaps(predictor, images) for predictor in predictors)
    rounding = _distance(unrounded[0], expected) if unrounded else None
    tolerance = TOLERANCE if rounding is None else max(INT8_TOLERANCE, _INDEPENDENT * rounding)
    differences = []
    for exported in opened:
        difference = _distance(_find_heatmaps(exported, images), expected)
        if not difference <= tolerance:
            raise ExportError(
                f"the exported heatmaps are off by {difference:.1e} of the trained network's in "
                f"{exported.runtime_name}, expected at most {tolerance:.1e}; nothing was written{hint}"
            )
        differences.append(difference)
    return differences[0], rounding


def _find_heatmaps(predictor: Predictor, images: np.ndarray) -> np.ndarray:
    return predictor.find_heatmaps(cut_out_all(predictor.spec, images))


def _distance(heatmaps: np.ndarray, expected: np.ndarray) -> float:
    scale = max(np.linalg.norm(expected), np.finfo(np.float32).tiny)
    return float(np.linalg.norm(heatmaps - expected) / scale)
