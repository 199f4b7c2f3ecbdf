"""Reads YOLO detectors: YOLOX, Ultralytics' YOLOv5 to YOLO11, and exports with suppression."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from ppose.inference.detectors.fit import fit_ultralytics, fit_yolox
from ppose.inference.detectors.head import Candidates, Head, Size, count_cells, from_centers, make_grid

LOOKED_FOR = (
    "YOLOX (B, N, 5 + classes), YOLOv5 (B, 3 N, 5 + classes), YOLOv8 (B, 4 + classes, N), "
    "YOLO with NMS (B, M, 6), N cells of strides 8, 16, 32 (and 64)"
)
_STRIDES = ((8, 16, 32), (8, 16, 32, 64))
_YOLOX_IOU, _ULTRALYTICS_IOU = 0.45, 0.7  # defaults of their command lines
_ANCHORS = 3  # boxes of a cell in networks with anchors


def find_head(outputs: Sequence[np.ndarray], size: Size) -> Head | None:
    """The head that gives these outputs for one image of noise of ``size`` (w, h); or None."""
    if len(outputs) != 1 or outputs[0].ndim != 3:
        return None
    _, rows, columns = outputs[0].shape
    for strides in _STRIDES:
        cells = sum(count_cells(size, strides))
        if rows == cells and columns > 5:
            return _find_yolox(outputs[0], size, strides)
        if columns == cells and rows > 4:
            return Head(
                name="YOLOv8",
                decode=_decode_yolov8,
                most_iou=_ULTRALYTICS_IOU,
                num_classes=rows - 4,
                fit=fit_ultralytics,
            )
        if rows == _ANCHORS * cells and columns > 5:
            return Head(
                name="YOLOv5",
                decode=_decode_with_objectness,
                most_iou=_ULTRALYTICS_IOU,
                num_classes=columns - 5,
                fit=fit_ultralytics,
            )
    if columns == 6:
        return Head(name="YOLO with NMS", decode=_decode_rows, most_iou=None, fit=fit_ultralytics)
    return None


def _find_yolox(output: np.ndarray, size: Size, strides: Sequence[int]) -> Head:
    """YOLOX outputs offsets to cells, unless it was exported with `--decode_in_inference`.

    The centers tell which: near their cells in pixels, or near 0.
    """
    cells, stride = make_grid(size, strides)
    centers = output[0, :, :2] / stride
    in_pixels = np.nanmedian(np.abs(centers - cells)) < np.nanmedian(np.abs(output[0, :, :2]))
    decode = _decode_with_objectness if in_pixels else partial(_decode_cells, cells=cells, stride=stride)
    return Head(
        name=f"YOLOX ({'decoded in the graph' if in_pixels else 'decoded here'})",
        decode=decode,
        most_iou=_YOLOX_IOU,
        num_classes=output.shape[2] - 5,
        fit=fit_yolox,
    )


def _decode_cells(
    outputs: Sequence[np.ndarray], *, cells: np.ndarray, stride: np.ndarray
) -> list[Candidates]:
    """Center (offset + cell) * stride, size exp(.) * stride (YOLOX, `decode_outputs` of its head)."""
    output = outputs[0].astype(np.float32)
    center = (output[..., :2] + cells) * stride
    with np.errstate(over="ignore"):
        size = np.exp(output[..., 2:4]) * stride
    return _decode_with_objectness([np.concatenate([center, size, output[..., 4:]], axis=-1)])


def _decode_with_objectness(outputs: Sequence[np.ndarray]) -> list[Candidates]:
    """Rows of center x, y, width, height, objectness, and a score per class."""
    return [Candidates(from_centers(rows), rows[:, 4:5] * rows[:, 5:]) for rows in outputs[0]]


def _decode_yolov8(outputs: Sequence[np.ndarray]) -> list[Candidates]:
    """Columns of center x, y, width, height, and a score per class."""
    return [Candidates(from_centers(columns[:4].T), columns[4:].T) for columns in outputs[0]]


def _decode_rows(outputs: Sequence[np.ndarray]) -> list[Candidates]:
    """Rows of left, top, right, bottom, score, class; zeros pad the end."""
    return [Candidates(rows[:, :4], rows[:, 4], rows[:, 5]) for rows in outputs[0]]
