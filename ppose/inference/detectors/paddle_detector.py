"""Person detectors that PaddleDetection and PaddleX have exported: PicoDet, PP-YOLOE and others like them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ppose.errors import ConfigError, DataError
from ppose.inference.paddle_export import PaddleExport, find_paddle_export, to_normalize
from ppose.inference.runtimes.paddle_runtime import open_foreign_graph
from ppose.paths import show_name
from ppose.processor import own_cores
from ppose.transforms import Transform
from ppose.workspace import create

_PERSON = "person"


class PaddleDetector:
    """A detector's graph with the preprocessing that its `infer_cfg.yml` describes.

    Gives boxes_xyxy (N, 4), best first, of the people with at least ``threshold``: of ``classes`` (names or
    numbers), by default of the class `person`, or of the only class. The graph's inputs are any of image
    (1, 3, h, w), im_shape (1, 2) (height and width after resizing) and scale_factor (1, 2) (y, x; resized to
    original); its first output holds rows of class, score, left, top, right, bottom in the original image
    (PaddleDetection, deploy/README). Raises DataError where the folder holds no such export, ConfigError for
    classes that it has not and for preprocessing that is unknown here.
    """

    def __init__(
        self,
        model_dir: str | Path,
        *,
        threshold: float = 0.5,
        classes: Sequence[int | str] | None = None,
        device: str = "cpu",
        cpu_threads: int | None = None,
    ) -> None:
        export = find_paddle_export(model_dir)
        if export is None:
            raise DataError(
                f"{show_name(model_dir)} holds no detector of PaddleDetection: expected infer_cfg.yml, "
                "model.json or model.pdmodel, and model.pdiparams (or inference.yml and inference.*)"
            )
        if export.is_pose:
            raise DataError(f"{show_name(model_dir)} is a keypoint network, which goes to --model_dir")
        self._steps = _read_steps(export)
        self._people = _find_classes(export, classes)
        graph, weights = export.find_graph()
        self._threshold = threshold
        threads = cpu_threads or own_cores()
        self._graph = open_foreign_graph(graph, weights, device=device, threads=threads)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """The people of an image (H, W, 3) uint8, RGB."""
        sample: dict[str, Any] = {"image": image, "scale_factor": (1.0, 1.0), "im_shape": image.shape[:2]}
        for step in self._steps:
            sample = step(sample)
        inputs = {name: np.asarray(sample[name], np.float32)[None] for name in self._graph.input_names}
        rows = self._graph.run(inputs)[0].reshape(-1, 6)
        rows = rows[(np.isin(rows[:, 0], self._people)) & (rows[:, 1] >= self._threshold)]
        rows = rows[np.argsort(-rows[:, 1], kind="stable")]
        height, width = image.shape[:2]
        boxes = np.clip(rows[:, 2:].astype(np.float64), 0, [width, height, width, height])
        return boxes[(boxes[:, 2:] > boxes[:, :2]).all(axis=1)]


def _read_steps(export: PaddleExport) -> list[Transform]:
    where, specs = f"{show_name(export.cfg_file)}: Preprocess", export.steps()
    if unknown := [str(spec["type"]) for spec in specs if spec["type"] not in _STEPS]:
        raise ConfigError(f"{where}: got {', '.join(unknown)}, expected a list of {', '.join(_STEPS)}")
    try:
        return [
            _STEPS[spec["type"]](**{key: value for key, value in spec.items() if key != "type"})
            for spec in specs
        ]
    except TypeError as error:
        raise ConfigError(f"{where}: {error}") from None


def _find_classes(export: PaddleExport, asked: Sequence[int | str] | None) -> list[int]:
    """The numbers of the classes that are people: those asked for, `person`, or the only one."""
    labels = export.cfg.get("label_list")
    labels = [str(label) for label in labels] if isinstance(labels, list) else []
    if asked is None and _PERSON not in labels and len(labels) == 1:
        return [0]
    if not labels and asked and all(str(name).isdecimal() for name in asked):
        return [int(name) for name in asked]
    numbers = {
        **{_plain(label): number for number, label in enumerate(labels)},
        **{str(number): number for number in range(len(labels))},
        **{label: number for number, label in enumerate(labels)},
    }
    names = {name: str(name) if str(name) in numbers else _plain(name) for name in asked or [_PERSON]}
    if missing := [name for name, key in names.items() if key not in numbers]:
        known = ", ".join(f"{number} {show_name(label)}" for number, label in enumerate(labels))
        raise ConfigError(
            f"{show_name(export.cfg_file)}: label_list has no '{missing[0]}': {known or 'it is empty'}; "
            "choose by --det_class NAME, or by its number"
        )
    return [numbers[key] for key in names.values()]


def _plain(name: int | str) -> str:
    return str(name).strip().casefold()


class _Resize:
    """To target_size (height, width), or as large as fits into it with the sides' ratio kept."""

    def __init__(self, target_size: list[int] | int, keep_ratio: bool = True, interp: int = 1) -> None:
        self._target = np.broadcast_to(np.asarray(target_size, np.float64), 2)
        self._keep_ratio, self._interp = keep_ratio, interp

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        image = sample["image"]
        shape = np.asarray(image.shape[:2], np.float64)
        factor = self._target / shape
        if self._keep_ratio:
            one = self._target.min() / shape.min()
            if round(one * shape.max()) > self._target.max():
                one = self._target.max() / shape.max()
            factor = np.array([one, one])
        # By factors and not to a size, which would move the pixels by the rounding.
        sample["image"] = cv2.resize(image, None, fx=factor[1], fy=factor[0], interpolation=self._interp)
        sample["scale_factor"], sample["im_shape"] = factor, sample["image"].shape[:2]
        return sample


class _PadStride:
    """Zeros right and below, up to multiples of the stride; image (3, h, w)."""

    def __init__(self, stride: int = 0) -> None:
        self._stride = stride

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        if self._stride > 0:
            pad = [(0, -side % self._stride) for side in sample["image"].shape[1:]]
            sample["image"] = np.pad(sample["image"], [(0, 0), *pad])
        return sample


_STEPS: dict[str, Callable[..., Transform]] = {
    "Resize": _Resize,
    "NormalizeImage": lambda **arguments: create(to_normalize(**arguments), {}),
    "Permute": lambda: create({"Permute": {}}, {}),
    "PadStride": _PadStride,
}
