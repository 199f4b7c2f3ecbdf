"""Reads PicoDet without post-processing: the heads' distributions."""

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
    pair_outputs,
)

LOOKED_FOR = "PicoDet's heads, scores (B, n, classes) and distances (B, n, 4 bins) of strides 8, 16, 32, 64"
_STRIDES = (8, 16, 32, 64)
_IOU = 0.6  # PaddleDetection, configs/picodet/_base_/picodet_v2.yml


def find_head(outputs: Sequence[np.ndarray], size: Size) -> Head | None:
    """The head that gives these outputs for one image of ``size`` (w, h); or None."""
    counts = count_cells(size, _STRIDES)
    if len(outputs) != 2 * len(counts) or any(output.ndim != 3 for output in outputs):
        return None
    pairs = pair_outputs(outputs, counts, lambda output: output.shape[1])
    if pairs is None:
        return None
    scores, distances = pairs
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
    """Distances are means of distributions over bins one stride wide.

    Generalized Focal Loss, Li et al., NeurIPS 2020, eq. 6: y = sum_i i softmax(z)_i.
    """
    scores, bins = (np.concatenate([outputs[i] for i in each], axis=1) for each in order)
    bins = bins.reshape(*bins.shape[:2], 4, -1).astype(np.float32)
    weights = np.exp(bins - bins.max(axis=-1, keepdims=True))
    distances = weights @ np.arange(bins.shape[-1], dtype=np.float32) / weights.sum(axis=-1) * stride
    return from_distances(points, distances, scores, logits)
