"""Random colour and sharpness of the image; keypoints stay unchanged."""

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np

from ppose.errors import ConfigError
from ppose.transforms.ranges import check_probability, check_range
from ppose.transforms.transform import Transform
from ppose.workspace import register

_LEVELS = np.arange(256, dtype=np.float64)
_HUES = 180  # OpenCV's 8-bit hue has steps of 2 degrees
_GREY = np.array([0.299, 0.587, 0.114])  # weights of R, G and B (ITU-R BT.601), as in OpenCV's grey pictures


def adjust_brightness(image: np.ndarray, factor: float) -> np.ndarray:
    """Multiply each value of an image (H, W, 3) uint8 by the factor, clipped at 255."""
    return cv2.LUT(image, _as_pixels(_LEVELS * factor))


def adjust_contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """Multiply each value's distance from the image's mean grey; image (H, W, 3) uint8, RGB."""
    mean = _GREY @ np.array(cv2.mean(image)[:3])
    return cv2.LUT(image, _as_pixels((_LEVELS - mean) * factor + mean))


def adjust_saturation(image: np.ndarray, factor: float) -> np.ndarray:
    """Multiply each value's distance from its pixel's grey; image (H, W, 3) uint8, RGB."""
    return cv2.transform(image, factor * np.eye(3) + (1 - factor) * _GREY[None])


def adjust_hue(image: np.ndarray, turn: float) -> np.ndarray:
    """Rotate the hues of an image (H, W, 3) uint8, RGB by a share of the circle: 1/3 turns red to green."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    table = ((np.arange(256) + round(turn * _HUES)) % _HUES).astype(np.uint8)
    hsv[..., 0] = cv2.LUT(hsv[..., 0], table)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def _as_pixels(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


@register(Transform)
class ColorJitter:
    """Changes brightness, contrast, saturation and hue at random, in random order.

    Reads image (H, W, 3) uint8, RGB and the sample's generator; replaces image. Place it after the warp,
    where the picture is smallest, and before NormalizeImage.

    The keys are those of albumentations: with probability ``p``, each of ``brightness``, ``contrast`` and
    ``saturation`` b draws a factor from [max(0, 1 - b), 1 + b], and ``hue`` h a rotation of the colour circle
    from [-h, h], h at most 0.5; 0 turns a change off. The default of hue is smaller than theirs, which turns
    faces green.
    """

    def __init__(
        self,
        brightness: float = 0.2,
        contrast: float = 0.2,
        saturation: float = 0.2,
        hue: float = 0.05,
        p: float = 0.5,
    ) -> None:
        check_probability("ColorJitter.p", p)
        factors = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
        for name, width in factors.items():
            if not width >= 0:
                raise ConfigError(f"ColorJitter.{name}: got {width}, expected 0 or more")
        if not 0 <= hue <= 0.5:
            raise ConfigError(f"ColorJitter.hue: got {hue}, expected 0 to 0.5")
        adjusts = (adjust_brightness, adjust_contrast, adjust_saturation)
        self._steps: list[tuple[Callable[[np.ndarray, float], np.ndarray], float, float]] = [
            (adjust, max(0.0, 1 - width), 1 + width)
            for adjust, width in zip(adjusts, factors.values(), strict=True)
            if width > 0
        ]
        if hue > 0:
            self._steps.append((adjust_hue, -hue, hue))
        self._probability = p

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        """See the class."""
        rng: np.random.Generator = sample["generator"]
        if rng.random() < self._probability:
            for index in rng.permutation(len(self._steps)):
                adjust, low, high = self._steps[index]
                sample["image"] = adjust(sample["image"], rng.uniform(low, high))
        return sample


@register(Transform)
class GaussianBlur:
    """Blurs the image at random.

    Reads image (H, W, 3) uint8 and the sample's generator; replaces image. Place it after the warp: the blur
    is in pixels of the network's input.

    With probability ``p``, the Gaussian's deviation is drawn from ``sigma_limit`` [smallest, largest], in
    pixels, as in albumentations.
    """

    def __init__(self, sigma_limit: Sequence[float] = (0.5, 3.0), p: float = 0.5) -> None:
        check_probability("GaussianBlur.p", p)
        check_range("GaussianBlur.sigma_limit", sigma_limit, 0.1, 100)
        self._sigma_limit, self._probability = (sigma_limit[0], sigma_limit[1]), p

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        """See the class."""
        rng: np.random.Generator = sample["generator"]
        if rng.random() < self._probability:
            sigma = rng.uniform(*self._sigma_limit)
            sample["image"] = cv2.GaussianBlur(sample["image"], (0, 0), sigma)
        return sample
