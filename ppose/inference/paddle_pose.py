"""Reads keypoint networks that PaddleDetection and PaddleX exported, for a `Predictor`."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from ppose.codecs import MSRAHeatmap
from ppose.errors import ConfigError, DataError
from ppose.files import file_digest
from ppose.inference.model_folder import PADDLE_FILES, ModelFolder, read_model_folder
from ppose.inference.paddle_export import PaddleExport, check_switch, find_paddle_export, to_normalize
from ppose.inference.pose_spec import PoseSpec
from ppose.inference.ranges import check_sides
from ppose.inference.runtimes import import_runtime
from ppose.keypoints import BUILTIN_SETS, KeypointSet, make_keypoint_set
from ppose.paths import show_name, show_text
from ppose.processor import own_cores

_logger = logging.getLogger(__name__)

# PaddleDetection's `HRNetPostProcess` smooths heatmaps by a kernel of 3 pixels before DARK's step, whatever
# the targets' sigma; this sigma has that kernel, and a decoder uses sigma for nothing else.
_SIGMA = 0.8
_STEPS = ("TopDownEvalAffine", "NormalizeImage", "Permute")
_KEYPOINTS = {
    ("KeyPointTopDownMPIIEval", 16): "mpii16",
    ("KeyPointTopDownCOCOEval", 17): "coco17",
    ("KeyPointTopDownCOCOWholeBadyHandEval", 21): "hand21",
    ("KeyPointTopDownCOCOWholeBadyHandEval", 133): "wholebody133",
}


def read_export(path: str | Path) -> ModelFolder:
    """The exported model of a folder: ppose's own, PaddleDetection's or PaddleX's.

    Raises what `read_model_folder` does; DataError for an export of another kind, such as a detector.
    """
    try:
        export = find_paddle_export(path)
    except ConfigError:  # for a damaged file, which read_model_folder reports
        export = None
    return read_model_folder(path) if export is None else read_paddle_pose(export)


def read_paddle_pose(export: PaddleExport) -> ModelFolder:
    """The model of a keypoint network's export.

    Its settings state the preprocessing, but not the decoding, which therefore follows PaddleDetection's
    deploy code, with DARK's step. One run of the graph tells the number of keypoints and the heatmaps' size;
    the metric in the settings tells the keypoints' names, or they are numbered. Raises DataError if the
    folder holds another kind of network, or no graph that runs, ConfigError for unknown steps.
    """
    if not export.is_pose:
        way_out = (
            "bottom-up ones do not run here" if export.is_bottom_up else "a detector goes to --det_model_dir"
        )
        raise DataError(
            f"{show_name(export.path)} is PaddleDetection's export of the kind {show_text(export.arch)}, "
            f"expected a top-down keypoint network (HRNet); {way_out}"
        )
    size, sample, batch_steps = _read_steps(export)
    graph, weights = export.find_graph()
    batch, shape = _run_once(graph, weights, size)
    keypoint_set = _find_keypoint_set(export, shape[1])
    try:
        spec = PoseSpec(
            input_size=size,
            batch=batch,
            keypoint_set=keypoint_set,
            codec=MSRAHeatmap(size, (shape[3], shape[2]), sigma=_SIGMA, use_dark=True),
            sample_transforms=sample,
            batch_transforms=batch_steps,
            source=show_name(export.cfg_file),
        )
    except (TypeError, ValueError) as error:  # a step got unknown arguments
        raise ConfigError(f"{show_name(export.cfg_file)}: Preprocess: {error}") from None
    files = {name: file_digest(file) for name, file in zip(PADDLE_FILES, (graph, weights), strict=True)}
    return ModelFolder(
        path=export.path,
        name=export.name,
        spec=spec,
        weights_sha256=files[PADDLE_FILES[1]],
        quantization_sha256=None,
        files=files,
        versions={},
        published=(graph, weights),
    )


def _read_steps(export: PaddleExport) -> tuple[tuple[int, int], list[Any], list[Any]]:
    """Input size (w, h), sample and batch transforms; without NormalizeImage the graph normalises itself."""
    names = [step["type"] for step in export.steps()]
    steps = {step["type"]: {k: v for k, v in step.items() if k != "type"} for step in export.steps()}
    problem = f"{show_name(export.cfg_file)}: Preprocess: got {show_text(', '.join(names), 200)}"
    if not {_STEPS[0], _STEPS[-1]} <= steps.keys() or names != [name for name in _STEPS if name in steps]:
        raise ConfigError(f"{problem}, expected {', '.join(_STEPS)}, in this order")
    affine = steps["TopDownEvalAffine"]
    try:
        check_switch("use_udp", affine.get("use_udp", False))
        width, height = check_sides("trainsize", affine["trainsize"])
    except (KeyError, TypeError):
        raise ConfigError(f"{problem}: TopDownEvalAffine has no trainsize [width, height]") from None
    except (ConfigError, ValueError) as error:
        raise ConfigError(f"{problem}: TopDownEvalAffine: {error}") from None
    try:
        normalize = to_normalize(**steps.get("NormalizeImage", {"norm_type": "none", "is_scale": False}))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{problem}: NormalizeImage: {show_text(str(error), 200)}") from None
    return (width, height), [{"TopDownEvalAffine": affine}], [normalize, {"Permute": {}}]


def _run_once(graph: Path, weights: Path, size: tuple[int, int]) -> tuple[int | None, tuple[int, ...]]:
    """How many images the graph takes (None: any), and the shape of its heatmaps (N, K, H, W)."""
    paddle = import_runtime("paddle", for_any_graph=True)
    opened = paddle.open_foreign_graph(graph, weights, device="cpu", threads=own_cores())
    where, image = show_name(graph), list(opened.inputs)
    if image != ["image"]:
        raise DataError(f"{where} takes {show_text(', '.join(image))}, expected only the input image")
    batch = (opened.inputs["image"] or (None,))[0]
    try:
        shape = opened.run({"image": np.zeros((batch or 1, 3, size[1], size[0]), np.float32)})[0].shape
    except DataError as error:
        raise DataError(f"{error}; does it take images of {size[0]}x{size[1]}, the trainsize?") from None
    if len(shape) != 4:
        raise DataError(f"{where} gives {list(shape)}, expected heatmaps (N, K, H, W)")
    return batch, shape


def _find_keypoint_set(export: PaddleExport, count: int) -> KeypointSet:
    name = _KEYPOINTS.get((str(export.cfg.get("metric")), count))
    if name is not None:
        return BUILTIN_SETS[name]
    _logger.warning(
        "%s does not name its %d keypoints: they are numbered, and no limbs are drawn",
        show_name(export.cfg_file), count,
    )  # fmt: skip
    return make_keypoint_set("numbered", [f"keypoint_{index}" for index in range(count)], [])
