"""The metric for spacecraft: COCO's, errors in pixels, and the scores of poses in space."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ppose.annotations import Annotations, People
from ppose.errors import DataError
from ppose.geometry.object_model import ObjectModel, read_object_model
from ppose.keypoints import KeypointSet
from ppose.metrics.coco import CocoKeypointMetric
from ppose.metrics.in_order import Found
from ppose.metrics.metric import Metric
from ppose.metrics.pixel_error import pixel_errors
from ppose.metrics.speed import speed_scores
from ppose.workspace import Given, register

_SCALE = 200.0  # pixels that a scale of the official HRNet code stands for


@register(Metric, names=("KeyPointTopDownSpacecraftEval",))
class SpacecraftMetric:
    """COCO's AP and AR, pixel errors and, with a 3D ``model``, SPEED's score of the poses from keypoints.

    ``annotations`` are as in `CocoKeypointMetric`, with annotated boxes. error_px is the mean over images of
    the mean over keypoints, visible or not, as in HRNet for spacecraft; error_px_visible uses visible ones
    only; error_over_scale is error_px in scales of the padded box (see `pixel_errors`). Then both errors of
    each keypoint. ``model`` is a file of `read_object_model`; the annotations then need poses in space.
    Scores are means over the objects whose keypoints give a pose, and `poses` is their share.
    """

    default_keypoint_set = "tango11"
    headline = ("AP", "error_px", "error_px_visible")

    def __init__(
        self,
        annotations: Given[str | Path | Mapping[str, Any] | Annotations | None],
        keypoint_set: Given[KeypointSet],
        trainsize: Given[Sequence[int]],
        *,
        model: str | None = None,
    ) -> None:
        self._coco = CocoKeypointMetric(annotations, keypoint_set)
        self._names = keypoint_set.names
        self._model = None if model is None else read_object_model(model, keypoint_set.names)
        self._aspect_ratio = trainsize[0] / trainsize[1]
        self._found = Found(keypoint_set)
        self._areas: list[np.ndarray] = []

    def reset(self) -> None:
        """Forget all objects."""
        self._coco.reset()
        self._found.reset()
        self._areas = []

    def update(
        self,
        keypoints: np.ndarray,
        scores: np.ndarray,
        image_id: np.ndarray,
        area: np.ndarray,
        bbox_score: np.ndarray,
        category_id: np.ndarray | None = None,
    ) -> None:
        """Add N objects, those of an image in the order of the annotations: see `Metric`."""
        self._coco.update(keypoints, scores, image_id, area, bbox_score, category_id)
        self._found.add(keypoints, scores, image_id)
        self._areas.append(np.asarray(area, np.float64))

    def compute(self) -> dict[str, float]:
        """COCO's numbers, errors in pixels and, with a model, poses, speed, speedplus and their errors."""
        metrics = self._coco.compute()
        truth = self._found.match(self._coco.annotations)
        metrics |= self._measure_pixels(truth)
        if self._model is not None:
            metrics |= self._score_poses(self._model, truth)
        return metrics

    def write_results(self, path: str | Path) -> None:
        """Write the objects as JSON in COCO's results format."""
        self._coco.write_results(path)

    def _measure_pixels(self, truth: People) -> dict[str, float]:
        found, visible = self._found.keypoints, truth.visibility > 0
        widths = np.sqrt(np.concatenate(self._areas) * self._aspect_ratio)
        scales = np.stack([widths, widths / self._aspect_ratio], axis=1) / _SCALE
        errors = pixel_errors(found, truth.keypoints, scales, visible)
        means = {name: _mean(values) for name, values in errors.items()}
        distances = np.linalg.norm(found - truth.keypoints, axis=-1)
        seen = np.where(visible, distances, np.nan)
        means |= {f"error_px {name}": _mean(distances[:, k]) for k, name in enumerate(self._names)}
        means |= {f"error_px_visible {name}": _mean(seen[:, k]) for k, name in enumerate(self._names)}
        return means

    def _score_poses(self, model: ObjectModel, truth: People) -> dict[str, float]:
        if np.isnan(truth.poses).any():
            missing = np.isnan(truth.poses).any(axis=1).sum()
            raise DataError(
                f'{missing} of {len(truth)} annotations have no pose {{"quaternion", "translation"}} to '
                "compare with: leave out KeyPointTopDownSpacecraftEval.model"
            )
        poses = np.full((len(truth), 7), np.nan)
        for row, (keypoints, scores) in enumerate(
            zip(self._found.keypoints, self._found.scores, strict=True)
        ):
            try:
                pose = model.solve(keypoints, scores)
            except DataError:
                continue
            poses[row] = np.concatenate([pose.quaternion, pose.translation])
        solved = np.isfinite(poses).all(axis=1)
        true = truth.poses[solved]
        scores_of = speed_scores(poses[solved, :4], poses[solved, 4:], true[:, :4], true[:, 4:])
        return {"poses": _mean(solved), **{name: _mean(values) for name, values in scores_of.items()}}


def _mean(values: np.ndarray) -> float:
    """The mean without NaN; -1 if there is no number."""
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    return float(known.mean()) if len(known) else -1.0
