"""Reads OpenMMLab's detectors: RTMDet's heads, and exports of mmdeploy and mmyolo with suppression."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from ppose.inference.detectors.fit import fit_rtmdet
from ppose.inference.detectors.head import (
    Candidates,
    Head,
    Size,
    are_logits,
    count_cells,
    from_distances,
    make_grid,
    pair_outputs,
)

LOOKED_FOR = (
    "RTMDet's heads, scores (B, classes, h, w) and distances (B, 4, h, w) of strides 8, 16, 32; mmdeploy's "
    "dets (B, M, 5) and labels (B, M); mmyolo's num_dets (B, 1), boxes (B, M, 4), scores and labels (B, M)"
)
_STRIDES = (8, 16, 32)
_IOU = 0.65  # mmdet, configs/rtmdet


def find_head(outputs: Sequence[np.ndarray], size: Size) -> Head | None:
    """The head that gives these outputs for one image of ``size`` (w, h); or None."""
    return _find_suppressed(outputs) or _find_heads(outputs, size)


def _find_suppressed(outputs: Sequence[np.ndarray]) -> Head | None:
    shapes = [output.shape for output in outputs]
    if len(shapes) == 2 and len(shapes[0]) == 3 and shapes[0][2] == 5 and shapes[1] == shapes[0][:2]:
        return Head(name="mmdeploy's detector with NMS", decode=_decode_dets, most_iou=None)
    are_boxes = len(shapes) == 4 and len(shapes[1]) == 3 and shapes[1][2] == 4
    if are_boxes and shapes[2] == shapes[3] == shapes[1][:2]:
        return Head(name="mmyolo's detector with NMS", decode=_decode_counted, most_iou=None)
    return None


def _find_heads(outputs: Sequence[np.ndarray], size: Size) -> Head | None:
    counts = count_cells(size, _STRIDES)
    if len(outputs) != 2 * len(counts) or any(output.ndim != 4 for output in outputs):
        return None
    pairs = pair_outputs(outputs, counts, lambda output: output.shape[2] * output.shape[3])
    if pairs is None:
        return None
    scores, distances = pairs
    if outputs[distances[0]].shape[1] != 4:
        scores, distances = distances, scores
    classes = {outputs[i].shape[1] for i in scores}
    if len(classes) != 1 or any(outputs[i].shape[1] != 4 for i in distances):
        return None
    cells, stride = make_grid(size, _STRIDES)
    logits = are_logits([outputs[i] for i in scores])
    decode = partial(_decode_heads, order=(scores, distances), points=cells * stride, logits=logits)
    return Head(
        name="RTMDet's heads", decode=decode, most_iou=_IOU, num_classes=classes.pop(), fit=fit_rtmdet
    )


def _decode_heads(
    outputs: Sequence[np.ndarray],
    *,
    order: tuple[Sequence[int], Sequence[int]],
    points: np.ndarray,
    logits: bool,
) -> list[Candidates]:
    """Distances in input pixels from the cells' top left corners (mmdet, `MlvlPointGenerator`, offset 0)."""
    scores, distances = (
        np.concatenate([outputs[i].reshape(*outputs[i].shape[:2], -1) for i in each], axis=2)
        .transpose(0, 2, 1)
        .astype(np.float32)
        for each in order
    )
    return from_distances(points, distances, scores, logits)


def _decode_dets(outputs: Sequence[np.ndarray]) -> list[Candidates]:
    """Rows of left, top, right, bottom, score; the label -1 marks padding."""
    dets, labels = outputs
    return [Candidates(rows[:, :4], rows[:, 4], classes) for rows, classes in zip(dets, labels, strict=True)]


def _decode_counted(outputs: Sequence[np.ndarray]) -> list[Candidates]:
    """The first num_dets of boxes, scores and labels are valid."""
    return [
        Candidates(boxes[: int(count)], scores[: int(count)], labels[: int(count)])
        for count, boxes, scores, labels in zip(outputs[0].reshape(-1), *outputs[1:], strict=True)
    ]
