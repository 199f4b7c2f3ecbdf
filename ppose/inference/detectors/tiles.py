"""Detects small people in large images by overlapping tiles."""

from collections.abc import Callable, Sequence

import numpy as np

from ppose.errors import ConfigError
from ppose.inference.detectors import Detections
from ppose.inference.detectors.overlap import suppress

_OVERLAP = 0.2  # share of a tile, with each neighbour: smaller people are whole in one tile
_MOST_IOU = 0.5
_NEAR = 2.0  # pixels from an inner side of a tile within which that side cuts a box
_MOST_TILES = 16  # in each direction

Detect = Callable[[Sequence[np.ndarray]], list[Detections]]


class TiledDetector:
    """A `PersonDetector` that runs on the whole image and on ``columns`` x ``rows`` tiles of it.

    Tiles overlap by a fifth. A box that a tile's side cuts is dropped if another box covers most of it; of
    the boxes of one person the best is kept.
    """

    def __init__(self, detect: Detect, columns: int, rows: int) -> None:
        if not (1 <= columns <= _MOST_TILES and 1 <= rows <= _MOST_TILES):
            raise ConfigError(f"tiles are {columns}x{rows}, expected 1x1 to {_MOST_TILES}x{_MOST_TILES}")
        self._detect, self._columns, self._rows = detect, columns, rows

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """boxes_xyxy (N, 4) of the people of an image (H, W, 3) uint8, RGB, best first."""
        return self.detect([image])[0].bboxes_xyxy

    def detect(self, images: Sequence[np.ndarray]) -> list[Detections]:
        """The people of each of several images."""
        return [self._detect_in(image) for image in images]

    def _detect_in(self, image: np.ndarray) -> Detections:
        height, width = image.shape[:2]
        spans = [(x, y) for y in _split(height, self._rows) for x in _split(width, self._columns)]
        tiles = [image[top:bottom, left:right] for (left, right), (top, bottom) in spans]
        whole, *found = self._detect([image, *map(np.ascontiguousarray, tiles)])
        parts, cut = [whole], [np.zeros(len(whole.scores), bool)]
        for (x, y), part in zip(spans, found, strict=True):
            boxes = part.bboxes_xyxy + [x[0], y[0], x[0], y[0]]
            parts.append(Detections(boxes, part.scores, part.classes))
            cut.append(_touches(boxes, (x[0], y[0], x[1], y[1]), (width, height)))
        return _merge(parts, np.concatenate(cut))


def _split(length: int, count: int) -> list[tuple[int, int]]:
    """Begin and end of ``count`` equal spans that cover a length; neighbours overlap by a fifth.

    >>> _split(900, 2)
    [(0, 500), (400, 900)]
    """
    size = length / (count - (count - 1) * _OVERLAP)
    begins = [round(index * size * (1 - _OVERLAP)) for index in range(count)]
    return [(begin, min(length, max(begin + 1, round(begin + size)))) for begin in begins if begin < length]


def _touches(boxes: np.ndarray, tile: tuple[int, int, int, int], size: tuple[int, int]) -> np.ndarray:
    """Which boxes (N, 4) end at a side of their tile that is not a side of the image (w, h)."""
    is_inner = np.array([tile[0] > 0, tile[1] > 0, tile[2] < size[0], tile[3] < size[1]])
    return ((np.abs(boxes - np.array(tile)) <= _NEAR) & is_inner).any(axis=1)


def _merge(parts: Sequence[Detections], cut: np.ndarray) -> Detections:
    everything = Detections(
        np.concatenate([part.bboxes_xyxy for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.classes for part in parts]),
    )
    order = np.lexsort([-everything.scores, cut])  # whole ones first
    everything, cut = everything.take(order), cut[order]
    kept = suppress(everything.bboxes_xyxy, _MOST_IOU, is_part=cut)
    found = everything.take(kept)
    return found.take(np.argsort(-found.scores, kind="stable"))
