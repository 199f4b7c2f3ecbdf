"""Detects people in images: makes the inputs, runs the graph, decodes its outputs to boxes."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np

from ppose.errors import DataError
from ppose.inference.detectors import Detections
from ppose.inference.detectors.fit import Fitted
from ppose.inference.detectors.head import Candidates, Head
from ppose.inference.detectors.overlap import suppress
from ppose.paths import show_text

_logger = logging.getLogger(__name__)

_MOST_BOXES = 1000  # best boxes of a class that suppression compares; PaddleDetection's nms_top_k
_BATCH = 8  # images at once if a graph takes any number
_IM_SHAPE, _SCALE_FACTOR = "im_shape", "scale_factor"  # PaddleDetection's inputs beside the image


class Graph(Protocol):
    """A graph in a runtime: ``inputs`` are shapes by name, None for sides of any length, () if unknown.

    ``metadata`` are the texts in the file's metadata, by key. Threads may run it at once.
    """

    name: str
    inputs: Mapping[str, tuple[int | None, ...]]
    metadata: Mapping[str, str]

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """All outputs, in the graph's order; DataError that names the file if it does not run."""
        ...


def find_image_input(graph: Graph, where: str) -> str:
    """The name of the image input; DataError if there are unknown inputs."""
    others = [name for name in graph.inputs if name not in (_IM_SHAPE, _SCALE_FACTOR)]
    shape = graph.inputs[others[0]] if len(others) == 1 else None
    if shape is None or (shape and (len(shape) != 4 or shape[1] not in (3, None))):
        shown = ", ".join(f"{name} {shape}" for name, shape in graph.inputs.items()) or "nothing"
        raise DataError(
            f"{where} is no known detector: it takes {show_text(shown, 200)}, expected one "
            f"image (B, 3, h, w), and optionally {_IM_SHAPE} and {_SCALE_FACTOR}"
        )
    return others[0]


def make_inputs(graph: Graph, image_input: str, fitted: Sequence[Fitted]) -> dict[str, np.ndarray]:
    """The graph's inputs for a batch of images with equal shapes."""
    made = {
        image_input: np.stack([each.image for each in fitted]),
        _IM_SHAPE: np.array([each.shape for each in fitted], np.float32),
        _SCALE_FACTOR: np.array([each.factor[::-1] for each in fitted], np.float32),  # y, x
    }
    return {name: made[name] for name in graph.inputs}


class Detector:
    """Finds people; a `PersonDetector`, made by `open_detector`.

    People have one of the ``classes`` (numbers), and a score of ``threshold`` or more. ``prepare`` makes an
    input from an image, ``head`` decodes the outputs. ``where`` is for messages. Threads may share it.
    """

    def __init__(
        self,
        graph: Graph,
        head: Head,
        prepare: Callable[[np.ndarray], Fitted],
        *,
        classes: Sequence[int],
        threshold: float,
        where: str,
    ) -> None:
        self._graph, self._head, self._prepare = graph, head, prepare
        self._classes, self._threshold, self._where = list(classes), threshold, where
        self._image_input = find_image_input(graph, where)
        shape = graph.inputs[self._image_input]
        self._batch = shape[0] if shape else None
        self._has_warned = False

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """boxes_xyxy (N, 4) of the people of an image (H, W, 3) uint8, RGB, best first."""
        return self.detect([image])[0].bboxes_xyxy

    def detect(self, images: Sequence[np.ndarray]) -> list[Detections]:
        """The people of each of several images; neighbours whose inputs have equal shapes share a batch."""
        found: list[Detections] = []
        for batch in self._gather([self._prepare(image) for image in images]):
            for fitted, candidates in zip(batch, self._run(batch), strict=True):
                height, width = images[len(found)].shape[:2]
                found.append(self._choose(fitted, candidates, (width, height)))
        return found

    def _gather(self, fitted: Sequence[Fitted]) -> Iterator[list[Fitted]]:
        """Batches of neighbours with equal shapes."""
        most, batch = self._batch or _BATCH, list[Fitted]()
        for each in fitted:
            if batch and (len(batch) == most or each.image.shape != batch[0].image.shape):
                yield batch
                batch = []
            batch.append(each)
        if batch:
            yield batch

    def _run(self, batch: Sequence[Fitted]) -> list[Candidates]:
        padded = [*batch, *[batch[-1]] * ((self._batch or len(batch)) - len(batch))]
        outputs = self._graph.run(make_inputs(self._graph, self._image_input, padded))
        try:
            found = self._head.decode(outputs)
        except (ValueError, IndexError, TypeError, OverflowError) as error:
            raise DataError(f"{self._where}: its outputs cannot be decoded: {error}") from None
        if len(found) == len(padded):
            return found[: len(batch)]
        if len(batch) == 1:
            raise DataError(f"{self._where} gives the boxes of {len(found)} images for {len(padded)}")
        self._batch = 1  # a graph of any batch size that does not say which image a box belongs to
        return [self._run([each])[0] for each in batch]

    def _choose(self, fitted: Fitted, candidates: Candidates, size: tuple[int, int]) -> Detections:
        """The people among candidates, in pixels of the image of ``size`` (w, h)."""
        rows, classes, scores = self._select(candidates)
        boxes = candidates.bboxes_xyxy[rows].astype(np.float64)
        if _SCALE_FACTOR not in self._graph.inputs:
            boxes = fitted.to_image(boxes)
        finite = np.isfinite(boxes).all(axis=1) & np.isfinite(scores)
        if not finite.all() or not np.isfinite(candidates.scores).all():
            self._warn()
        order = np.flatnonzero(finite)
        order = order[np.argsort(-scores[order], kind="stable")]
        found = Detections(np.clip(boxes, 0, [*size, *size]), scores.astype(np.float64), classes).take(order)
        extent = found.bboxes_xyxy[:, 2:] - found.bboxes_xyxy[:, :2]
        found = found.take(np.flatnonzero(extent.min(axis=1) > 0))
        return found if self._head.most_iou is None else _suppress(found, self._head.most_iou)

    def _select(self, candidates: Candidates) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows, classes and scores of the people."""
        if candidates.classes is not None:
            is_person = np.isin(candidates.classes, self._classes) & (candidates.scores >= self._threshold)
            rows = np.flatnonzero(is_person)
            return rows, candidates.classes[rows].astype(np.int64), candidates.scores[rows]
        scores = candidates.scores[:, self._classes]
        rows, columns = np.nonzero(scores >= self._threshold)
        return rows, np.array(self._classes)[columns], scores[rows, columns]

    def _warn(self) -> None:
        if not self._has_warned:
            self._has_warned = True
            _logger.warning("%s gives boxes or scores that are NaN or infinite: skipped", self._where)


def _suppress(found: Detections, most_iou: float) -> Detections:
    """Non-maximum suppression within each class."""
    kept = []
    for number in np.unique(found.classes):
        own = np.flatnonzero(found.classes == number)[:_MOST_BOXES]
        kept.append(own[suppress(found.bboxes_xyxy[own], most_iou)])
    return found.take(np.sort(np.concatenate(kept)) if kept else np.arange(0))
