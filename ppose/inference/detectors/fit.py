"""Prepares images for detectors: resizes, pads, normalises; and maps boxes back."""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

_GREY = 114  # around the image, as YOLOX, Ultralytics and RTMDet are trained
_IMAGENET_MEAN, _IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # of bytes, R, G, B


@dataclass(frozen=True, eq=False)
class Fitted:
    """An image as input: ``image`` (3, h, w) float32.

    Input pixels are image pixels * ``factor`` + ``offset``, both (2,) in x, y; ``shape`` is height and width
    without padding.
    """

    image: np.ndarray
    factor: np.ndarray
    offset: np.ndarray
    shape: tuple[int, int]

    def to_image(self, bboxes_xyxy: np.ndarray) -> np.ndarray:
        """Boxes (N, 4) in input pixels, mapped to image pixels."""
        return (bboxes_xyxy - np.tile(self.offset, 2)) / np.tile(self.factor, 2)


@dataclass(frozen=True)
class Fit:
    """How an image (H, W, 3) uint8, RGB, becomes an input of ``size`` (w, h).

    ``place`` "stretched" ignores the aspect ratio; the others keep it and pad with ``grey``: "corner" on the
    right and below, "centered" on all sides. Then (byte - mean) / std; channels, ``mean`` and ``std`` are in
    ``order``.
    """

    size: tuple[int, int]
    place: Literal["stretched", "corner", "centered"]
    order: Literal["rgb", "bgr"] = "rgb"
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    grey: float = _GREY

    def __call__(self, image: np.ndarray) -> Fitted:
        """Make the input from an image."""
        size, full = np.array(image.shape[1::-1], np.float64), np.array(self.size)
        inner = full
        if self.place != "stretched":
            inner = np.clip(np.round(size * (full / size).min()).astype(int), 1, full)
        offset = (full - inner) // 2 if self.place == "centered" else np.zeros(2, int)
        (width, height), (left, top) = inner.tolist(), offset.tolist()
        resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        canvas = np.full((self.size[1], self.size[0], 3), self.grey, np.float32)
        canvas[top : top + height, left : left + width] = resized
        canvas = canvas[..., ::-1] if self.order == "bgr" else canvas
        normal = (canvas - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        planes = np.ascontiguousarray(normal.transpose(2, 0, 1), np.float32)
        return Fitted(planes, inner / size, offset.astype(np.float64), (height, width))


def fit_yolox(size: tuple[int, int]) -> Fit:
    """YOLOX's `preproc`: bytes, BGR, in the top left corner."""
    return Fit(size, "corner", "bgr")


def fit_ultralytics(size: tuple[int, int]) -> Fit:
    """Ultralytics' `LetterBox`: bytes / 255, RGB, centered."""
    return Fit(size, "centered", std=(255.0,) * 3)


def fit_picodet(size: tuple[int, int]) -> Fit:
    """PaddleDetection's PicoDet: stretched, RGB, ImageNet's mean and std."""
    return Fit(size, "stretched", mean=_IMAGENET_MEAN, std=_IMAGENET_STD)


def fit_rtmdet(size: tuple[int, int]) -> Fit:
    """mmdet's RTMDet: BGR, in the top left corner, ImageNet's mean and std."""
    return Fit(size, "corner", "bgr", _IMAGENET_MEAN[::-1], _IMAGENET_STD[::-1])
