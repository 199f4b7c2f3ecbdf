"""Person detectors that PaddleDetection has exported: PicoDet, PP-YOLOE and others with the same outputs."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ppose.errors import ConfigError, DataError
from ppose.inference.runtimes.paddle_runtime import PaddleGraph, check_device, make_config
from ppose.processor import own_cores
from ppose.transforms import Transform
from ppose.workspace import create
from ppose.workspace.cells import read_cells, to_plain

_CONFIG = "infer_cfg.yml"
_GRAPHS = ("model.json", "model.pdmodel")
_PERSON = "person"


class PaddleDetector:
    """A detector's graph with the preprocessing that its `infer_cfg.yml` describes.

    Gives boxes_xyxy (N, 4), best first, of the people with at least ``threshold``: of the class `person`, or
    of the only class. The graph's inputs are any of image (1, 3, h, w), im_shape (1, 2) (height and width
    after resizing) and scale_factor (1, 2) (y, x; resized to original); its first output holds rows of class,
    score, left, top, right, bottom in the original image (PaddleDetection, deploy/README). Raises DataError
    where the folder holds no such export, ConfigError for preprocessing that is unknown here.
    """

    def __init__(
        self,
        model_dir: str | Path,
        *,
        threshold: float = 0.5,
        device: str = "cpu",
        cpu_threads: int | None = None,
    ) -> None:
        folder = Path(model_dir)
        graph = next((folder / name for name in _GRAPHS if (folder / name).is_file()), None)
        weights = folder / "model.pdiparams"
        if graph is None or not weights.is_file() or not (folder / _CONFIG).is_file():
            raise DataError(
                f"{folder} holds no detector of PaddleDetection: expected {_CONFIG}, "
                f"{' or '.join(_GRAPHS)}, and {weights.name}"
            )
        cfg = to_plain(read_cells(folder / _CONFIG))
        self._steps = _read_steps(cfg, folder / _CONFIG)
        self._person = _person_class(cfg, folder / _CONFIG)
        self._threshold = threshold
        check_device(device)
        threads = cpu_threads or own_cores()
        config = make_config(
            graph, weights, device=device, precision="fp32", threads=threads, use_onednn=True
        )
        self._graph = PaddleGraph(config)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """The people of an image (H, W, 3) uint8, RGB."""
        sample: dict[str, Any] = {"image": image, "scale_factor": (1.0, 1.0), "im_shape": image.shape[:2]}
        for step in self._steps:
            sample = step(sample)
        inputs = {name: np.asarray(sample[name], np.float32)[None] for name in self._graph.input_names}
        rows = self._graph.run(inputs)[0].reshape(-1, 6)
        rows = rows[(rows[:, 0] == self._person) & (rows[:, 1] >= self._threshold)]
        rows = rows[np.argsort(-rows[:, 1], kind="stable")]
        height, width = image.shape[:2]
        boxes = np.clip(rows[:, 2:].astype(np.float64), 0, [width, height, width, height])
        return boxes[(boxes[:, 2:] > boxes[:, :2]).all(axis=1)]


def _read_steps(cfg: Any, file: Path) -> list[Transform]:
    specs = cfg.get("Preprocess") if isinstance(cfg, Mapping) else None
    if not isinstance(specs, list) or not all(isinstance(s, dict) and s.get("type") in _STEPS for s in specs):
        raise ConfigError(f"{file}: Preprocess: got {specs!r}, expected a list of {', '.join(_STEPS)}")
    try:
        return [
            _STEPS[spec["type"]](**{key: value for key, value in spec.items() if key != "type"})
            for spec in specs
        ]
    except TypeError as error:
        raise ConfigError(f"{file}: Preprocess: {error}") from None


def _person_class(cfg: Mapping[str, Any], file: Path) -> int:
    labels = cfg.get("label_list")
    if isinstance(labels, list) and _PERSON in labels:
        return labels.index(_PERSON)
    if isinstance(labels, list) and len(labels) == 1:
        return 0
    raise ConfigError(f"{file}: label_list has no '{_PERSON}'")


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


def _make_normalize(
    mean: list[float], std: list[float], is_scale: bool = True, norm_type: str = "mean_std"
) -> Transform:
    if norm_type == "none":
        mean, std = [0.0] * 3, [1.0] * 3
    return create({"NormalizeImage": {"mean": mean, "std": std, "is_scale": is_scale}}, {})


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
    "NormalizeImage": _make_normalize,
    "Permute": lambda: create({"Permute": {}}, {}),
    "PadStride": _PadStride,
}
