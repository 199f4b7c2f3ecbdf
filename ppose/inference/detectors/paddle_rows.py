"""Reads detectors that PaddleDetection exports with post-processing: PicoDet, PP-YOLOE and others."""

from collections.abc import Sequence

import numpy as np

from ppose.errors import DataError
from ppose.inference.detectors.head import Candidates, Head, Size

LOOKED_FOR = (
    "PaddleDetection's rows (M, 6) and numbers (B,), or without NMS boxes (B, N, 4), scores (B, classes, N)"
)
_IOU = 0.6


def find_head(outputs: Sequence[np.ndarray], size: Size) -> Head | None:
    """The head that gives these outputs of one image; or None."""
    shapes = [output.shape for output in outputs]
    # Without any rows Paddle's array has one axis.
    is_rows = bool(shapes) and (shapes[0][-1:] == (6,) and len(shapes[0]) == 2)
    if is_rows and len(shapes) <= 3:
        return Head(name="PaddleDetection's rows", decode=_decode_rows, most_iou=None)
    if len(shapes) == 2 and {len(shape) for shape in shapes} == {3}:
        boxes = next((i for i in (0, 1) if shapes[i][2] == 4 and shapes[1 - i][2] == shapes[i][1]), None)
        if boxes is not None:
            return Head(
                name="PaddleDetection's boxes without NMS",
                decode=lambda arrays: _decode_dense(arrays[boxes], arrays[1 - boxes]),
                most_iou=_IOU,
                num_classes=shapes[1 - boxes][1],
            )
    return None


def find_joined_head(outputs: Sequence[np.ndarray]) -> Head | None:
    """The head of a PP-YOLOE exported with `exclude_post_process`; or None.

    Shapes do not distinguish it from a YOLOX with one class fewer; the caller must know from its settings.
    """
    if len(outputs) != 1 or outputs[0].ndim != 3 or outputs[0].shape[2] < 5:
        return None
    return Head(
        name="PP-YOLOE's boxes and scores (B, N, 4 + classes)",
        decode=lambda arrays: [Candidates(rows[:, :4], rows[:, 4:]) for rows in arrays[0]],
        most_iou=_IOU,
        num_classes=outputs[0].shape[2] - 4,
    )


def _decode_rows(outputs: Sequence[np.ndarray]) -> list[Candidates]:
    """Rows of class, score, left, top, right, bottom; the second output counts the rows of each image."""
    rows = outputs[0].reshape(-1, 6)
    counts = outputs[1].reshape(-1).astype(np.int64) if len(outputs) > 1 else np.array([len(rows)])
    if len(counts) == 1:  # without suppression this output may be another number
        counts = np.array([len(rows)])
    if counts.sum() != len(rows) or (counts < 0).any():
        raise DataError(f"the detector gives {len(rows)} rows, but states counts of {counts.tolist()}")
    parts = np.split(rows, np.cumsum(counts)[:-1])
    return [Candidates(part[:, 2:], part[:, 1], part[:, 0]) for part in parts]


def _decode_dense(boxes: np.ndarray, scores: np.ndarray) -> list[Candidates]:
    return [Candidates(*each) for each in zip(boxes, scores.transpose(0, 2, 1), strict=True)]
