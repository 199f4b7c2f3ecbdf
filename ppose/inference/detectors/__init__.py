"""People's boxes in images; a `PersonDetector` maps an image (H, W, 3) uint8, RGB to boxes_xyxy (N, 4)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

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


@runtime_checkable
class ScoringDetector(Protocol):
    """A `PersonDetector` that gives scores, too."""

    def __call__(self, image: np.ndarray) -> np.ndarray: ...

    def detect(self, images: Sequence[np.ndarray]) -> list[Detections]:
        """The people of each of several images."""
        ...


def find_scored(find_people: PersonDetector, image: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """boxes_xyxy (N, 4) of the people of an image, and their scores (N,), None from a detector without."""
    if not isinstance(find_people, ScoringDetector):
        return find_people(image), None
    (found,) = find_people.detect([image])
    return found.bboxes_xyxy, found.scores
