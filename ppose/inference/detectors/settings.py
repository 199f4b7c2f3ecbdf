"""Reads a detector's preprocessing and classes from the files of PaddleDetection, PaddleX or mmdeploy."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ppose.errors import ConfigError, DataError
from ppose.files import read_json
from ppose.inference.detectors.fit import Fit, Fitted
from ppose.inference.paddle_export import PaddleExport, check_switch, to_normalize
from ppose.inference.ranges import LONGEST_SIDE, check_sides
from ppose.paths import show_name, show_text
from ppose.transforms import Transform
from ppose.workspace import create

MMDEPLOY_FILE = "pipeline.json"
_MOST_LABELS = 100_000
_INTERPOLATIONS = range(5)  # OpenCV's numbers, from nearest to Lanczos


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A file's settings: ``prepare`` makes an input from an image (H, W, 3) uint8, RGB; class names."""

    source: str
    prepare: Callable[[np.ndarray], Fitted]
    labels: Sequence[str] = field(default=())


def read_paddle_settings(export: PaddleExport) -> Settings:
    """Read `infer_cfg.yml` or `inference.yml`; ConfigError for steps that are unknown or out of range."""
    source, specs = show_name(export.cfg_file), export.steps()
    where = f"{source}: Preprocess"
    if unknown := [show_text(spec["type"]) for spec in specs if spec["type"] not in _STEPS]:
        raise ConfigError(f"{where}: got {', '.join(unknown)}, expected a list of {', '.join(_STEPS)}")
    names = [spec["type"] for spec in specs]
    if twice := [name for name in _STEPS if names.count(name) > 1]:
        raise ConfigError(f"{where}: {twice[0]} is listed twice, expected each step once")
    if "Permute" not in names:
        raise ConfigError(f"{where}: expected Permute at its end, since networks take channels first")
    try:
        steps = [
            _STEPS[spec["type"]](**{key: value for key, value in spec.items() if key != "type"})
            for spec in specs
        ]
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {show_text(str(error), 200)}") from None
    labels = export.cfg.get("label_list")
    labels = labels[:_MOST_LABELS] if isinstance(labels, list) else []
    return Settings(
        source=source,
        prepare=lambda image: _apply(steps, image, where),
        labels=[str(label) for label in labels],
    )


def read_mmdeploy_settings(file: Path, size: tuple[int, int] | None) -> Settings:
    """Read mmdeploy's `pipeline.json`; ``size`` (w, h) is the graph's, None if it takes any.

    Resize with keep_ratio pads on the right and below, as mmdeploy's SDK does. Raises DataError.
    """
    content, where = read_json(file, MMDEPLOY_FILE), show_name(file)
    try:
        first = next(task for task in content["pipeline"]["tasks"] if task["name"] == "Preprocess")
        steps = {step["type"]: step for step in first["transforms"]}
        height, width = size[::-1] if size else steps["Resize"]["size"]
        normalize, pad = steps["Normalize"], steps.get("Pad", {}).get("pad_val", {})
        fit = Fit(
            check_sides("size", (width, height)),
            "corner" if steps["Resize"].get("keep_ratio") else "stretched",
            "rgb" if normalize["to_rgb"] else "bgr",
            _three(normalize["mean"]),
            _three(normalize["std"]),
            _three(pad.get("img", [0] * 3))[0],
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, StopIteration) as error:
        raise DataError(
            f"{where}: expected mmdeploy's Preprocess with Resize (size) and Normalize (mean, std, to_rgb): "
            f"{type(error).__name__} {show_text(str(error))}"
        ) from None
    return Settings(source=where, prepare=fit)


def _three(values: Any) -> tuple[float, ...]:
    numbers = tuple(float(value) for value in values)
    if len(numbers) != 3 or not all(map(math.isfinite, numbers)):
        raise ValueError("expected three numbers")
    return numbers


def _apply(steps: Sequence[Transform], image: np.ndarray, where: str) -> Fitted:
    sample: Mapping[str, Any] = {"image": image, "scale_factor": (1.0, 1.0), "im_shape": image.shape[:2]}
    try:
        for step in steps:
            sample = step(dict(sample))
    except (ValueError, TypeError, cv2.error) as error:
        raise ConfigError(f"{where}: a step fails: {show_text(' '.join(str(error).split()))}") from None
    factor = np.array(sample["scale_factor"], np.float64)[::-1]
    return Fitted(sample["image"].astype(np.float32, copy=False), factor, np.zeros(2), sample["im_shape"])


class _Resize:
    """To target_size (height, width), or to the largest size within it that keeps the aspect ratio."""

    def __init__(self, target_size: Sequence[int] | int, keep_ratio: bool = True, interp: int = 1) -> None:
        sides = [target_size] * 2 if isinstance(target_size, int) else list(target_size)
        self._target = np.array(check_sides("target_size", sides), np.float64)
        if interp not in _INTERPOLATIONS:
            raise ValueError(f"interp is {interp}, expected 0 to {_INTERPOLATIONS[-1]}")
        check_switch("keep_ratio", keep_ratio)
        self._keep_ratio, self._interp = bool(keep_ratio), int(interp)

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        image = sample["image"]
        shape = np.asarray(image.shape[:2], np.float64)
        factor = self._target / shape
        if self._keep_ratio:
            one = self._target.min() / shape.min()
            if round(one * shape.max()) > self._target.max():
                one = self._target.max() / shape.max()
            # A very narrow image keeps at least a pixel.
            factor = np.maximum([one, one], 1 / shape)
        # By factors: a rounded target size would shift the pixels.
        sample["image"] = cv2.resize(image, None, fx=factor[1], fy=factor[0], interpolation=self._interp)
        sample["scale_factor"], sample["im_shape"] = factor, sample["image"].shape[:2]
        return sample


class _PadStride:
    """Pad with zeros on the right and below to multiples of the stride; image (3, h, w)."""

    def __init__(self, stride: int = 0) -> None:
        if not 0 <= stride <= LONGEST_SIDE:
            raise ValueError(f"PadStride: stride is {stride}, expected 0 to {LONGEST_SIDE}")
        self._stride = int(stride)

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
