"""OpenCV's built-in people detector, which needs no file: upright people of 100 pixels and more."""

from typing import Any

import cv2
import numpy as np

from ppose.errors import DeviceError

_LONGEST_SIDE = 960  # time grows with the area, and people are large in pictures of people
_WINDOW = (64, 128)
# The windows that it was trained on have a margin around the person (Dalal and Triggs, CVPR 2005).
_MARGIN = 16


class HogPeopleDetector:
    """Histograms of oriented gradients and a linear SVM (Dalal and Triggs, CVPR 2005), as in OpenCV.

    Gives boxes_xyxy (N, 4), best first, of people whose distance from the SVM's plane is at least
    ``threshold``. DeviceError where this build of OpenCV has none: OpenCV 5 keeps it in its contrib modules.
    """

    def __init__(self, threshold: float = 0.5) -> None:
        if not hasattr(cv2, "HOGDescriptor"):
            raise DeviceError(
                "this OpenCV has no people detector: pip uninstall opencv-python-headless && "
                "pip install opencv-contrib-python-headless"
            )
        contrib: Any = cv2
        self._hog = contrib.HOGDescriptor()
        self._hog.setSVMDetector(contrib.HOGDescriptor_getDefaultPeopleDetector())
        self._threshold = threshold

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """The people of an image (H, W, 3) uint8, RGB."""
        height, width = image.shape[:2]
        factor = min(1.0, _LONGEST_SIDE / max(height, width))
        if min(width / _WINDOW[0], height / _WINDOW[1]) * factor < 1:
            return np.zeros((0, 4))
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        grey = cv2.resize(grey, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        windows, scores = self._hog.detectMultiScale(
            grey, hitThreshold=self._threshold, winStride=(8, 8), padding=(8, 8), scale=1.05
        )
        boxes = np.asarray(windows, np.float64).reshape(-1, 4)[np.argsort(-np.ravel(scores), kind="stable")]
        corner, size = boxes[:, :2], boxes[:, 2:]
        margin = _MARGIN * size / _WINDOW
        found = np.concatenate([corner + margin, corner + size - margin], axis=1) / factor
        return np.clip(found, 0, [width, height, width, height])
