"""Non-maximum suppression of boxes."""

import numpy as np

from ppose.metrics.iou import areas_of, intersections


def suppress(bboxes_xyxy: np.ndarray, most_iou: float, *, is_part: np.ndarray | None = None) -> np.ndarray:
    """Rows of the boxes (N, 4), best first, that overlap no better one by more than ``most_iou``.

    Greedy non-maximum suppression by the intersection over the union; for boxes that may show a part of a
    person only (``is_part``, (N,) bool) also by the intersection over the box itself.

    >>> suppress(np.array([[0, 0, 10, 10], [1, 0, 10, 10], [20, 0, 30, 10.0]]), 0.5)
    array([0, 2])
    """
    areas, left = areas_of(bboxes_xyxy), np.arange(len(bboxes_xyxy))
    kept: list[int] = []
    while len(left):
        best, rest = left[0], left[1:]
        kept.append(int(best))
        shared = intersections(bboxes_xyxy[best, None], bboxes_xyxy[rest])[0]
        lost = shared > most_iou * (areas[best] + areas[rest] - shared)
        if is_part is not None:
            lost |= is_part[rest] & (shared > most_iou * areas[rest])
        left = rest[~lost]
    return np.array(kept, np.int64)
