"""Keypoint networks that PaddleDetection and PaddleX have exported, as models of a `Predictor`."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from ppose.codecs import MSRAHeatmap
from ppose.errors import ConfigError, DataError
from ppose.files import file_digest
from ppose.inference.model_folder import PADDLE_FILES, ModelFolder, read_model_folder
from ppose.inference.paddle_export import PaddleExport, find_paddle_export, to_normalize
from ppose.inference.pose_spec import PoseSpec
from ppose.inference.ranges import check_sides
from ppose.inference.runtimes import import_runtime
from ppose.keypoints import BUILTIN_SETS, KeypointSet, make_keypoint_set
from ppose.paths import show_name, show_text
from ppose.processor import own_cores

_logger = logging.getLogger(__name__)

# Its `HRNetPostProcess` smooths heatmaps by a kernel of 3 pixels before DARK's step, whatever the targets
# were; that is this sigma's kernel, and a decoder uses sigma for nothing else.
_SIGMA = 0.8
_STEPS = ("TopDownEvalAffine", "NormalizeImage", "Permute")
_KEYPOINTS = {("KeyPointTopDownMPIIEval", 16): "mpii16", ("KeyPointTopDownCOCOEval", 17): "coco17"}


def read_export(path: str | Path) -> ModelFolder:
    """The exported model of a folder: ppose's own, PaddleDetection's or PaddleX's.

    Raises what `read_model_folder` does; DataError for an export of another kind, such as a detector.
    """
    try:
        export = find_paddle_export(path)
    except ConfigError:  # of a file that somebody has spoilt, which is told of below
        export = None
    return read_model_folder(path) if export is None else read_paddle_pose(export)


def read_paddle_pose(export: PaddleExport) -> ModelFolder:
    """The model of a keypoint network's export.

    Its settings say how a picture becomes the input; how heatmaps become keypoints they do not, so that is
    as in PaddleDetection's deploy code, with DARK's step. The number of keypoints and the heatmaps' size are
    those of the graph, which is run once; names are COCO's or MPII's where these are meant. Raises DataError
    where the folder holds another kind of network, or no graph that runs, ConfigError for unknown steps.
    """
    where = show_name(export.path)
    if not export.is_pose:
        raise DataError(
            f"{where} is PaddleDetection's export of the kind {export.arch}, expected a top-down keypoint "
            "network (HRNet); a detector goes to --det_model_dir"
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
    except (TypeError, ValueError) as error:  # of a step with arguments that it has not
        raise ConfigError(f"{show_name(export.cfg_file)}: Preprocess: {error}") from None
    files = {name: file_digest(file) for name, file in zip(PADDLE_FILES, (graph, weights), strict=True)}
    return ModelFolder(
        path=export.path,
        name=str((export.cfg.get("Global") or {}).get("model_name", export.path.resolve().name)),
        spec=spec,
        weights_sha256=files[PADDLE_FILES[1]],
        quantization_sha256=None,
        files=files,
        versions={},
        published=(graph, weights),
    )


def _read_steps(export: PaddleExport) -> tuple[tuple[int, int], list[Any], list[Any]]:
    """Input size (w, h), sample and batch transforms; without NormalizeImage the graph does that itself."""
    steps = {step["type"]: {k: v for k, v in step.items() if k != "type"} for step in export.steps()}
    problem = f"{show_name(export.cfg_file)}: Preprocess: got {', '.join(steps)}"
    if not {"TopDownEvalAffine", "Permute"} <= steps.keys() <= {*_STEPS}:
        raise ConfigError(f"{problem}, expected {', '.join(_STEPS)}")
    affine = steps["TopDownEvalAffine"]
    try:
        width, height = check_sides("trainsize", affine["trainsize"])
    except (KeyError, TypeError):
        raise ConfigError(f"{problem}: TopDownEvalAffine has no trainsize [width, height]") from None
    except ConfigError as error:
        raise ConfigError(f"{problem}: TopDownEvalAffine: {error}") from None
    try:
        normalize = to_normalize(**steps.get("NormalizeImage", {"norm_type": "none", "is_scale": False}))
    except TypeError as error:
        raise ConfigError(f"{problem}: NormalizeImage: {error}") from None
    return (width, height), [{"TopDownEvalAffine": affine}], [normalize, {"Permute": {}}]


def _run_once(graph: Path, weights: Path, size: tuple[int, int]) -> tuple[int | None, tuple[int, ...]]:
    """How many images the graph takes (None: any), and the shape of its heatmaps (N, K, H, W)."""
    paddle = import_runtime("paddle", for_any_graph=True)
    opened = paddle.open_foreign_graph(graph, weights, device="cpu", threads=own_cores())
    where, image = show_name(graph), list(opened.inputs)
    if image != ["image"]:
        raise DataError(f"{where} takes {show_text(', '.join(image))}, expected image alone")
    batch = (opened.inputs["image"] or (None,))[0]
    shape = opened.run({"image": np.zeros((batch or 1, 3, size[1], size[0]), np.float32)})[0].shape
    if len(shape) != 4:
        raise DataError(f"{where} gives {list(shape)}, expected heatmaps (N, K, H, W)")
    return batch, shape


def _find_keypoint_set(export: PaddleExport, count: int) -> KeypointSet:
    name = _KEYPOINTS.get((str(export.cfg.get("metric")), count))
    if name is not None:
        return BUILTIN_SETS[name]
    _logger.warning(
        "%s does not say which its %d keypoints are: they have numbers, and no limbs are drawn",
        show_name(export.cfg_file), count,
    )  # fmt: skip
    return make_keypoint_set("numbered", [f"keypoint_{index}" for index in range(count)], [])
