"""Intersection over union."""

import numpy as np


def ious(bboxes_xyxy: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The IoU (N, M) of boxes (N, 4) with others (M, 4), 0 between two without extent.

    >>> ious(np.array([[0, 0, 2, 2]]), np.array([[1, 0, 3, 2], [5, 5, 6, 6]])).round(3).tolist()
    [[0.333, 0.0]]
    """
    first = np.maximum(bboxes_xyxy[:, None, :2], others[None, :, :2])
    last = np.minimum(bboxes_xyxy[:, None, 2:], others[None, :, 2:])
    common = np.maximum(last - first, 0).prod(axis=2)
    areas, of_others = ((boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (bboxes_xyxy, others))
    union = areas[:, None] + of_others - common
    return np.divide(common, union, out=np.zeros(union.shape), where=union > 0)
