"""PicoDet without its post-processing: the heads' distributions."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from ppose.inference.detectors.fit import fit_picodet
from ppose.inference.detectors.head import (
    Candidates,
    Head,
    Size,
    are_logits,
    count_cells,
    from_distances,
    make_grid,
    to_scores,
)

LOOKED_FOR = "PicoDet's heads, scores (B, n, classes) and distances (B, n, 4 bins) of strides 8, 16, 32, 64"
_STRIDES = (8, 16, 32, 64)
_IOU = 0.6  # PaddleDetection, configs/picodet/_base_/picodet_v2.yml


def find_head(outputs: Sequence[np.ndarray], size: Size) -> Head | None:
    """The head of outputs of one image, as an input of ``size`` (w, h) gives them; or None."""
    counts = count_cells(size, _STRIDES)
    if len(outputs) != 2 * len(counts) or any(output.ndim != 3 for output in outputs):
        return None
    order = [[i for i, output in enumerate(outputs) if output.shape[1] == count] for count in counts]
    if any(len(pair) != 2 for pair in order):
        return None
    scores, distances = zip(*order, strict=True)
    if outputs[distances[0]].shape[2] % 4:
        scores, distances = distances, scores
    classes, bins = ({outputs[i].shape[2] for i in each} for each in (scores, distances))
    if len(classes) != 1 or len(bins) != 1 or next(iter(bins)) % 4 or next(iter(bins)) < 8:
        return None
    cells, stride = make_grid(size, _STRIDES)
    decode = partial(
        _decode,
        order=(scores, distances),
        points=(cells + 0.5) * stride,
        stride=stride,
        logits=are_logits([outputs[i] for i in scores]),
    )
    return Head(
        name="PicoDet's heads", decode=decode, most_iou=_IOU, num_classes=classes.pop(), fit=fit_picodet
    )


def _decode(
    outputs: Sequence[np.ndarray],
    *,
    order: tuple[Sequence[int], Sequence[int]],
    points: np.ndarray,
    stride: np.ndarray,
    logits: bool,
) -> list[Candidates]:
    """Distances are means of distributions over bins of a stride each.

    Generalized Focal Loss, Li et al., NeurIPS 2020, eq. 6: y = sum_i i softmax(z)_i.
    """
    scores, bins = (np.concatenate([outputs[i] for i in each], axis=1) for each in order)
    bins = bins.reshape(*bins.shape[:2], 4, -1).astype(np.float32)
    weights = np.exp(bins - bins.max(axis=-1, keepdims=True))
    distances = weights @ np.arange(bins.shape[-1], dtype=np.float32) / weights.sum(axis=-1) * stride
    boxes = from_distances(np.broadcast_to(points, (*distances.shape[:2], 2)), distances)
    return [Candidates(*each) for each in zip(boxes, to_scores(scores, logits), strict=True)]
