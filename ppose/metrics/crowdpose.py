"""CrowdPose's metric: COCO's, and AP by crowding of the images."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ppose.errors import DataError
from ppose.metrics.coco import CocoKeypointMetric
from ppose.metrics.coco_evaluation import evaluate_results
from ppose.metrics.metric import Metric
from ppose.workspace import register

# Lowest crowd index of each kind of image, as in CrowdPose's evaluation code.
_KINDS = {"AP easy": (-np.inf, 0.2), "AP medium": (0.2, 0.8), "AP hard": (0.8, np.inf)}


@register(Metric, names=("KeyPointTopDownCrowdPoseEval",))
class CrowdPoseMetric(CocoKeypointMetric):
    """COCO's AP and AR, and AP of images with a crowd index below 0.2, below 0.8, and above (CVPR 2019).

    Options and annotations are those of `CocoKeypointMetric`; the images need their `crowdIndex`.
    """

    default_keypoint_set = "crowdpose14"
    headline = ("AP", "AP easy", "AP medium", "AP hard")

    def measure(self, results: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """COCO's numbers, then AP easy, AP medium and AP hard, -1 if there are no such images."""
        metrics = super().measure(results)
        annotations = self.annotations
        if annotations is None:
            return metrics
        indexes = annotations.images.crowd_indexes
        if np.isnan(indexes).any():
            raise DataError(
                f"{annotations.where}: {np.isnan(indexes).sum()} of {len(indexes)} images have no "
                "crowdIndex: is it a file of CrowdPose?"
            )
        for name, (low, high) in _KINDS.items():
            rows = np.flatnonzero((low <= indexes) & (indexes < high))
            own = set(annotations.images.ids[rows].tolist())
            found = [result for result in results if result["image_id"] in own]
            metrics[name] = evaluate_results(annotations.of_images(rows), found, self._keypoint_set)["AP"]
        return metrics
