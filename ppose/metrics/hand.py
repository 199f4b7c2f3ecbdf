"""PaddleDetection's metric for COCO-WholeBody's hands."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ppose.annotations import Annotations
from ppose.files import write_json
from ppose.keypoints import KeypointSet
from ppose.metrics.in_order import Found
from ppose.metrics.metric import Metric, as_annotations
from ppose.metrics.pck import area_under_pck, mean_of_keypoints, share_within
from ppose.workspace import Given, register

_SHARE, _REACH = 0.2, 30.0  # of the box's longer side for PCK; pixels for AUC


@register(Metric, names=("KeyPointTopDownCOCOWholeBadyHandEval",))
class WholeBodyHandMetric:
    """PCK, AUC and EPE of hands with annotated boxes, as PaddleDetection and mmpose compute them.

    PCK is the share of keypoints closer than 0.2 of the box's longer side, averaged over the keypoints; AUC
    the mean of PCK at 20 distances from 0 to under 30 pixels, 0.95 at best; EPE the mean distance of the
    labelled keypoints in pixels. ``annotations`` are COCO's with a person per hand, or their `Annotations`.
    """

    default_keypoint_set = "hand21"
    headline = ("PCK", "AUC", "EPE")

    def __init__(
        self, annotations: Given[Mapping[str, Any] | Annotations | None], keypoint_set: Given[KeypointSet]
    ) -> None:
        self._found = Found(keypoint_set)
        self._truth = as_annotations(annotations, keypoint_set)

    def reset(self) -> None:
        """Forget all hands."""
        self._found.reset()

    def update(
        self,
        keypoints: np.ndarray,
        scores: np.ndarray,
        image_id: np.ndarray,
        area: np.ndarray,
        bbox_score: np.ndarray,
        category_id: np.ndarray | None = None,
    ) -> None:
        """Add N hands, those of an image in the annotations' order: see `Metric`."""
        self._found.add(keypoints, scores, image_id)

    def compute(self) -> dict[str, float]:
        """PCK and AUC in 0 .. 1, EPE in pixels."""
        people = self._found.match(self._truth)
        visible = people.visibility > 0
        distances = np.linalg.norm(self._found.keypoints - people.keypoints, axis=-1)
        sides = people.bboxes_xywh[:, 2:].max(axis=1)
        near = share_within(distances / sides[:, None], visible, _SHARE, strict=True)
        return {
            "PCK": mean_of_keypoints(near),
            "AUC": area_under_pck(distances, visible, _REACH),
            "EPE": float(distances[visible].mean()) if visible.any() else 0.0,
        }

    def write_results(self, path: str | Path) -> None:
        """Write the hands as JSON in COCO's results format."""
        write_json(path, self._found.results())
