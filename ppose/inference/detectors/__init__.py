"""People's boxes in images; a `PersonDetector` maps an image (H, W, 3) uint8, RGB to boxes_xyxy (N, 4)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

PersonDetector = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Detections:
    """N boxes, best first: ``bboxes_xyxy`` (N, 4) in image pixels, ``scores`` (N,), ``classes`` (N,)."""

    bboxes_xyxy: np.ndarray
    scores: np.ndarray
    classes: np.ndarray

    def take(self, rows: np.ndarray) -> "Detections":
        """Those of these rows, or of this mask, in the order of it."""
        return Detections(self.bboxes_xyxy[rows], self.scores[rows], self.classes[rows])
