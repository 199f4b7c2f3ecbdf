"""How a detector's outputs become boxes: what the readers of the families share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ppose.inference.detectors.fit import Fit

Size = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Candidates:
    """M boxes of one image: ``bboxes_xyxy`` (M, 4), with ``scores`` (M, C) for each of C classes.

    With ``classes`` (M,) each is of one class, and scores are (M,).
    """

    bboxes_xyxy: np.ndarray
    scores: np.ndarray
    classes: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class Head:
    """What a graph ends in. ``name`` is for the user, ``decode`` makes candidates, a batch's images each.

    Boxes are in input pixels; in image pixels where the graph is told the scale. ``most_iou`` is the overlap
    beyond which the better of two boxes is kept, None where the graph has done that. ``num_classes`` is None
    where outputs do not tell. ``fit`` is how the family prepares images of an input size, None where that
    differs.
    """

    name: str
    decode: Callable[[Sequence[np.ndarray]], list[Candidates]]
    most_iou: float | None
    num_classes: int | None = None
    fit: Callable[[Size], Fit] | None = None


def make_grid(size: Size, strides: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Cells (N, 2), x and y from 0, of the maps of an input of ``size``, and their strides (N, 1).

    Maps follow each other, rows from top to bottom; a map is as large as it has to be to cover the input.
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
    """Boxes (..., 4) of center x, y, width, height, as left, top, right, bottom."""
    center, half = boxes[..., :2], boxes[..., 2:4] / 2
    return np.concatenate([center - half, center + half], axis=-1)


def from_distances(
    points: np.ndarray, distances: np.ndarray, scores: np.ndarray, are_logits: bool
) -> list[Candidates]:
    """Candidates of points (N, 2), their scores (B, N, C), and distances (B, N, 4) to the boxes' sides.

    Sides are left, top, right, bottom. Scores that are logits become their logistic function.
    """
    boxes = np.concatenate([points - distances[..., :2], points + distances[..., 2:]], axis=-1)
    if are_logits:
        scores = 1 / (1 + np.exp(-np.clip(scores, -80, 80)))
    return [Candidates(*each) for each in zip(boxes, scores, strict=True)]


def pair_outputs(
    outputs: Sequence[np.ndarray], counts: Sequence[int], cells: Callable[[np.ndarray], int]
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """The first and the second output of each map, by their indexes; None unless each map has two.

    ``cells`` says of how many cells an output is, ``counts`` how many each map has.
    """
    pairs = [[i for i, output in enumerate(outputs) if cells(output) == count] for count in counts]
    if any(len(pair) != 2 for pair in pairs):
        return None
    first, second = zip(*pairs, strict=True)
    return first, second


def are_logits(arrays: Sequence[np.ndarray]) -> bool:
    """Whether scores, as a graph gives them, are no probabilities yet."""
    return any(a.size and (np.nanmin(a) < 0 or np.nanmax(a) > 1) for a in arrays)
