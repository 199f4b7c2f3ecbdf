"""Boxes that are of one thing: of several the best is kept."""

import numpy as np


def intersect(bbox_xyxy: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The areas (N,) that a box (4,) shares with others (N, 4)."""
    first, last = np.maximum(bbox_xyxy[:2], others[:, :2]), np.minimum(bbox_xyxy[2:], others[:, 2:])
    return np.prod(np.maximum(last - first, 0), axis=1)


def areas_of(bboxes_xyxy: np.ndarray) -> np.ndarray:
    """The areas (N,) of boxes (N, 4)."""
    return np.prod(np.maximum(bboxes_xyxy[:, 2:] - bboxes_xyxy[:, :2], 0), axis=1)


def suppress(bboxes_xyxy: np.ndarray, most_iou: float, *, is_part: np.ndarray | None = None) -> np.ndarray:
    """Rows of the boxes (N, 4), best first, that overlap no better one by more than ``most_iou``.

    Greedy non-maximum suppression: the overlap is the intersection over the union; of boxes that may be a
    part of one thing (``is_part``, (N,) bool), over the box itself, too.

    >>> suppress(np.array([[0, 0, 10, 10], [1, 0, 10, 10], [20, 0, 30, 10.0]]), 0.5)
    array([0, 2])
    """
    areas, left = areas_of(bboxes_xyxy), np.arange(len(bboxes_xyxy))
    kept: list[int] = []
    while len(left):
        best, rest = left[0], left[1:]
        kept.append(int(best))
        shared = intersect(bboxes_xyxy[best], bboxes_xyxy[rest])
        lost = shared > most_iou * (areas[best] + areas[rest] - shared)
        if is_part is not None:
            lost |= is_part[rest] & (shared > most_iou * areas[rest])
        left = rest[~lost]
    return np.array(kept, np.int64)
