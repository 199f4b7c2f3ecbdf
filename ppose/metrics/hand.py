"""PaddleDetection's metric of COCO-WholeBody's hands."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ppose.coco_format import read_people
from ppose.errors import DataError
from ppose.files import read_json, write_json
from ppose.keypoints import KeypointSet
from ppose.metrics.in_order import Found
from ppose.metrics.metric import Metric
from ppose.metrics.pck import area_under_pck, mean_of_keypoints, share_within
from ppose.workspace import Given, register

_SHARE, _REACH = 0.2, 30.0  # of the box's longer side for PCK; pixels for AUC


@register(Metric, names=("KeyPointTopDownCOCOWholeBadyHandEval",))
class WholeBodyHandMetric:
    """PCK, AUC and EPE of hands with their own boxes, as PaddleDetection and mmpose count them.

    PCK is the share of keypoints nearer than 0.2 of the box's longer side, in the mean over the keypoints;
    AUC the mean of PCK at 20 distances from 0 to under 30 pixels, 0.95 at best; EPE the mean distance of the
    labelled keypoints in pixels. ``annotations`` are COCO's with a person for each hand, a file or what it
    holds.
    """

    default_keypoint_set = "hand21"
    headline = ("PCK", "AUC", "EPE")

    def __init__(
        self, annotations: Given[str | Path | Mapping[str, Any] | None], keypoint_set: Given[KeypointSet]
    ) -> None:
        self._found = Found(keypoint_set)
        self._people: list[dict[str, Any]] | None = None
        if annotations is not None:
            where = "the annotations"
            if isinstance(annotations, str | Path):
                where, annotations = str(annotations), read_json(annotations, "annotation file")
            people = read_people(annotations, keypoint_set, where)
            self._people = [p for p in people if p["num_keypoints"] and not p["iscrowd"]]

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
        **others: Any,
    ) -> None:
        """Add N hands, those of an image in the annotations' order: see `Metric`."""
        self._found.add(keypoints, scores, image_id)

    def compute(self) -> dict[str, float]:
        """PCK and AUC in 0 .. 1, EPE in pixels."""
        if self._people is None:
            raise DataError("no annotations to evaluate against; results can be written without them")
        rows = self._found.rows_in(np.array([p["image_id"] for p in self._people]), "the annotation file")
        people = [self._people[row] for row in rows]
        truth = np.array([p["keypoints"] for p in people], np.float64).reshape(len(people), -1, 3)
        visible = truth[..., 2] > 0
        distances = np.linalg.norm(self._found.keypoints - truth[..., :2], axis=-1)
        sides = np.array([max(p["bbox"][2:]) for p in people])
        near = share_within(distances / sides[:, None], visible, _SHARE, strict=True)
        return {
            "PCK": mean_of_keypoints(near),
            "AUC": area_under_pck(distances, visible, _REACH),
            "EPE": float(distances[visible].mean()) if visible.any() else 0.0,
        }

    def write_results(self, path: str | Path) -> None:
        """Write the hands as JSON in COCO's results format."""
        write_json(path, self._found.results())
