"""Intersection over union of boxes."""

import numpy as np


def ious(bboxes_xyxy: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The IoU (N, M) of boxes (N, 4) with others (M, 4), 0 if both have no extent.

    >>> ious(np.array([[0, 0, 2, 2]]), np.array([[1, 0, 3, 2], [5, 5, 6, 6]])).round(3).tolist()
    [[0.333, 0.0]]
    """
    common = intersections(bboxes_xyxy, others)
    union = areas_of(bboxes_xyxy)[:, None] + areas_of(others) - common
    return np.divide(common, union, out=np.zeros(union.shape), where=union > 0)


def intersections(bboxes_xyxy: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The areas (N, M) that boxes (N, 4) share with others (M, 4)."""
    first = np.maximum(bboxes_xyxy[:, None, :2], others[None, :, :2])
    last = np.minimum(bboxes_xyxy[:, None, 2:], others[None, :, 2:])
    return np.maximum(last - first, 0).prod(axis=2)


def areas_of(bboxes_xyxy: np.ndarray) -> np.ndarray:
    """The areas (N,) of boxes (N, 4)."""
    return np.maximum(bboxes_xyxy[:, 2:] - bboxes_xyxy[:, :2], 0).prod(axis=1)
