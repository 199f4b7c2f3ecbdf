"""Decodes detectors' outputs to boxes: what the readers of the families share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ppose.inference.detectors.fit import Fit

Size = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Candidates:
    """M boxes of one image: ``bboxes_xyxy`` (M, 4), with ``scores`` (M, C) for each of C classes.

    With ``classes`` (M,) each box has one class, and scores are (M,).
    """

    bboxes_xyxy: np.ndarray
    scores: np.ndarray
    classes: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class Head:
    """The kind of a graph's outputs. ``name`` is for the user, ``decode`` returns each image's candidates.

    Boxes are in input pixels; in image pixels if the graph takes the scale as input. ``most_iou`` is the IoU
    above which suppression drops the worse of two boxes, None if the graph includes suppression.
    ``num_classes`` is None if outputs do not tell it. ``fit`` makes the family's preprocessing for an input
    size, None if it differs within the family.
    """

    name: str
    decode: Callable[[Sequence[np.ndarray]], list[Candidates]]
    most_iou: float | None
    num_classes: int | None = None
    fit: Callable[[Size], Fit] | None = None


def make_grid(size: Size, strides: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Cells (N, 2), x and y from 0, of the maps of an input of ``size``, and their strides (N, 1).

    Maps follow each other, each row by row; a map is just large enough to cover the input.
    """
    cells, of_cells = [], []
    for stride in strides:
        columns, rows = (-(-side // stride) for side in size)
        y, x = np.divmod(np.arange(rows * columns), columns)
        cells.append(np.stack([x, y], axis=1))
        of_cells.append(np.full((rows * columns, 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(of_cells).astype(np.float32)


def count_cells(size: Size, strides: Sequence[int]) -> list[int]:
    """How many cells each map has."""
    return [-(-size[0] // stride) * -(-size[1] // stride) for stride in strides]


def from_centers(boxes: np.ndarray) -> np.ndarray:
    """Convert boxes (..., 4) from center x, y, width, height to left, top, right, bottom."""
    center, half = boxes[..., :2], boxes[..., 2:4] / 2
    return np.concatenate([center - half, center + half], axis=-1)


def from_distances(
    points: np.ndarray, distances: np.ndarray, scores: np.ndarray, are_logits: bool
) -> list[Candidates]:
    """Candidates from points (N, 2), their scores (B, N, C), and distances (B, N, 4) to the boxes' sides.

    Sides are left, top, right, bottom. The logistic function is applied to scores that are logits.
    """
    boxes = np.concatenate([points - distances[..., :2], points + distances[..., 2:]], axis=-1)
    if are_logits:
        scores = 1 / (1 + np.exp(-np.clip(scores, -80, 80)))
    return [Candidates(*each) for each in zip(boxes, scores, strict=True)]


def pair_outputs(
    outputs: Sequence[np.ndarray], counts: Sequence[int], cells: Callable[[np.ndarray], int]
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Indexes of the first and of the second output of each map; None unless each map has two.

    ``cells`` returns the number of cells of an output; ``counts`` are those of each map.
    """
    pairs = [[i for i, output in enumerate(outputs) if cells(output) == count] for count in counts]
    if any(len(pair) != 2 for pair in pairs):
        return None
    first, second = zip(*pairs, strict=True)
    return first, second


def are_logits(arrays: Sequence[np.ndarray]) -> bool:
    """Whether a graph's scores are logits: some lie outside 0 to 1."""
    return any(a.size and (np.nanmin(a) < 0 or np.nanmax(a) > 1) for a in arrays)
