"""COCO's keypoint metric: compares people, rescored and without duplicates, with annotations."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ppose.annotations import PERSON, Annotations
from ppose.errors import ConfigError
from ppose.files import write_json
from ppose.keypoints import KeypointSet
from ppose.metrics.coco_evaluation import evaluate_results, make_truth
from ppose.metrics.metric import Metric, as_annotations, check_shapes, require
from ppose.metrics.oks import oks_nms, soft_oks_nms
from ppose.workspace import Given, register

_TABLE_WIDTH = 110

_logger = logging.getLogger(__name__)


@register(Metric, names=("KeyPointTopDownCOCOEval",))
class CocoKeypointMetric:
    """AP and AR over OKS thresholds 0.50 .. 0.95, of people with scores.

    ``annotations`` is a COCO keypoint file, its content, or its `Annotations`; None if there are none
    (test-dev), to write results only. A person's score is the box's score, with ``rescore`` times the mean of
    the keypoint scores above ``visible_threshold``; then ``nms`` (see `oks_nms`, `soft_oks_nms`) removes
    duplicates within an image, at an OKS of 0.9. Both thresholds are those of the official HRNet code and of
    PaddleDetection, with which published tables are made. Raises DataError for annotations without keypoints
    or with another number of them.
    """

    default_keypoint_set = "coco17"
    headline = ("AP", "AP50", "AP75", "AR")

    def __init__(
        self,
        annotations: Given[str | Path | Mapping[str, Any] | Annotations | None],
        keypoint_set: Given[KeypointSet],
        *,
        nms: Literal["oks", "soft_oks"] | None = "oks",
        oks_threshold: float = 0.9,
        visible_threshold: float = 0.2,
        rescore: bool = True,
    ) -> None:
        if nms not in (None, "oks", "soft_oks"):
            raise ConfigError(f"nms is {nms!r}, expected oks, soft_oks or None")
        if not 0 < oks_threshold <= 1:
            raise ConfigError(f"oks_threshold is {oks_threshold}, expected a number above 0, up to 1")
        if not 0 <= visible_threshold < 1:
            raise ConfigError(
                f"visible_threshold is {visible_threshold}, expected a number from 0 to below 1"
            )
        self._keypoint_set = keypoint_set
        self.annotations = as_annotations(annotations, keypoint_set)
        if self.annotations is not None:
            make_truth(self.annotations)  # raises if something is missing
        self._nms = {None: None, "oks": oks_nms, "soft_oks": soft_oks_nms}[nms]
        self._oks_threshold, self._visible_threshold = oks_threshold, visible_threshold
        self._rescore = rescore
        self.reset()

    def reset(self) -> None:
        """Forget all people."""
        self._batches: list[tuple[np.ndarray, ...]] = []

    def update(
        self,
        keypoints: np.ndarray,
        scores: np.ndarray,
        image_id: np.ndarray,
        area: np.ndarray,
        bbox_score: np.ndarray,
        category_id: np.ndarray | None = None,
    ) -> None:
        """Add N people: keypoints (N, K, 2) in image pixels, scores (N, K), the others (N,).

        ``area`` is that of the padded box, in square image pixels; ``category_id`` goes into the results
        (default: that of people in COCO).
        """
        if category_id is None:
            category_id = np.full(len(keypoints), PERSON)
        check_shapes(keypoints, scores, self._keypoint_set)
        self._batches.append((keypoints, scores, *map(np.asarray, (image_id, area, bbox_score, category_id))))

    def results(self) -> list[dict[str, Any]]:
        """The people in COCO's results format after rescoring and NMS, sorted by image."""
        if not self._batches:
            return []
        columns = map(np.concatenate, zip(*self._batches, strict=True))
        keypoints, scores, image_id, area, person_score, category_id = columns
        keypoints, scores = _finite(keypoints, scores)
        if self._rescore:
            person_score = person_score * _mean_above(scores, self._visible_threshold)
        kept = self._keep(keypoints, person_score, image_id, area)
        triplets = np.concatenate([keypoints, scores[..., None]], axis=-1).astype(np.float64)[kept]
        return [
            {"image_id": image, "category_id": category, "keypoints": flat, "score": score}
            for image, category, flat, score in zip(
                image_id[kept].tolist(),
                category_id[kept].tolist(),
                triplets.reshape(len(kept), 3 * keypoints.shape[1]).tolist(),
                person_score[kept].tolist(),
                strict=True,
            )
        ]

    def write_results(self, path: str | Path) -> None:
        """Write `results()` as a JSON file, whole or not at all; for COCO's server, for instance."""
        write_json(path, self.results())

    def compute(self) -> dict[str, float]:
        """AP, AP50, AP75, APm, APl, AR, AR50, AR75, ARm, ARl in 0 .. 1, or -1 if nobody has that size."""
        return self.measure(self.results())

    def measure(self, results: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """Like `compute`, for given results in the form of `results()`."""
        return evaluate_results(require(self.annotations), results, self._keypoint_set)

    def _keep(
        self, keypoints: np.ndarray, person_score: np.ndarray, image_id: np.ndarray, area: np.ndarray
    ) -> np.ndarray:
        """Indexes of the people that NMS keeps, image by image."""
        by_image = np.argsort(image_id, kind="stable")
        if self._nms is None:
            return by_image
        sigmas, threshold = self._keypoint_set.sigmas, self._oks_threshold
        starts = np.flatnonzero(image_id[by_image][1:] != image_id[by_image][:-1]) + 1
        return np.concatenate(
            [
                people[self._nms(keypoints[people], person_score[people], area[people], sigmas, threshold)]
                for people in np.split(by_image, starts)
            ]
        )


def _finite(keypoints: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Replace NaN, which JSON and sorting cannot handle."""
    broken = ~(np.isfinite(keypoints).all(axis=-1) & np.isfinite(scores))
    if broken.any():
        _logger.warning("%d of %d keypoints are not finite: treated as not found", broken.sum(), broken.size)
    return np.where(broken[..., None], 0, keypoints), np.where(broken, 0, scores)


def _mean_above(scores: np.ndarray, threshold: float) -> np.ndarray:
    """Mean over the last axis of the scores above a threshold; 0 if there is none."""
    above = scores > threshold
    return np.where(above, scores, 0).sum(axis=-1) / np.maximum(above.sum(axis=-1), 1)


def format_table(metrics: Mapping[str, float], title: str) -> str:
    """The metrics as a table under the line ``title``; `-` is no value (-1).

    Wraps if it would be wider than 110 characters.
    """
    names, values = [""], [""]
    for name, value in metrics.items():
        number = "-" if value < 0 else f"{value:.4f}"
        width = max(len(name), 6)
        if names[-1] and len(names[-1]) + 2 + width > _TABLE_WIDTH:
            names.append("")
            values.append("")
        gap = "  " if names[-1] else ""
        names[-1] += gap + name.rjust(width)
        values[-1] += gap + number.rjust(width)
    rows = [line for pair in zip(names, values, strict=True) for line in pair]
    return "\n".join([title, *rows])
