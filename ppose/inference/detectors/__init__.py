"""Detects people; a `PersonDetector` maps an image (H, W, 3) uint8, RGB to boxes_xyxy (N, 4)."""

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
        """The detections of these rows, in their order, or of this mask."""
        return Detections(self.bboxes_xyxy[rows], self.scores[rows], self.classes[rows])


@runtime_checkable
class ScoringDetector(Protocol):
    """A `PersonDetector` that also returns scores."""

    def __call__(self, image: np.ndarray) -> np.ndarray: ...

    def detect(self, images: Sequence[np.ndarray]) -> list[Detections]:
        """The people of each of several images."""
        ...


def find_scored(find_people: PersonDetector, image: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """boxes_xyxy (N, 4) of the people in an image, and their scores (N,), None if the detector has none."""
    if not isinstance(find_people, ScoringDetector):
        return find_people(image), None
    (found,) = find_people.detect([image])
    return found.bboxes_xyxy, found.scores
